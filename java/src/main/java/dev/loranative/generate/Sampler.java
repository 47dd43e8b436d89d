package dev.loranative.generate;

import dev.loranative.errors.UserException;
import dev.loranative.random.CounterRandom;
import java.util.Arrays;

/**
 * Chooses the next token from a model's logits.
 *
 * <p>The order and meaning of the filters are those of transformers' logits warpers: temperature, then top-k, which
 * keeps every token at least as likely as the k-th (so more than k on ties), then top-p over what remains, which drops
 * the least likely tokens whose probabilities together do not exceed 1 - p, and always keeps one. Among equal logits the
 * lower id counts as the more likely one.
 *
 * <p>The n-th token of a text is drawn with the n-th number of {@link CounterRandom} for the seed, so a text does not
 * depend on how often the sampler was asked before. Arithmetic is in double precision, exponentials are those of
 * {@link StrictMath}: same logits and seed, same token, on every machine.
 */
public final class Sampler {

    /** The stream of {@link CounterRandom} that tokens are drawn from. */
    private static final long STREAM = 2L << 48;

    private final SamplingOptions options;
    private final CounterRandom random;
    private double[] weights = new double[0];

    public Sampler(SamplingOptions options) {
        this.options = options;
        this.random = new CounterRandom(options.seed(), STREAM);
    }

    /**
     * The id of the next token.
     *
     * @param logits [vocabulary]; minus infinity forbids a token; not changed
     * @param index how many tokens were drawn before it in this text
     * @throws UserException when a logit is NaN or plus infinity, or all are minus infinity
     */
    public int next(float[] logits, long index) {
        int best = mostLikely(logits, index);
        if (options.temperature() == 0) {
            return best;
        }
        double total = weigh(logits, logits[best]);
        double target = random.uniform(index) * total;
        double sum = 0;
        int last = best;
        for (int id = 0; id < logits.length; id++) {
            if (weights[id] > 0) {
                sum += weights[id];
                last = id;
                if (target < sum) {
                    return id;
                }
            }
        }
        return last;
    }

    /**
     * The probability of each token after temperature and filters.
     *
     * @param logits [vocabulary]
     * @return [vocabulary], sums to 1; at temperature 0 all on one token
     */
    public double[] probabilities(float[] logits) {
        int best = mostLikely(logits, 0);
        double[] result = new double[logits.length];
        if (options.temperature() == 0) {
            result[best] = 1;
            return result;
        }
        double total = weigh(logits, logits[best]);
        for (int id = 0; id < result.length; id++) {
            result[id] = weights[id] / total;
        }
        return result;
    }

    /** Fills {@link #weights} with unnormalised probabilities, 0 for tokens filtered out, and returns their sum. */
    private double weigh(float[] logits, float greatest) {
        if (weights.length < logits.length) {
            weights = new double[logits.length];
        }
        float least = leastKept(logits);
        double total = 0;
        for (int id = 0; id < logits.length; id++) {
            // Relative to the greatest, so that no temperature, however small, overflows.
            weights[id] =
                    logits[id] >= least ? StrictMath.exp(((double) logits[id] - greatest) / options.temperature()) : 0;
            total += weights[id];
        }
        return options.topP() < 1 ? keepTopP(logits, total) : total;
    }

    /** The k-th greatest logit, or minus infinity where all are kept. */
    private float leastKept(float[] logits) {
        if (options.topK() == 0 || options.topK() >= logits.length) {
            return Float.NEGATIVE_INFINITY;
        }
        float[] sorted = logits.clone();
        for (int id = 0; id < sorted.length; id++) {
            // Arrays.sort tells -0 from 0, which are the same logit.
            sorted[id] += 0f;
        }
        Arrays.sort(sorted);
        return sorted[sorted.length - options.topK()];
    }

    /** Sets the weights of the least likely tokens to 0 as far as top-p says; returns the sum of the others. */
    private double keepTopP(float[] logits, double total) {
        long[] byLikelihood = new long[logits.length];
        int count = 0;
        for (int id = 0; id < logits.length; id++) {
            if (weights[id] > 0) {
                byLikelihood[count++] = (long) ordered(logits[id]) << 32 | (0xFFFF_FFFFL - id);
            }
        }
        Arrays.sort(byLikelihood, 0, count);
        double dropped = 0;
        double limit = (1 - options.topP()) * total;
        for (int i = 0; i < count - 1; i++) {
            int id = (int) (0xFFFF_FFFFL - (byLikelihood[i] & 0xFFFF_FFFFL));
            if (dropped + weights[id] > limit) {
                break;
            }
            dropped += weights[id];
            weights[id] = 0;
        }
        double kept = 0;
        for (int id = 0; id < logits.length; id++) {
            kept += weights[id];
        }
        return kept;
    }

    /** An integer that is ordered as the float is. */
    private static int ordered(float value) {
        int bits = Float.floatToIntBits(value + 0f);
        return bits >= 0 ? bits : bits ^ 0x7FFF_FFFF;
    }

    private static int mostLikely(float[] logits, long index) {
        int best = -1;
        for (int id = 0; id < logits.length; id++) {
            float logit = logits[id];
            if (Float.isNaN(logit) || logit == Float.POSITIVE_INFINITY) {
                throw notFinite("the logit of token " + id + " is " + logit, index);
            }
            if (logit != Float.NEGATIVE_INFINITY && (best < 0 || logit > logits[best])) {
                best = id;
            }
        }
        if (best < 0) {
            throw notFinite("every logit is minus infinity", index);
        }
        return best;
    }

    private static UserException notFinite(String what, long index) {
        return UserException.failed(
                what + " at generated token " + index,
                "the model's weights or the adapter's are damaged, or its training diverged");
    }
}
