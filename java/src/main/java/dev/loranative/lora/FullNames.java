package dev.loranative.lora;

import dev.loranative.model.LinearModule;
import dev.loranative.model.LinearModule.Kind;
import dev.loranative.model.ModuleTree;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * Which tensors {@code modules_to_save} means. PEFT wraps every module, containers included, whose name ends with an entry, with
 * or without a dot before it; the name is the one in memory, which differs from the checkpoint's in Mixtral.
 *
 * <p>A head that is tied to the embedding is one tensor with it, named as the embedding; either name means both.
 */
final class FullNames {

    private final Map<String, String> memory = new HashMap<>();
    private final Optional<String> tiedHead;
    private final Optional<String> tiedEmbedding;

    FullNames(ModuleTree tree) {
        tiedHead = tree.tiedHead() ? weight(tree, Kind.HEAD) : Optional.empty();
        tiedEmbedding = tree.tiedHead() ? weight(tree, Kind.EMBEDDING) : Optional.empty();
        for (LinearModule module : tree.modules()) {
            if (!module.aliases().isEmpty()) {
                memory.put(module.name(), module.aliases().getFirst());
            }
        }
    }

    private static Optional<String> weight(ModuleTree tree, Kind kind) {
        return tree.modules().stream()
                .filter(module -> module.kind() == kind)
                .map(module -> module.name() + ".weight")
                .findFirst();
    }

    /** The head's weight, if it is the embedding's. */
    Optional<String> tiedHead() {
        return tiedHead;
    }

    /** The embedding's weight, if it is the head's. */
    Optional<String> tiedEmbedding() {
        return tiedEmbedding;
    }

    boolean isTiedHead(String tensor) {
        return tiedHead.filter(tensor::equals).isPresent();
    }

    boolean isTiedEmbedding(String tensor) {
        return tiedEmbedding.filter(tensor::equals).isPresent();
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
        if (isTiedEmbedding(tensor) && isNamed(tiedHead.orElseThrow(), modulesToSave)) {
            return true;
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
