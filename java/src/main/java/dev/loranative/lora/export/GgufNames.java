package dev.loranative.lora.export;

import dev.loranative.errors.UserException;
import dev.loranative.model.LinearModule;
import dev.loranative.model.LinearModule.Kind;
import java.util.Map;

/**
 * What llama.cpp calls architectures and tensors, and in which order its rows lie.
 *
 * @param architecture {@code general.architecture}
 * @param interleaved whether rotary pairs stand side by side: query and key rows are reordered then
 */
record GgufNames(String architecture, boolean interleaved) {

    private static final Map<String, GgufNames> BY_MODEL_TYPE = Map.of(
            "llama", new GgufNames("llama", true),
            "mistral", new GgufNames("llama", true),
            "mixtral", new GgufNames("llama", true),
            "qwen2", new GgufNames("qwen2", false),
            "qwen3", new GgufNames("qwen3", false),
            "qwen2_moe", new GgufNames("qwen2moe", false),
            "qwen3_moe", new GgufNames("qwen3moe", false),
            "olmoe", new GgufNames("olmoe", false));

    /** Ends of names below a layer; Mixtral's w1, w3, w2 are gate, up, down. */
    private static final Map<String, String> PROJECTIONS = Map.ofEntries(
            Map.entry("self_attn.q_proj", "attn_q"),
            Map.entry("self_attn.k_proj", "attn_k"),
            Map.entry("self_attn.v_proj", "attn_v"),
            Map.entry("self_attn.o_proj", "attn_output"),
            Map.entry("mlp.gate_proj", "ffn_gate"),
            Map.entry("mlp.up_proj", "ffn_up"),
            Map.entry("mlp.down_proj", "ffn_down"),
            Map.entry("mlp.shared_expert.gate_proj", "ffn_gate_shexp"),
            Map.entry("mlp.shared_expert.up_proj", "ffn_up_shexp"),
            Map.entry("mlp.shared_expert.down_proj", "ffn_down_shexp"),
            Map.entry("mlp.shared_expert_gate", "ffn_gate_inp_shexp"));

    private static final Map<String, String> EXPERT_PROJECTIONS = Map.of(
            "gate_proj", "ffn_gate_exps",
            "up_proj", "ffn_up_exps",
            "down_proj", "ffn_down_exps",
            "w1", "ffn_gate_exps",
            "w3", "ffn_up_exps",
            "w2", "ffn_down_exps");

    /** @throws UserException for a model type that llama.cpp does not know under a name of ours */
    static GgufNames of(String modelType) {
        GgufNames names = BY_MODEL_TYPE.get(modelType);
        if (names == null) {
            throw UserException.badInput(
                    "model_type '" + modelType + "' cannot be exported as GGUF",
                    "supported are "
                            + String.join(
                                    ", ",
                                    BY_MODEL_TYPE.keySet().stream().sorted().toList()));
        }
        return names;
    }

    /** The name of the weight that holds a module; all experts of a projection lie in one. */
    String weight(LinearModule module) {
        String name = module.name();
        String own = switch (module.kind()) {
            case EMBEDDING -> "token_embd";
            case HEAD -> "output";
            case ROUTER -> layer(module, "ffn_gate_inp");
            case EXPERT -> layer(module, EXPERT_PROJECTIONS.get(name.substring(name.lastIndexOf('.') + 1)));
            case ATTENTION, MLP ->
                layer(
                        module,
                        PROJECTIONS.get(
                                name.substring(name.indexOf(".layers.") + 8).replaceFirst("^\\d+\\.", "")));
        };
        return own + ".weight";
    }

    private static String layer(LinearModule module, String projection) {
        if (projection == null) {
            throw UserException.badInput(
                    module.name() + " has no name in llama.cpp", "leave it out of the adapter to export it");
        }
        return "blk." + module.layer() + "." + projection;
    }

    /** Heads whose rows are reordered; 0 for modules whose rows stay. */
    int reorderedHeads(LinearModule module, int heads, int kvHeads) {
        if (!interleaved || module.kind() != Kind.ATTENTION) {
            return 0;
        }
        return module.name().endsWith(".q_proj") ? heads : module.name().endsWith(".k_proj") ? kvHeads : 0;
    }
}
