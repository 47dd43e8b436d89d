package dev.loranative.lora;

import dev.loranative.model.LinearModule;
import dev.loranative.model.LinearModule.Kind;
import dev.loranative.model.ModuleTree;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Module trees of tiny models, with the names that checkpoints have. */
final class TestTrees {

    static final int EXPERTS = 4;
    private static final int HIDDEN = 32;
    private static final int KEYS = 16;
    private static final int INNER = 24;
    private static final int VOCABULARY = 64;

    private final int experts;
    private final List<LinearModule> modules = new ArrayList<>();

    private TestTrees(int experts) {
        this.experts = experts;
    }

    static ModuleTree llama(int layers) {
        TestTrees tree = new TestTrees(EXPERTS);
        tree.add("model.embed_tokens", Kind.EMBEDDING, -1, -1, VOCABULARY, HIDDEN);
        for (int layer = 0; layer < layers; layer++) {
            tree.attention(layer);
            tree.mlp(layer, "model.layers." + layer + ".mlp");
        }
        return tree.finish("llama");
    }

    /** As {@link #llama}, with norms, and with biases in the attention. */
    static ModuleTree llamaWithBiases(int layers) {
        ModuleTree plain = llama(layers);
        List<LinearModule> modules = plain.modules().stream()
                .map(module -> new LinearModule(
                        module.name(),
                        module.kind(),
                        module.layer(),
                        module.expert(),
                        module.out(),
                        module.in(),
                        module.kind() == Kind.ATTENTION,
                        module.aliases()))
                .toList();
        Map<String, List<Long>> tensors = new LinkedHashMap<>(new ModuleTree("qwen2", modules).tensors());
        for (int layer = 0; layer < layers; layer++) {
            tensors.put("model.layers." + layer + ".input_layernorm.weight", List.of((long) HIDDEN));
            tensors.put("model.layers." + layer + ".post_attention_layernorm.weight", List.of((long) HIDDEN));
        }
        tensors.put("model.norm.weight", List.of((long) HIDDEN));
        return new ModuleTree("qwen2", modules, tensors, false);
    }

    /** Layer 0 has a dense MLP, the others experts. */
    static ModuleTree qwen3MoeWithDenseLayer(int layers) {
        return qwenMoe("qwen3_moe", layers, EXPERTS, true, false);
    }

    static ModuleTree qwen3Moe(int layers) {
        return qwen3Moe(layers, EXPERTS);
    }

    static ModuleTree qwen3Moe(int layers, int experts) {
        return qwenMoe("qwen3_moe", layers, experts, false, false);
    }

    /** One layer whose experts are as wide as the model. */
    static ModuleTree squareMoe() {
        TestTrees tree = new TestTrees(EXPERTS);
        for (int expert = 0; expert < EXPERTS; expert++) {
            String own = "model.layers.0.mlp.experts." + expert;
            tree.add(own + ".gate_proj", Kind.EXPERT, 0, expert, HIDDEN, HIDDEN);
            tree.add(own + ".up_proj", Kind.EXPERT, 0, expert, HIDDEN, HIDDEN);
            tree.add(own + ".down_proj", Kind.EXPERT, 0, expert, HIDDEN, HIDDEN);
        }
        return tree.finish("qwen3_moe");
    }

    static ModuleTree qwen2Moe(int layers) {
        return qwenMoe("qwen2_moe", layers, EXPERTS, false, true);
    }

    static ModuleTree mixtral(int layers) {
        TestTrees tree = new TestTrees(EXPERTS);
        tree.add("model.embed_tokens", Kind.EMBEDDING, -1, -1, VOCABULARY, HIDDEN);
        for (int layer = 0; layer < layers; layer++) {
            tree.attention(layer);
            String moe = "model.layers." + layer + ".block_sparse_moe";
            String memory = "model.layers." + layer + ".mlp";
            tree.add(moe + ".gate", Kind.ROUTER, layer, -1, tree.experts, HIDDEN, memory + ".gate");
            for (int expert = 0; expert < tree.experts; expert++) {
                String own = moe + ".experts." + expert;
                String other = memory + ".experts." + expert;
                tree.add(own + ".w1", Kind.EXPERT, layer, expert, INNER, HIDDEN, other + ".gate_proj");
                tree.add(own + ".w2", Kind.EXPERT, layer, expert, HIDDEN, INNER, other + ".down_proj");
                tree.add(own + ".w3", Kind.EXPERT, layer, expert, INNER, HIDDEN, other + ".up_proj");
            }
        }
        return tree.finish("mixtral");
    }

    private static ModuleTree qwenMoe(String type, int layers, int experts, boolean denseFirst, boolean shared) {
        TestTrees tree = new TestTrees(experts);
        tree.add("model.embed_tokens", Kind.EMBEDDING, -1, -1, VOCABULARY, HIDDEN);
        for (int layer = 0; layer < layers; layer++) {
            tree.attention(layer);
            String mlp = "model.layers." + layer + ".mlp";
            if (denseFirst && layer == 0) {
                tree.mlp(layer, mlp);
                continue;
            }
            tree.add(mlp + ".gate", Kind.ROUTER, layer, -1, tree.experts, HIDDEN);
            for (int expert = 0; expert < tree.experts; expert++) {
                String own = mlp + ".experts." + expert;
                tree.add(own + ".gate_proj", Kind.EXPERT, layer, expert, INNER, HIDDEN);
                tree.add(own + ".up_proj", Kind.EXPERT, layer, expert, INNER, HIDDEN);
                tree.add(own + ".down_proj", Kind.EXPERT, layer, expert, HIDDEN, INNER);
            }
            if (shared) {
                tree.mlp(layer, mlp + ".shared_expert");
                tree.add(mlp + ".shared_expert_gate", Kind.MLP, layer, -1, 1, HIDDEN);
            }
        }
        return tree.finish(type);
    }

    private void attention(int layer) {
        String attention = "model.layers." + layer + ".self_attn";
        add(attention + ".q_proj", Kind.ATTENTION, layer, -1, HIDDEN, HIDDEN);
        add(attention + ".k_proj", Kind.ATTENTION, layer, -1, KEYS, HIDDEN);
        add(attention + ".v_proj", Kind.ATTENTION, layer, -1, KEYS, HIDDEN);
        add(attention + ".o_proj", Kind.ATTENTION, layer, -1, HIDDEN, HIDDEN);
    }

    private void mlp(int layer, String mlp) {
        add(mlp + ".gate_proj", Kind.MLP, layer, -1, INNER, HIDDEN);
        add(mlp + ".up_proj", Kind.MLP, layer, -1, INNER, HIDDEN);
        add(mlp + ".down_proj", Kind.MLP, layer, -1, HIDDEN, INNER);
    }

    private void add(String name, Kind kind, int layer, int expert, int out, int in, String... aliases) {
        modules.add(new LinearModule(name, kind, layer, expert, out, in, false, List.of(aliases)));
    }

    private ModuleTree finish(String modelType) {
        add("lm_head", Kind.HEAD, -1, -1, VOCABULARY, HIDDEN);
        return new ModuleTree(modelType, List.copyOf(modules));
    }
}
