package dev.loranative.nn;

import java.util.OptionalDouble;

/**
 * Cosines and sines of rotary position embedding, computed as transformers' modeling_rope_utils computes them: inverse
 * frequencies, products and the attention scaling in float32, what Python computes on plain numbers in float64.
 *
 * @param positions number of rows; row p belongs to position p
 * @param rotaryDim rotated dimensions of a head; dimension i turns together with dimension i + rotaryDim / 2
 * @param cosine [positions, rotaryDim / 2], times the attention scaling
 * @param sine [positions, rotaryDim / 2], times the attention scaling
 */
public record RopeTables(int positions, int rotaryDim, float[] cosine, float[] sine) {

    /**
     * Tables for the positions 0 to {@code positions} - 1.
     *
     * <p>{@link RopeParameters.Type#DYNAMIC} depends on the longest sequence in use, which here is {@code positions}:
     * up to {@code maxPositionEmbeddings} it equals the unscaled embedding.
     *
     * @param headDim dimensions of an attention head
     * @param maxPositionEmbeddings the model's context, from config.json
     */
    public static RopeTables compute(RopeParameters parameters, int headDim, int maxPositionEmbeddings, int positions) {
        int rotaryDim = parameters.rotaryDim(headDim);
        float[] frequencies = inverseFrequencies(parameters, rotaryDim, maxPositionEmbeddings, positions);
        float scaling = (float) attentionScaling(parameters);
        int pairs = rotaryDim / 2;
        float[] cosine = new float[Math.multiplyExact(positions, pairs)];
        float[] sine = new float[cosine.length];
        for (int position = 0; position < positions; position++) {
            for (int pair = 0; pair < pairs; pair++) {
                float angle = position * frequencies[pair];
                cosine[position * pairs + pair] = (float) Math.cos(angle) * scaling;
                sine[position * pairs + pair] = (float) Math.sin(angle) * scaling;
            }
        }
        return new RopeTables(positions, rotaryDim, cosine, sine);
    }

    /** Radians per position, [rotaryDim / 2], falling from 1. */
    static float[] inverseFrequencies(
            RopeParameters parameters, int rotaryDim, int maxPositionEmbeddings, int longestSequence) {
        return switch (parameters.type()) {
            case DEFAULT -> unscaled(parameters.theta(), rotaryDim);
            case LINEAR -> linear(parameters, rotaryDim);
            case DYNAMIC ->
                unscaled(dynamicBase(parameters, rotaryDim, maxPositionEmbeddings, longestSequence), rotaryDim);
            case LLAMA3 -> llama3(parameters, rotaryDim);
            case YARN -> yarn(parameters, rotaryDim);
        };
    }

    /** What cosines and sines are multiplied with; 1 except for YaRN. */
    static double attentionScaling(RopeParameters parameters) {
        if (parameters.type() != RopeParameters.Type.YARN) {
            return 1;
        }
        RopeParameters.Yarn yarn = parameters.yarn();
        if (yarn.attentionFactor().isPresent()) {
            return yarn.attentionFactor().getAsDouble();
        }
        if (isGiven(yarn.mscale()) && isGiven(yarn.mscaleAllDim())) {
            return temperature(parameters.factor(), yarn.mscale().getAsDouble())
                    / temperature(parameters.factor(), yarn.mscaleAllDim().getAsDouble());
        }
        return temperature(parameters.factor(), 1);
    }

    private static boolean isGiven(OptionalDouble scale) {
        return scale.isPresent() && scale.getAsDouble() != 0;
    }

    private static double temperature(double factor, double scale) {
        return factor <= 1 ? 1 : 0.1 * scale * Math.log(factor) + 1;
    }

    private static float[] unscaled(double base, int rotaryDim) {
        float[] frequencies = wavelengths(base, rotaryDim);
        for (int pair = 0; pair < frequencies.length; pair++) {
            frequencies[pair] = 1 / frequencies[pair];
        }
        return frequencies;
    }

    /** base ^ (2 * pair / rotaryDim): positions per radian. */
    private static float[] wavelengths(double base, int rotaryDim) {
        float[] wavelengths = new float[rotaryDim / 2];
        for (int pair = 0; pair < wavelengths.length; pair++) {
            wavelengths[pair] = power((float) base, (float) (2 * pair) / rotaryDim);
        }
        return wavelengths;
    }

    private static float power(float base, float exponent) {
        return (float) Math.pow(base, exponent);
    }

    private static float[] linear(RopeParameters parameters, int rotaryDim) {
        float[] frequencies = unscaled(parameters.theta(), rotaryDim);
        for (int pair = 0; pair < frequencies.length; pair++) {
            frequencies[pair] /= (float) parameters.factor();
        }
        return frequencies;
    }

    private static double dynamicBase(
            RopeParameters parameters, int rotaryDim, int maxPositionEmbeddings, int longestSequence) {
        if (longestSequence <= maxPositionEmbeddings || rotaryDim <= 2) {
            return parameters.theta();
        }
        // transformers has the length in a tensor here, so that this one formula runs in float32.
        float stretch = (float) parameters.factor() * longestSequence / maxPositionEmbeddings
                - (float) (parameters.factor() - 1);
        return (float) parameters.theta() * power(stretch, (float) ((double) rotaryDim / (rotaryDim - 2)));
    }

    private static float[] llama3(RopeParameters parameters, int rotaryDim) {
        float[] frequencies = unscaled(parameters.theta(), rotaryDim);
        float context = parameters.originalMaxPositionEmbeddings();
        float factor = (float) parameters.factor();
        float low = (float) parameters.lowFreqFactor();
        float range = (float) (parameters.highFreqFactor() - parameters.lowFreqFactor());
        float longest = (float) (parameters.originalMaxPositionEmbeddings() / parameters.lowFreqFactor());
        float shortest = (float) (parameters.originalMaxPositionEmbeddings() / parameters.highFreqFactor());
        for (int pair = 0; pair < frequencies.length; pair++) {
            float frequency = frequencies[pair];
            float wavelength = (float) (2 * Math.PI) / frequency;
            if (wavelength > longest) {
                frequencies[pair] = frequency / factor;
            } else if (wavelength >= shortest) {
                float smooth = (context / wavelength - low) / range;
                frequencies[pair] = (1 - smooth) * frequency / factor + smooth * frequency;
            }
        }
        return frequencies;
    }

    private static float[] yarn(RopeParameters parameters, int rotaryDim) {
        RopeParameters.Yarn yarn = parameters.yarn();
        double begin = dimensionOf(yarn.betaFast(), parameters, rotaryDim);
        double end = dimensionOf(yarn.betaSlow(), parameters, rotaryDim);
        if (yarn.truncate()) {
            begin = Math.floor(begin);
            end = Math.ceil(end);
        }
        begin = Math.max(begin, 0);
        end = Math.min(end, rotaryDim - 1);
        float width = (float) (begin == end ? 0.001 : end - begin);
        float factor = (float) parameters.factor();
        float[] frequencies = wavelengths(parameters.theta(), rotaryDim);
        for (int pair = 0; pair < frequencies.length; pair++) {
            float kept = 1 / frequencies[pair];
            float stretched = 1 / (factor * frequencies[pair]);
            float ramp = Math.clamp((pair - (float) begin) / width, 0f, 1f);
            float keptShare = 1 - ramp;
            frequencies[pair] = stretched * (1 - keptShare) + kept * keptShare;
        }
        return frequencies;
    }

    /** The (fractional) dimension that makes that many rotations within the original context. */
    private static double dimensionOf(double rotations, RopeParameters parameters, int rotaryDim) {
        double wavelength = parameters.originalMaxPositionEmbeddings() / (rotations * 2 * Math.PI);
        return rotaryDim * Math.log(wavelength) / (2 * Math.log(parameters.theta()));
    }
}
