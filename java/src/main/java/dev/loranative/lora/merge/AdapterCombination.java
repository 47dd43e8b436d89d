package dev.loranative.lora.merge;

import dev.loranative.config.ConfigParser;
import dev.loranative.config.LoraConfig;
import dev.loranative.config.LoraKeys;
import dev.loranative.errors.UserException;
import dev.loranative.lora.Adapter;
import dev.loranative.lora.AdapterConfig;
import dev.loranative.lora.AdapterModule;
import dev.loranative.lora.AdapterTensors;
import dev.loranative.model.LinearModule;
import dev.loranative.model.ModuleTree;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/**
 * Several adapters of one model as one, as PEFT's {@code add_weighted_adapter} makes it: a new adapter with scaling 1.
 *
 * <p>{@code CAT} is exact: A' = [w₁s₁A₁; w₂s₂A₂; …], B' = [B₁ B₂ …], so that B'A' = Σ wᵢ·sᵢBᵢAᵢ; its rank is the sum of the
 * ranks. {@code LINEAR} keeps the rank: A' = Σ sign(wᵢsᵢ)·√|wᵢsᵢ|·Aᵢ, B' = Σ √|wᵢsᵢ|·Bᵢ, which is not the weighted sum of
 * the updates. A module that an adapter lacks counts as zero there. Unlike PEFT this also combines routers and experts.
 */
public final class AdapterCombination {

    /** How adapters become one. */
    public enum Type {
        LINEAR,
        CAT
    }

    /** @param name for messages */
    public record Weighted(String name, Adapter adapter, double weight) {}

    private AdapterCombination() {}

    /**
     * One adapter that does what these do together. Its modules all have the same rank, padded with zeros where needed.
     *
     * @param adapters at least one, read for this tree
     * @throws UserException where PEFT refuses too, and for what cannot be weighted: DoRA, biases, fully trained tensors
     */
    public static Adapter combine(List<Weighted> adapters, Type type, ModuleTree tree) {
        adapters.forEach(AdapterCombination::requirePlain);
        // One adapter alone is only scaled; both ways are then the same update, and linear keeps the rank.
        Type used = adapters.size() == 1 ? Type.LINEAR : type;
        int rank = rank(adapters, used);
        Map<LinearModule, List<Part>> parts = new HashMap<>();
        for (Weighted weighted : adapters) {
            for (AdapterModule module : weighted.adapter().modules()) {
                parts.computeIfAbsent(module.module(), _ -> new ArrayList<>())
                        .add(new Part(module, weighted.weight() * module.scaling()));
            }
        }
        List<AdapterModule> modules = new ArrayList<>();
        for (LinearModule module : tree.modules()) {
            List<Part> list = parts.get(module);
            if (list != null) {
                modules.add(used == Type.CAT ? cat(module, list, rank) : linear(module, list, rank));
            }
        }
        Adapter first = adapters.getFirst().adapter();
        AdapterConfig config = new AdapterConfig(
                config(first.config().lora(), rank), first.config().baseModel(), Optional.empty(), List.of());
        return new Adapter(config, AdapterTensors.of(modules), List.of());
    }

    /** @param scale weight times scaling */
    private record Part(AdapterModule module, double scale) {}

    private static void requirePlain(Weighted weighted) {
        AdapterTensors tensors = weighted.adapter().tensors();
        String what = null;
        if (!tensors.full().isEmpty()) {
            what = tensors.full().getFirst().name() + " is trained in full (modules_to_save or bias)";
        } else if (!tensors.tokens().isEmpty()) {
            what = "rows of " + tensors.tokens().getFirst().module() + " are trained in full";
        } else {
            for (AdapterModule module : tensors.modules()) {
                if (module.magnitude().isPresent()) {
                    what = module.name() + " has a DoRA magnitude";
                } else if (module.bias().isPresent()) {
                    what = module.name() + " has a lora_bias";
                }
            }
        }
        if (what != null) {
            throw UserException.badInput(
                    "adapter '" + weighted.name() + "' cannot be combined with weights: " + what,
                    "only plain LoRA adapters can be combined; merge this one into the base model first");
        }
        if (!Double.isFinite(weighted.weight())) {
            throw UserException.badInput(
                    "adapter '" + weighted.name() + "' has the weight " + weighted.weight(), "give a finite number");
        }
    }

    private static int rank(List<Weighted> adapters, Type type) {
        List<Integer> ranks = adapters.stream()
                .map(weighted -> weighted.adapter().modules().stream()
                        .mapToInt(AdapterModule::r)
                        .max()
                        .orElse(weighted.adapter().config().lora().r()))
                .toList();
        if (type == Type.CAT) {
            return ranks.stream().mapToInt(Integer::intValue).sum();
        }
        if (ranks.stream().distinct().count() > 1) {
            String all = IntStream.range(0, ranks.size())
                    .mapToObj(i -> adapters.get(i).name() + " has r " + ranks.get(i))
                    .collect(Collectors.joining(", "));
            throw UserException.badInput(
                    "combination_type linear needs adapters of the same rank, but " + all,
                    "use --combination-type cat, which is exact for any ranks");
        }
        return ranks.getFirst();
    }

    private static AdapterModule cat(LinearModule module, List<Part> parts, int rank) {
        Shape shape = Shape.of(module);
        float[] a = new float[Math.multiplyExact(rank, shape.in())];
        float[] b = new float[Math.multiplyExact(shape.out(), rank)];
        int offset = 0;
        for (Part part : parts) {
            int r = part.module().r();
            for (int i = 0; i < r * shape.in(); i++) {
                a[offset * shape.in() + i] =
                        (float) (part.scale() * part.module().a()[i]);
            }
            for (int row = 0; row < shape.out(); row++) {
                System.arraycopy(part.module().b(), row * r, b, row * rank + offset, r);
            }
            offset += r;
        }
        return new AdapterModule(module, parts.getFirst().module().name(), rank, rank, 1, a, b);
    }

    private static AdapterModule linear(LinearModule module, List<Part> parts, int rank) {
        Shape shape = Shape.of(module);
        float[] a = new float[Math.multiplyExact(rank, shape.in())];
        float[] b = new float[Math.multiplyExact(shape.out(), rank)];
        for (Part part : parts) {
            int r = part.module().r();
            double root = Math.sqrt(Math.abs(part.scale()));
            double signed = Math.signum(part.scale()) * root;
            for (int i = 0; i < r * shape.in(); i++) {
                a[i] += (float) (signed * part.module().a()[i]);
            }
            for (int row = 0; row < shape.out(); row++) {
                for (int k = 0; k < r; k++) {
                    b[row * rank + k] += (float) (root * part.module().b()[row * r + k]);
                }
            }
        }
        return new AdapterModule(module, parts.getFirst().module().name(), rank, rank, 1, a, b);
    }

    /** Columns of A and rows of B; an embedding's change places. */
    private record Shape(int in, int out) {
        static Shape of(LinearModule module) {
            boolean embedding = module.kind() == LinearModule.Kind.EMBEDDING;
            return new Shape(
                    Math.toIntExact(embedding ? module.out() : module.in()),
                    Math.toIntExact(embedding ? module.in() : module.out()));
        }
    }

    /** Scaling 1 whatever the adapters had: rsLoRA is off, alpha is the rank. */
    private static LoraConfig config(LoraConfig first, int rank) {
        Map<String, Object> values = new HashMap<>();
        values.put(LoraKeys.R.name(), rank);
        values.put(LoraKeys.LORA_ALPHA.name(), rank);
        first.taskType().ifPresent(task -> values.put(LoraKeys.TASK_TYPE.name(), task));
        return LoraConfig.from(new ConfigParser(LoraKeys.ALL).parse(values, "combination"));
    }
}
