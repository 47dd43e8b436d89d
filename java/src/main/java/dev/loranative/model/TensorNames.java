package dev.loranative.model;

import dev.loranative.model.Family.Moe;
import dev.loranative.model.Family.MoeNames;

/**
 * The names of a family's modules in the checkpoint, without {@code .weight} and {@code .bias}.
 *
 * @param moe names of the mixture of experts; those of a dense family are never asked for
 */
public record TensorNames(MoeNames moe) {

    public static TensorNames of(Family family) {
        return new TensorNames(family.moe().map(Moe::names).orElse(MoeNames.USUAL));
    }

    public String embedding() {
        return "model.embed_tokens";
    }

    public String finalNorm() {
        return "model.norm";
    }

    public String head() {
        return "lm_head";
    }

    public String inputNorm(int layer) {
        return layer(layer) + "input_layernorm";
    }

    /** The norm between attention and feed-forward. */
    public String middleNorm(int layer) {
        return layer(layer) + "post_attention_layernorm";
    }

    public String query(int layer) {
        return layer(layer) + "self_attn.q_proj";
    }

    public String key(int layer) {
        return layer(layer) + "self_attn.k_proj";
    }

    public String value(int layer) {
        return layer(layer) + "self_attn.v_proj";
    }

    public String output(int layer) {
        return layer(layer) + "self_attn.o_proj";
    }

    public String queryNorm(int layer) {
        return layer(layer) + "self_attn.q_norm";
    }

    public String keyNorm(int layer) {
        return layer(layer) + "self_attn.k_norm";
    }

    public String mlpGate(int layer) {
        return layer(layer) + "mlp.gate_proj";
    }

    public String mlpUp(int layer) {
        return layer(layer) + "mlp.up_proj";
    }

    public String mlpDown(int layer) {
        return layer(layer) + "mlp.down_proj";
    }

    public String router(int layer) {
        return block(layer) + "gate";
    }

    public String expertGate(int layer, int expert) {
        return expert(layer, expert) + moe.gate();
    }

    public String expertUp(int layer, int expert) {
        return expert(layer, expert) + moe.up();
    }

    public String expertDown(int layer, int expert) {
        return expert(layer, expert) + moe.down();
    }

    public String sharedGate(int layer) {
        return block(layer) + "shared_expert.gate_proj";
    }

    public String sharedUp(int layer) {
        return block(layer) + "shared_expert.up_proj";
    }

    public String sharedDown(int layer) {
        return block(layer) + "shared_expert.down_proj";
    }

    /** The sigmoid gate that weighs the shared expert. */
    public String sharedExpertGate(int layer) {
        return block(layer) + "shared_expert_gate";
    }

    /** What the names of all experts of a layer begin with. */
    String experts(int layer) {
        return block(layer) + "experts.";
    }

    private String expert(int layer, int expert) {
        return experts(layer) + expert + ".";
    }

    private String block(int layer) {
        return layer(layer) + moe.block() + ".";
    }

    private static String layer(int layer) {
        return "model.layers." + layer + ".";
    }
}
