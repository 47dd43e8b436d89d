package dev.loranative.lora;

import dev.loranative.nn.ParameterGroup;
import java.util.List;
import java.util.Map;
import java.util.function.Function;

/**
 * Everything that an adapter changes.
 *
 * @param modules low-rank updates, in the order of the module tree
 * @param full tensors that replace the base model's
 * @param tokens rows that replace those of embeddings
 */
public record AdapterTensors(List<AdapterModule> modules, List<FullTensor> full, List<TokenRows> tokens) {

    public AdapterTensors {
        modules = List.copyOf(modules);
        full = List.copyOf(full);
        tokens = List.copyOf(tokens);
    }

    /** Low-rank updates only. */
    public static AdapterTensors of(List<AdapterModule> modules) {
        return new AdapterTensors(modules, List.of(), List.of());
    }

    /**
     * Numbers of every group of the optimizer that has any.
     *
     * @param shareExperts whether the experts of a projection have one update
     * @param groups the group of a tensor by its name
     */
    public Map<ParameterGroup, Long> sizes(boolean shareExperts, Function<String, ParameterGroup> groups) {
        List<AdapterModule> stored =
                shareExperts ? ParameterNames.oneOfProjection(modules, AdapterModule::module) : modules;
        return ParameterNames.sizes(new AdapterTensors(stored, full, tokens), groups);
    }

    /** Trained numbers. */
    public long parameters() {
        return modules.stream().mapToLong(AdapterModule::parameters).sum()
                + full.stream().mapToLong(tensor -> tensor.values().length).sum()
                + tokens.stream().mapToLong(rows -> rows.values().length).sum();
    }
}
