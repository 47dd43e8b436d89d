package dev.loranative.lora;

import dev.loranative.checkpoint.TensorEntry;
import dev.loranative.config.BiasTraining;
import dev.loranative.config.LoraConfig;
import dev.loranative.config.Nearest;
import dev.loranative.config.TrainableTokens;
import dev.loranative.lora.PeftName.Part;
import dev.loranative.model.LinearModule;
import dev.loranative.model.LinearModule.Kind;
import dev.loranative.model.ModuleTree;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** What a file replaces in the base model as it is: modules in {@code modules_to_save}, biases, rows of embeddings. */
final class FullReader {

    private final AdapterSource source;
    private final ModuleTree tree;
    private final LoraConfig lora;
    private final FullNames names;
    /** By name in the file, the name in the checkpoint. */
    private final Map<String, String> spellings = new HashMap<>();

    /** By name in the checkpoint. */
    private final Map<String, TensorEntry> found = new LinkedHashMap<>();

    private final Map<String, TensorEntry> tokens = new LinkedHashMap<>();
    private final List<String> copies = new ArrayList<>();

    FullReader(AdapterSource source, ModuleTree tree) {
        this.source = source;
        this.tree = tree;
        this.lora = source.config().lora();
        this.names = new FullNames(tree);
        tree.tensors().keySet().forEach(name -> spellings.put(name, name));
        tree.tensors().keySet().forEach(name -> spellings.put(names.inMemory(name), name));
    }

    /** Takes a tensor that belongs to no low-rank update. */
    void place(TensorEntry entry, PeftName name) {
        switch (name.part()) {
            case TOKENS -> tokens.put(name.module(), entry);
            case SAVED_BIAS, ORIGINAL_BIAS -> copies.add(name.module() + ".bias");
            case BASE_BIAS -> add(name.module() + ".bias", entry);
            default -> add(name.module(), entry);
        }
    }

    private void add(String spelled, TensorEntry entry) {
        String name = spellings.get(spelled);
        if (name == null) {
            String nearest =
                    Nearest.to(spelled, Set.copyOf(spellings.keySet()), 1).getFirst();
            boolean experts = spelled.contains(".experts.");
            throw source.bad(
                    entry.name() + " belongs to no module of this model",
                    experts && !spelled.matches(".*\\.experts\\.\\d+\\..*")
                            ? "experts in modules_to_save are not supported: train them by LoRA"
                            : "the adapter is for another model; nearest name: " + nearest);
        }
        if (found.put(name, entry) != null) {
            throw source.bad(
                    entry.name() + " is in the file under two names", "keep the tensors of one of the two names");
        }
    }

    /**
     * All tensors that the configuration asks for, and no others, in the order of {@link Targets#full}: the optimizer's state of a
     * checkpoint knows parameters by their place.
     *
     * @param targets the modules that have a low-rank update
     */
    List<FullTensor> read(Set<LinearModule> targets) {
        joinTied();
        List<FullTensor> full = new ArrayList<>();
        List<FullTensor> biases = new ArrayList<>();
        for (String name : tree.tensors().keySet()) {
            if (names.isTiedHead(name)) {
                continue;
            }
            TensorEntry entry = found.get(name);
            boolean saved = names.isNamed(name, lora.modulesToSave());
            if (saved || isTrainedBias(name, targets)) {
                if (entry == null) {
                    throw source.bad(
                            "no tensor for " + name + ", which " + AdapterConfig.FILE + " has in "
                                    + (saved ? "modules_to_save " + lora.modulesToSave() : "bias " + word(lora.bias())),
                            "the file is incomplete, or belongs to another configuration");
                }
                List<Long> shape = tree.tensors().get(name);
                (saved ? full : biases)
                        .add(new FullTensor(name, shape, source.read(entry, shape, "that is the shape in the model")));
            } else if (entry != null) {
                refuseUnlessCopy(name, entry);
            }
        }
        for (String copy : copies) {
            if (!names.isNamed(spellings.getOrDefault(copy, copy), lora.modulesToSave())) {
                throw source.bad(
                        "unexpected tensors for " + copy + ": its module is not in modules_to_save",
                        "the two files belong to different adapters");
            }
        }
        full.addAll(biases);
        return full;
    }

    /**
     * Makes one of the two weights that PEFT has where embedding and head are tied. It trains them as one only with
     * {@code ensure_weight_tying}; else they part, and the model is no longer the one that config.json describes.
     */
    private void joinTied() {
        if (names.tiedHead().isEmpty()) {
            return;
        }
        String embedding = names.tiedEmbedding().orElseThrow();
        TensorEntry ofHead = found.remove(names.tiedHead().orElseThrow());
        TensorEntry ofEmbedding = found.get(embedding);
        boolean saved = names.isNamed(embedding, lora.modulesToSave());
        if (ofHead == null && ofEmbedding == null || !saved && ofHead == null) {
            return;
        }
        if (ofHead != null && ofEmbedding == null) {
            found.put(embedding, ofHead);
        }
        boolean alike = ofHead != null && ofEmbedding != null && haveSameValues(ofHead, ofEmbedding);
        if (saved && !alike && (!lora.ensureWeightTying() || ofHead != null && ofEmbedding != null)) {
            throw source.bad(
                    "modules_to_save has " + (ofEmbedding == null ? "the head" : "the embedding")
                            + (ofHead != null && ofEmbedding != null ? " and the head with other values" : " alone")
                            + ", but config.json ties the two (tie_word_embeddings)",
                    "only adapters that change both alike are supported: train with ensure_weight_tying: true");
        }
    }

    private boolean haveSameValues(TensorEntry one, TensorEntry other) {
        return one.shape().equals(other.shape()) && Arrays.equals(source.finite(one), source.finite(other));
    }

    private boolean isTrainedBias(String name, Set<LinearModule> targets) {
        return switch (lora.bias()) {
            case NONE -> false;
            case ALL -> name.endsWith(".bias");
            case LORA_ONLY -> targets.stream().anyMatch(target -> name.equals(target.name() + ".bias"));
        };
    }

    /** PEFT may add the unchanged weights of embeddings and head. */
    private void refuseUnlessCopy(String name, TensorEntry entry) {
        boolean embedding = tree.modules().stream()
                .filter(module -> module.kind() == Kind.EMBEDDING || module.kind() == Kind.HEAD)
                .anyMatch(module -> name.equals(module.name() + ".weight"));
        if (!embedding) {
            throw source.bad(
                    "unexpected tensor " + entry.name() + ": " + AdapterConfig.FILE
                            + " has it neither in modules_to_save " + lora.modulesToSave() + " nor in bias "
                            + word(lora.bias()),
                    "the two files belong to different adapters");
        }
        source.requireShape(entry, tree.tensors().get(name), "that is the shape in the model");
        source.warn(entry.name() + " is taken for PEFT's copy of the base model's and is ignored: modules_to_save does"
                + " not name it");
    }

    private static String word(BiasTraining bias) {
        return bias.name().toLowerCase(java.util.Locale.ROOT);
    }

    /** Rows of embeddings, those that the configuration numbers. */
    List<TokenRows> tokens() {
        List<TokenRows> rows = new ArrayList<>();
        Map<String, TensorEntry> left = new LinkedHashMap<>(tokens);
        lora.trainableTokens().rows().forEach((key, indices) -> {
            LinearModule module = embedding(key);
            if (names.isTiedHead(module.name() + ".weight")) {
                // It follows the embedding, whose rows PEFT stores alone.
                return;
            }
            TensorEntry entry = left.remove(module.name());
            if (entry == null) {
                throw source.incomplete(module.name(), Part.TOKENS);
            }
            indices.stream().filter(index -> index >= module.out()).findFirst().ifPresent(index -> {
                throw source.bad(
                        "trainable_token_indices in " + AdapterConfig.FILE + " has " + index + ", but " + module.name()
                                + " has the rows 0 to " + (module.out() - 1),
                        "the adapter is for another model");
            });
            List<Long> shape = List.of((long) indices.size(), module.in());
            String why = "trainable_token_indices has " + indices.size() + " rows";
            rows.add(new TokenRows(module.name(), indices, source.read(entry, shape, why)));
        });
        left.values().forEach(entry -> {
            throw source.bad(
                    "unexpected tensor " + entry.name() + ": " + AdapterConfig.FILE
                            + " has no such trainable_token_indices",
                    "the two files belong to different adapters");
        });
        return rows;
    }

    private LinearModule embedding(String key) {
        return tree.modules().stream()
                .filter(module -> key.equals(TrainableTokens.INPUT_EMBEDDING)
                        ? module.kind() == Kind.EMBEDDING
                        : (module.kind() == Kind.EMBEDDING || module.kind() == Kind.HEAD)
                                && module.name().endsWith(key))
                .findFirst()
                .orElseThrow(() -> source.bad(
                        "trainable_token_indices in " + AdapterConfig.FILE + " names " + key
                                + ", which the model does not have",
                        "the adapter is for another model"));
    }
}
