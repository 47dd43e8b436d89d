package dev.loranative.nn;

import dev.loranative.errors.UserException;
import java.util.Arrays;
import java.util.Locale;
import java.util.OptionalDouble;
import java.util.stream.Collectors;

/**
 * How rotary position embedding turns positions into angles: the keys of {@code rope_parameters} (or
 * {@code rope_scaling}) in config.json.
 *
 * @param theta base of the wavelengths, {@code rope_theta}
 * @param partialRotaryFactor share of each head that is rotated, 1 for all
 * @param factor by how much the context is stretched; 1 for {@link Type#DEFAULT}
 * @param originalMaxPositionEmbeddings context of the pre-training, for {@link Type#LLAMA3} and {@link Type#YARN}
 * @param lowFreqFactor for {@link Type#LLAMA3}: wavelengths above original context / lowFreqFactor are stretched fully
 * @param highFreqFactor for {@link Type#LLAMA3}: wavelengths below original context / highFreqFactor are left alone
 * @param yarn for {@link Type#YARN}
 */
public record RopeParameters(
        Type type,
        double theta,
        double partialRotaryFactor,
        double factor,
        int originalMaxPositionEmbeddings,
        double lowFreqFactor,
        double highFreqFactor,
        Yarn yarn) {

    /** The scalings, named in config.json by these names in lower case. */
    public enum Type {
        /** No scaling. */
        DEFAULT,
        /** All positions divided by the factor. */
        LINEAR,
        /** The base grows with the longest sequence, once that is beyond the model's context ("dynamic NTK"). */
        DYNAMIC,
        /** Long wavelengths divided by the factor, short ones left alone, those between interpolated (Llama 3.1). */
        LLAMA3,
        /** As LLAMA3 with a ramp over dimensions, and a temperature on attention (arXiv 2309.00071). */
        YARN;

        /**
         * The scaling of this name.
         *
         * @throws UserException for any other name, listing those supported
         */
        public static Type named(String name) {
            for (Type type : values()) {
                if (type.label().equals(name)) {
                    return type;
                }
            }
            String known = Arrays.stream(values()).map(Type::label).collect(Collectors.joining(", "));
            throw UserException.badInput(
                    "rope_type '" + name + "' is not supported", "supported are " + known + "; use another model");
        }

        /** The name in config.json. */
        public String label() {
            return name().toLowerCase(Locale.ROOT);
        }
    }

    /**
     * What only YaRN has.
     *
     * @param betaFast rotations in the original context above which a dimension is left alone
     * @param betaSlow rotations below which it is stretched fully
     * @param attentionFactor multiplies cosines and sines; if empty it follows from the factor and the two scales
     * @param mscale numerator's scale, used only together with mscaleAllDim; 0 counts as empty
     * @param mscaleAllDim denominator's scale
     * @param truncate whether the ramp begins and ends at whole dimensions
     */
    public record Yarn(
            double betaFast,
            double betaSlow,
            OptionalDouble attentionFactor,
            OptionalDouble mscale,
            OptionalDouble mscaleAllDim,
            boolean truncate) {

        /** The values of the paper. */
        public static final Yarn DEFAULTS =
                new Yarn(32, 1, OptionalDouble.empty(), OptionalDouble.empty(), OptionalDouble.empty(), true);
    }

    /** @throws UserException for a value that gives no angles */
    public RopeParameters {
        // A base of 1 or less has no growing wavelengths, and YaRN divides by its logarithm.
        require(Double.isFinite(theta) && theta > 1, "rope_theta", theta, "a number above 1");
        require(
                partialRotaryFactor > 0 && partialRotaryFactor <= 1,
                "partial_rotary_factor",
                partialRotaryFactor,
                "above 0 and at most 1");
        require(Double.isFinite(factor) && factor >= 1, "rope factor", factor, "a number of at least 1");
        if (type == Type.LLAMA3 || type == Type.YARN) {
            require(
                    originalMaxPositionEmbeddings > 0,
                    "original_max_position_embeddings",
                    originalMaxPositionEmbeddings,
                    "positive");
        }
        if (type == Type.LLAMA3) {
            require(lowFreqFactor > 0, "low_freq_factor", lowFreqFactor, "positive");
            require(
                    Double.isFinite(highFreqFactor) && highFreqFactor > lowFreqFactor,
                    "high_freq_factor",
                    highFreqFactor,
                    "above low_freq_factor (" + lowFreqFactor + ")");
        }
        if (type == Type.YARN) {
            require(yarn.betaSlow() > 0, "beta_slow", yarn.betaSlow(), "positive");
            require(
                    Double.isFinite(yarn.betaFast()) && yarn.betaFast() >= yarn.betaSlow(),
                    "beta_fast",
                    yarn.betaFast(),
                    "at least beta_slow (" + yarn.betaSlow() + ")");
            double attention = yarn.attentionFactor().orElse(1);
            require(Double.isFinite(attention) && attention > 0, "attention_factor", attention, "positive");
        }
    }

    /** Plain rotary embedding of whole heads. */
    public static RopeParameters unscaled(double theta) {
        return new RopeParameters(Type.DEFAULT, theta, 1, 1, 0, 0, 0, Yarn.DEFAULTS);
    }

    /**
     * How many of a head's dimensions are rotated.
     *
     * @throws UserException if they do not come in pairs
     */
    public int rotaryDim(int headDim) {
        int rotaryDim = (int) (headDim * partialRotaryFactor);
        if (rotaryDim < 2 || rotaryDim % 2 != 0) {
            throw UserException.badInput(
                    "rotary position embedding needs an even number of dimensions, but head_dim " + headDim
                            + " with partial_rotary_factor " + partialRotaryFactor + " gives " + rotaryDim,
                    "check head_dim, hidden_size and num_attention_heads in config.json");
        }
        return rotaryDim;
    }

    private static void require(boolean valid, String key, Number value, String wanted) {
        if (!valid) {
            throw UserException.badInput(
                    key + " is " + value + ", but must be " + wanted,
                    "check rope_parameters (or rope_theta and rope_scaling) in config.json");
        }
    }
}
