package dev.loranative.quant;

import java.util.Optional;

/**
 * Sizes of blocks, powers of two.
 *
 * @param block elements that share a scale
 * @param nestedBlock scales that share a scale
 */
record BlockSizes(int block, int nestedBlock) {

    /**
     * The largest blocks that divide those of a tensor as well as every one of the equally large weights in it. With them, a
     * weight of a tensor has scales of its own, repeated where a block was divided, and every number stays what it is.
     *
     * @param tensor blocks run on from one weight to the next
     * @param elements of one weight
     * @return empty if that would take blocks smaller than the kernels know
     */
    static Optional<BlockSizes> dividing(QuantState tensor, long elements) {
        long block = Math.min(tensor.blockSize(), Long.lowestOneBit(elements));
        if (block < QuantState.LEAST_BLOCK) {
            return Optional.empty();
        }
        long nested = Math.min(nestedSpan(tensor) / block, Long.lowestOneBit(elements / block));
        return Optional.of(new BlockSizes((int) block, (int) nested));
    }

    /** Elements whose scales share a scale. */
    static long nestedSpan(QuantState tensor) {
        return (long) QuantState.NESTED_BLOCK * tensor.blockSize();
    }

    /** Bytes of the scales of that many elements. */
    long scaleBytes(long elements, boolean nested) {
        long blocks = QuantState.ceil(elements, block);
        return nested ? blocks + Float.BYTES * QuantState.ceil(blocks, nestedBlock) : Float.BYTES * blocks;
    }
}
