package dev.loranative.lora;

import dev.loranative.config.LoraConfig;
import dev.loranative.config.LoraKeys;
import dev.loranative.config.TrainableTokens;
import dev.loranative.model.LinearModule.Kind;
import dev.loranative.model.ModuleTree;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** The settings from which PEFT finds what is trained as it is: modules, biases, rows of embeddings. */
final class FullSettings {

    private final LoraConfig config;
    private final ModuleTree tree;
    private final FullNames names;
    private final boolean checkpointNames;

    FullSettings(LoraConfig config, ModuleTree tree, PeftLayout.Names spelling) {
        this.config = config;
        this.tree = tree;
        this.names = new FullNames(tree);
        this.checkpointNames = spelling == PeftLayout.Names.CHECKPOINT;
    }

    Map<String, Object> of(AdapterTensors adapter) {
        Map<String, Object> settings = new HashMap<>();
        settings.put(LoraKeys.BIAS.name(), LoraKeys.BIAS.write(config.bias()));
        settings.put(LoraKeys.MODULES_TO_SAVE.name(), modulesToSave(adapter));
        settings.put(LoraKeys.TRAINABLE_TOKEN_INDICES.name(), tokens(adapter.tokens()));
        boolean tied = adapter.full().stream().anyMatch(tensor -> names.isTiedEmbedding(tensor.name()));
        settings.put(LoraKeys.ENSURE_WEIGHT_TYING.name(), tied || config.ensureWeightTying());
        return settings;
    }

    /** What the user wrote, if PEFT finds exactly the modules in the file by it; else their whole names. */
    private List<String> modulesToSave(AdapterTensors adapter) {
        Set<String> held = new LinkedHashSet<>();
        for (FullTensor tensor : adapter.full()) {
            if (names.isNamed(tensor.name(), config.modulesToSave())) {
                held.add(tensor.name());
            }
        }
        if (held.isEmpty()) {
            return null;
        }
        Set<String> read = new LinkedHashSet<>();
        for (String tensor : tree.tensors().keySet()) {
            if (names.isNamed(tensor, config.modulesToSave()) && !names.isTiedHead(tensor)) {
                read.add(tensor);
            }
        }
        if (read.equals(held) && held.stream().noneMatch(names::isTiedEmbedding)) {
            return config.modulesToSave();
        }
        Set<String> modules = new LinkedHashSet<>();
        held.forEach(tensor -> modules.add(module(checkpointNames ? tensor : names.inMemory(tensor))));
        return List.copyOf(modules);
    }

    private static String module(String tensor) {
        return tensor.substring(0, tensor.lastIndexOf('.'));
    }

    /** A plain list for the input embedding, as PEFT's users write it. */
    private Object tokens(List<TokenRows> tokens) {
        if (tokens.isEmpty()) {
            return null;
        }
        Map<String, List<Integer>> rows = new LinkedHashMap<>();
        for (TokenRows one : tokens) {
            boolean input = tree.modules().stream()
                    .anyMatch(module ->
                            module.kind() == Kind.EMBEDDING && module.name().equals(one.module()));
            rows.put(input && tokens.size() == 1 ? TrainableTokens.INPUT_EMBEDDING : one.module(), one.indices());
        }
        return LoraKeys.TRAINABLE_TOKEN_INDICES.write(new TrainableTokens(rows));
    }
}
