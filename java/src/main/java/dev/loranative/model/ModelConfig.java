package dev.loranative.model;

import dev.loranative.errors.UserException;
import dev.loranative.nn.RopeParameters;
import dev.loranative.tensor.Activation;
import java.util.List;
import java.util.Optional;

/**
 * A model's sizes and options, as transformers understands its config.json.
 *
 * @param family what the model type alone decides
 * @param vocabSize rows of the embedding and of the head
 * @param hiddenSize width of the residual stream
 * @param intermediateSize width of the MLP in layers without experts
 * @param layers number of decoder layers
 * @param heads query heads
 * @param kvHeads key and value heads; a divisor of heads
 * @param headDim dimensions of a head; heads * headDim need not be hiddenSize
 * @param maxPositionEmbeddings longest sequence the model was made for
 * @param rmsNormEps added to the mean square in every norm
 * @param activation of the gated MLPs
 * @param tieWordEmbeddings whether the head is the embedding
 * @param qkvBias whether the query, key and value projections have biases
 * @param oBias whether the attention's output projection has one
 * @param mlpBias whether the projections of MLPs have biases
 * @param slidingWindows for every layer the number of keys a query sees, itself included; 0 for all before it
 * @param clipQkv queries, keys and values are limited to [-clipQkv, clipQkv]; 0 for no limit
 * @param moe empty for a dense model
 * @param dtype type the model was saved in, for example {@code bfloat16}, if config.json says so; what each tensor
 *     really is stands in the checkpoint
 * @param saysFourBits whether config.json says that bitsandbytes holds the linear layers in 4 bits; which it does stands in
 *     the checkpoint
 */
public record ModelConfig(
        Family family,
        int vocabSize,
        int hiddenSize,
        int intermediateSize,
        int layers,
        int heads,
        int kvHeads,
        int headDim,
        int maxPositionEmbeddings,
        double rmsNormEps,
        RopeParameters rope,
        Activation activation,
        boolean tieWordEmbeddings,
        boolean qkvBias,
        boolean oBias,
        boolean mlpBias,
        List<Integer> slidingWindows,
        double clipQkv,
        Optional<MoeConfig> moe,
        Optional<String> dtype,
        boolean saysFourBits) {

    /** What is normalised in queries and keys before the rotation. */
    public enum QkNorm {
        NONE,
        /** Each head by itself; the weight has headDim elements. */
        PER_HEAD,
        /** The whole projection; the weight is as wide as the projection. */
        FULL
    }

    /** @throws UserException for sizes that make no model */
    public ModelConfig {
        slidingWindows = List.copyOf(slidingWindows);
        requirePositive(vocabSize, "vocab_size");
        requirePositive(hiddenSize, "hidden_size");
        requirePositive(intermediateSize, "intermediate_size");
        requirePositive(layers, "num_hidden_layers");
        requirePositive(heads, "num_attention_heads");
        requirePositive(kvHeads, "num_key_value_heads");
        requirePositive(headDim, "head_dim");
        requirePositive(maxPositionEmbeddings, "max_position_embeddings");
        if (heads % kvHeads != 0) {
            throw wrong(
                    "num_attention_heads (" + heads + ") is not a multiple of num_key_value_heads (" + kvHeads + ")");
        }
        if ((long) heads * headDim > Integer.MAX_VALUE) {
            throw wrong("num_attention_heads (" + heads + ") times head_dim (" + headDim + ") is too large");
        }
        if (!(rmsNormEps >= 0) || Double.isInfinite(rmsNormEps)) {
            throw wrong("rms_norm_eps is " + rmsNormEps + ", but must not be negative");
        }
        if (!(clipQkv >= 0) || Double.isInfinite(clipQkv)) {
            throw wrong("clip_qkv is " + clipQkv + ", but must be positive");
        }
        rope.rotaryDim(headDim);
        if (family.qkNorm() == QkNorm.FULL && heads * headDim != hiddenSize) {
            throw wrong("num_attention_heads (" + heads + ") times head_dim (" + headDim + ") is not hidden_size ("
                    + hiddenSize + "), which " + family.modelType() + " needs for its norms of queries and keys");
        }
        if (slidingWindows.size() != layers) {
            throw new IllegalArgumentException(slidingWindows.size() + " windows for " + layers + " layers");
        }
        if (moe.isPresent() && moe.get().sparse().size() != layers) {
            throw new IllegalArgumentException(moe.get().sparse().size() + " flags for " + layers + " layers");
        }
    }

    /** {@code model_type} of config.json. */
    public String modelType() {
        return family.modelType();
    }

    public QkNorm qkNorm() {
        return family.qkNorm();
    }

    /** Whether this layer has experts. */
    public boolean isSparse(int layer) {
        return moe.isPresent() && moe.get().sparse().get(layer);
    }

    /** Width of the query projection. */
    public int queryWidth() {
        return heads * headDim;
    }

    /** Width of the key projection, and of the value projection. */
    public int keyWidth() {
        return kvHeads * headDim;
    }

    /** Longest sequence that can be run: dynamic RoPE scaling stretches the context by its factor. */
    public int longestSequence() {
        return rope.type() == RopeParameters.Type.DYNAMIC
                ? (int) Math.min(Integer.MAX_VALUE, maxPositionEmbeddings * rope.factor())
                : maxPositionEmbeddings;
    }

    static void requirePositive(int value, String key) {
        if (value < 1) {
            throw wrong(key + " is " + value + ", but must be positive");
        }
    }

    static UserException wrong(String what) {
        return UserException.badInput(what, "correct config.json, or copy it again from where the model came from");
    }
}
