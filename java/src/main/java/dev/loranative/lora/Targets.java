package dev.loranative.lora;

import java.util.List;

/**
 * What is trained.
 *
 * @param list in the order of the module tree, never empty
 * @param warnings one line each, for the user
 */
public record Targets(List<Target> list, List<String> warnings) {

    public Targets {
        list = List.copyOf(list);
        warnings = List.copyOf(warnings);
    }

    /** Trainable numbers of all targets. */
    public long parameters() {
        return list.stream().mapToLong(Target::parameters).sum();
    }
}
