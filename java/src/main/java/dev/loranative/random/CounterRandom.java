package dev.loranative.random;

/**
 * Random bits as a pure function of (seed, stream, counter), so that a run that is resumed, or that computes its parts
 * in another order, draws the same numbers without any state to save.
 *
 * <p>Specification, all arithmetic modulo 2^64, {@code mix} being the finaliser of SplitMix64 (Steele, Lea and Flood,
 * "Fast splittable pseudorandom number generators", 2014) and {@code gamma} = 0x9E3779B97F4A7C15:
 *
 * <pre>
 * mix(z):  z = (z ^ z>>>30) * 0xBF58476D1CE4E5B9;  z = (z ^ z>>>27) * 0x94D049BB133111EB;  return z ^ z>>>31
 * key  =   mix(mix(seed + gamma) + stream * gamma + 1)
 * bits =   mix(key + (counter + 1) * gamma)
 * </pre>
 *
 * So for one key the counters 0, 1, 2, … give the outputs of SplitMix64 started at that key.
 */
public final class CounterRandom {

    private static final long GAMMA = 0x9E3779B97F4A7C15L;

    private final long key;

    /** @param stream keeps apart the uses of one seed; any value, for example an epoch number plus a constant */
    public CounterRandom(long seed, long stream) {
        this.key = mix(mix(seed + GAMMA) + stream * GAMMA + 1);
    }

    /** 64 uniform bits. */
    public long bits(long counter) {
        return mix(key + (counter + 1) * GAMMA);
    }

    /** Uniform in [0, 1), a multiple of 2^-53. */
    public double uniform(long counter) {
        return (bits(counter) >>> 11) * 0x1p-53;
    }

    /**
     * Uniform in [0, bound): the high half of bits × bound. The deviation from uniform is below bound / 2^64.
     *
     * @param bound positive
     */
    public int below(int bound, long counter) {
        return (int) Math.unsignedMultiplyHigh(bits(counter), bound);
    }

    /**
     * A permutation of 0 … size-1: Fisher-Yates from the end, where position i (size-1 … 1) swaps with
     * {@code below(i + 1, i)}.
     */
    public int[] permutation(int size) {
        int[] order = new int[size];
        for (int i = 0; i < size; i++) {
            order[i] = i;
        }
        for (int i = size - 1; i > 0; i--) {
            int other = below(i + 1, i);
            int moved = order[i];
            order[i] = order[other];
            order[other] = moved;
        }
        return order;
    }

    private static long mix(long z) {
        z = (z ^ (z >>> 30)) * 0xBF58476D1CE4E5B9L;
        z = (z ^ (z >>> 27)) * 0x94D049BB133111EBL;
        return z ^ (z >>> 31);
    }
}
