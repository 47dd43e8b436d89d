package dev.loranative.lora;

import java.util.List;

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

    /** Trained numbers. */
    public long parameters() {
        return modules.stream().mapToLong(AdapterModule::parameters).sum()
                + full.stream().mapToLong(tensor -> tensor.values().length).sum()
                + tokens.stream().mapToLong(rows -> rows.values().length).sum();
    }
}
