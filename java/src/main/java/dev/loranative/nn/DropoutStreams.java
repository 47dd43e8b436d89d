package dev.loranative.nn;

/**
 * Names the random stream of every dropout mask: it depends on the run's seed, the micro-batch and the module, so that
 * a recomputed forward pass and a resumed run draw the same masks.
 *
 * @param seed of the run
 * @param microBatch counted from the start of the run
 */
public record DropoutStreams(long seed, long microBatch) {

    private static final int MODULE_BITS = 24;

    /** Odd and without pattern, so that the seeds of chunks do not meet those of other runs by accident. */
    private static final long CHUNK_STRIDE = 0x9E3779B97F4A7C15L;

    /** @param module unique number of the module, below 2^24 */
    long stream(int module) {
        return microBatch << MODULE_BITS | module;
    }

    /** @param chunk which part of the batch, for a module that sees it in parts */
    long seed(int chunk) {
        return seed + chunk * CHUNK_STRIDE;
    }
}
