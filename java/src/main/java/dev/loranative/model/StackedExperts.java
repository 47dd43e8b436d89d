package dev.loranative.model;

import dev.loranative.checkpoint.TensorStack;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.IntFunction;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/**
 * The other ways in which a checkpoint may hold the experts of a model, besides a tensor for each of their projections:
 *
 * <ul>
 *   <li>{@code experts.gate_up_proj} [experts, 2 · intermediate, hidden] and {@code experts.down_proj} [experts, hidden,
 *       intermediate], as transformers holds them in memory since version 5; of every expert gate's rows come first;
 *   <li>{@code experts.gate_up_projs.3.weight} [2 · intermediate, hidden] and {@code experts.down_projs.3.weight}, as 4-bit
 *       copies of gpt_oss name them, with the rows in that order too;
 *   <li>every module under the name that it has in memory, where the family's files call it otherwise (Mixtral).
 * </ul>
 */
final class StackedExperts {

    private final TensorNames names;
    private final MoeConfig moe;
    private final long hidden;
    private final Map<String, TensorStack> stacks = new LinkedHashMap<>();

    private StackedExperts(ModelConfig config, MoeConfig moe) {
        this.names = TensorNames.of(config.family());
        this.moe = moe;
        this.hidden = config.hiddenSize();
    }

    /** By name, all that this model's checkpoint may have; none of them need be there. */
    static Map<String, TensorStack> of(ModelConfig config) {
        if (config.moe().isEmpty()) {
            return Map.of();
        }
        StackedExperts experts = new StackedExperts(config, config.moe().get());
        IntStream.range(0, config.layers()).filter(config::isSparse).forEach(experts::addLayer);
        for (LinearModule module : ModuleTree.of(config).modules()) {
            module.aliases()
                    .forEach(alias -> experts.add(
                            alias + ".weight",
                            List.of(module.out(), module.in()),
                            List.of(module.name()),
                            module.out(),
                            module.in()));
        }
        return experts.stacks;
    }

    private void addLayer(int layer) {
        long inner = moe.intermediateSize();
        IntFunction<Stream<String>> gateAndUp =
                expert -> Stream.of(names.expertGate(layer, expert), names.expertUp(layer, expert));
        IntFunction<Stream<String>> down = expert -> Stream.of(names.expertDown(layer, expert));
        for (String prefix : prefixes(layer)) {
            add(prefix + "gate_up_proj", List.of(count(), 2 * inner, hidden), all(gateAndUp), inner, hidden);
            add(prefix + "down_proj", List.of(count(), hidden, inner), all(down), hidden, inner);
            for (int expert = 0; expert < moe.experts(); expert++) {
                String gateUp = prefix + "gate_up_projs." + expert + ".weight";
                add(gateUp, List.of(2 * inner, hidden), gateAndUp.apply(expert).toList(), inner, hidden);
                String downs = prefix + "down_projs." + expert + ".weight";
                add(downs, List.of(hidden, inner), down.apply(expert).toList(), hidden, inner);
            }
        }
    }

    /** The experts' place as the family's files name it, and as transformers does in memory. */
    private Set<String> prefixes(int layer) {
        TensorNames usual = new TensorNames(Family.MoeNames.USUAL);
        Set<String> prefixes = new LinkedHashSet<>();
        prefixes.add(names.experts(layer));
        prefixes.add(usual.experts(layer));
        return prefixes;
    }

    private List<String> all(IntFunction<Stream<String>> modules) {
        return IntStream.range(0, moe.experts()).boxed().flatMap(modules::apply).toList();
    }

    private long count() {
        return moe.experts();
    }

    private void add(String tensor, List<Long> shape, List<String> modules, long out, long in) {
        List<String> members = new ArrayList<>();
        modules.forEach(module -> members.add(module + ".weight"));
        stacks.put(tensor, new TensorStack(tensor, shape, members, List.of(out, in)));
    }
}
