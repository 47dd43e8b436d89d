package dev.loranative.lora;

import java.util.List;

/**
 * An adapter as read from a folder.
 *
 * @param tensors never empty
 * @param warnings what was ignored or looks odd, one line each
 */
public record Adapter(AdapterConfig config, AdapterTensors tensors, List<String> warnings) {

    public Adapter {
        warnings = List.copyOf(warnings);
    }

    /** The low-rank updates. */
    public List<AdapterModule> modules() {
        return tensors.modules();
    }
}
