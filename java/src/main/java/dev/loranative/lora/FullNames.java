package dev.loranative.lora;

import dev.loranative.model.LinearModule;
import dev.loranative.model.ModuleTree;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * Which tensors {@code modules_to_save} means. PEFT wraps every module, containers included, whose name ends with an entry, with
 * or without a dot before it; the name is the one in memory, which differs from the checkpoint's in Mixtral.
 */
final class FullNames {

    private final Map<String, String> memory = new HashMap<>();

    FullNames(ModuleTree tree) {
        for (LinearModule module : tree.modules()) {
            if (!module.aliases().isEmpty()) {
                memory.put(module.name(), module.aliases().getFirst());
            }
        }
    }

    /** The name of a tensor as transformers 5 spells it. */
    String inMemory(String tensor) {
        int leaf = tensor.lastIndexOf('.');
        String module = tensor.substring(0, leaf);
        return memory.getOrDefault(module, module) + tensor.substring(leaf);
    }

    /** Whether an entry hits the tensor's module or a container of it. */
    boolean isNamed(String tensor, List<String> modulesToSave) {
        if (modulesToSave.isEmpty()) {
            return false;
        }
        List<String> modules = modules(inMemory(tensor));
        if (!inMemory(tensor).equals(tensor)) {
            modules.addAll(modules(tensor));
        }
        return modules.stream().anyMatch(module -> modulesToSave.stream().anyMatch(module::endsWith));
    }

    /** The module of a tensor and all that contain it. */
    private static List<String> modules(String tensor) {
        List<String> modules = new ArrayList<>();
        for (int dot = tensor.lastIndexOf('.'); dot > 0; dot = tensor.lastIndexOf('.', dot - 1)) {
            modules.add(tensor.substring(0, dot));
        }
        return modules;
    }
}
