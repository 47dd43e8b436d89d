package dev.loranative.model;

import dev.loranative.model.ModelConfig.QkNorm;
import java.util.Optional;

/**
 * What a {@code model_type} decides by itself: which options it reads, what they are when config.json leaves them out,
 * and what its tensors are called.
 *
 * @param biases which projections have biases
 * @param clipsQkv whether {@code clip_qkv} limits queries, keys and values
 * @param window which layers look through a sliding window
 * @param moe empty for a dense family
 */
public record Family(
        String modelType,
        Defaults defaults,
        QkNorm qkNorm,
        Biases biases,
        boolean clipsQkv,
        WindowRule window,
        Optional<Moe> moe) {

    /**
     * Values of absent keys, those of the configuration classes of transformers 5.18.
     *
     * @param kvHeads 0 for as many as there are query heads
     * @param headDim 0 for hidden size / heads
     * @param slidingWindow 0 for none
     */
    public record Defaults(
            int vocabSize,
            int hiddenSize,
            int intermediateSize,
            int layers,
            int heads,
            int kvHeads,
            int headDim,
            int maxPositionEmbeddings,
            double rmsNormEps,
            double ropeTheta,
            int slidingWindow) {}

    /** Where biases come from. */
    public enum Biases {
        NONE,
        /** {@code attention_bias} (queries, keys, values and output; default false). */
        ATTENTION_KEY,
        /** {@code attention_bias}, and {@code mlp_bias} for the MLPs. */
        ATTENTION_AND_MLP_KEYS,
        /** Queries, keys and values always, output never. */
        QKV,
        /** {@code qkv_bias} (queries, keys and values; default true). */
        QKV_KEY
    }

    /** Which layers look through {@code sliding_window}. */
    public enum WindowRule {
        /** None, whatever config.json says. */
        NEVER,
        /** All, if {@code sliding_window} is given. */
        ALL,
        /** All, if {@code use_sliding_window} is true. */
        ALL_IF_USED,
        /** By {@code layer_types}, else those from {@code max_window_layers} on, if {@code use_sliding_window}. */
        UPPER_LAYERS,
        /** By {@code layer_types}, else every second one below {@code max_window_layers}, if used. */
        ALTERNATING_LAYERS
    }

    /**
     * The mixture of experts of a family.
     *
     * @param intermediateKey the key in config.json that holds the experts' width
     * @param intermediateSize its default; 0 when it is the dense one's
     * @param sharedIntermediateSize default width of the shared expert; 0 if the family has none
     * @param alwaysRenormalise whether the weights of the chosen experts always sum to one; else {@code norm_topk_prob}
     *     says so, false by default
     * @param denseLayers whether {@code mlp_only_layers} and {@code decoder_sparse_step} may make layers dense
     * @param names of the tensors
     */
    public record Moe(
            int experts,
            int topK,
            String intermediateKey,
            int intermediateSize,
            int sharedIntermediateSize,
            boolean alwaysRenormalise,
            double auxLossCoefficient,
            boolean denseLayers,
            MoeNames names) {}

    /**
     * Names below a layer.
     *
     * @param block the module of router and experts
     * @param gate an expert's projection that goes through the activation
     */
    public record MoeNames(String block, String gate, String up, String down) {

        /** As transformers names them in memory since version 5. */
        static final MoeNames USUAL = new MoeNames("mlp", "gate_proj", "up_proj", "down_proj");
    }
}
