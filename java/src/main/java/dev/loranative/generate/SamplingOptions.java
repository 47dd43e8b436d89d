package dev.loranative.generate;

import dev.loranative.errors.UserException;

/**
 * How the next token is drawn.
 *
 * @param temperature logits are divided by it; 0 always takes the most likely token
 * @param topK only so many of the most likely tokens; 0 for all
 * @param topP only the most likely tokens that together reach this probability; 1 for all
 * @param seed same seed, same text
 */
public record SamplingOptions(double temperature, int topK, double topP, long seed) {

    /** The most likely token, always. */
    public static final SamplingOptions GREEDY = new SamplingOptions(0, 0, 1, 0);

    public SamplingOptions {
        if (!(temperature >= 0) || Double.isInfinite(temperature)) {
            throw UserException.badInput(
                    "temperature is " + temperature + ", not a number of at least 0",
                    "0 is greedy, 1 leaves the model's probabilities as they are");
        }
        if (topK < 0) {
            throw UserException.badInput("top_k is " + topK + ", below 0", "use 0 to keep all tokens");
        }
        if (!(topP >= 0 && topP <= 1)) {
            throw UserException.badInput("top_p is " + topP + ", outside 0 … 1", "use 1 to keep all tokens");
        }
    }
}
