package dev.loranative.lora;

import dev.loranative.model.LinearModule;
import dev.loranative.model.LinearModule.Kind;
import dev.loranative.nn.ParameterGroup;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.function.Function;

/** Names of what is trained, as in an adapter's file but for the prefix, and how much room their groups need. */
final class ParameterNames {

    private final Function<String, ParameterGroup> groups;
    private final Map<ParameterGroup, Long> sizes = new TreeMap<>();

    private ParameterNames(Function<String, ParameterGroup> groups) {
        this.groups = groups;
    }

    static String a(String module) {
        return module + ".lora_A.weight";
    }

    static String b(String module) {
        return module + ".lora_B.weight";
    }

    static String bias(String module) {
        return module + ".lora_B.bias";
    }

    static String magnitude(String module) {
        return module + ".lora_magnitude_vector";
    }

    static String embeddingA(String module) {
        return module + ".lora_embedding_A";
    }

    static String embeddingB(String module) {
        return module + ".lora_embedding_B";
    }

    static String tokens(String module) {
        return module + ".token_adapter.trainable_tokens_delta";
    }

    /** Numbers in every group that has any. */
    static Map<ParameterGroup, Long> sizes(Targets targets, Function<String, ParameterGroup> groups) {
        ParameterNames names = new ParameterNames(groups);
        for (Target target : targets.list()) {
            names.add(
                    target.module().name(),
                    target.module().kind() == Kind.EMBEDDING,
                    target.r() * target.module().in(),
                    target.module().out() * target.r());
            names.add(
                    bias(target.module().name()),
                    target.bias() ? target.module().out() : 0);
            names.add(
                    magnitude(target.module().name()),
                    target.dora() ? target.module().out() : 0);
        }
        targets.full().forEach(full -> names.add(full.name(), full.parameters()));
        targets.tokens().forEach(tokens -> names.add(tokens(tokens.module()), tokens.parameters()));
        return names.sizes;
    }

    /** Numbers in every group that has any. */
    static Map<ParameterGroup, Long> sizes(AdapterTensors tensors, Function<String, ParameterGroup> groups) {
        ParameterNames names = new ParameterNames(groups);
        for (AdapterModule module : tensors.modules()) {
            names.add(module.name(), module.module().kind() == Kind.EMBEDDING, module.a().length, module.b().length);
            module.bias().ifPresent(values -> names.add(bias(module.name()), values.length));
            module.magnitude().ifPresent(values -> names.add(magnitude(module.name()), values.length));
        }
        tensors.full().forEach(full -> names.add(full.name(), full.values().length));
        tensors.tokens().forEach(rows -> names.add(tokens(rows.module()), rows.values().length));
        return names.sizes;
    }

    /** Of the experts of a layer's projection only the first; all modules that are no experts. */
    static <T> List<T> oneOfProjection(List<T> all, Function<T, LinearModule> moduleOf) {
        Set<List<Object>> seen = new HashSet<>();
        return all.stream()
                .filter(each -> {
                    LinearModule module = moduleOf.apply(each);
                    String end = module.name().substring(module.name().lastIndexOf('.'));
                    return module.kind() != Kind.EXPERT || seen.add(List.of(module.layer(), end));
                })
                .toList();
    }

    private void add(String module, boolean embedding, long a, long b) {
        add(embedding ? embeddingA(module) : a(module), a);
        add(embedding ? embeddingB(module) : b(module), b);
    }

    private void add(String name, long count) {
        if (count > 0) {
            sizes.merge(groups.apply(name), count, Long::sum);
        }
    }
}
