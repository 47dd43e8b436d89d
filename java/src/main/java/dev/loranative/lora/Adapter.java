package dev.loranative.lora;

import java.util.List;

/**
 * An adapter as read from a folder.
 *
 * @param modules in the order of the module tree, never empty
 * @param warnings what was ignored or looks odd, one line each
 */
public record Adapter(AdapterConfig config, List<AdapterModule> modules, List<String> warnings) {

    public Adapter {
        modules = List.copyOf(modules);
        warnings = List.copyOf(warnings);
    }
}
