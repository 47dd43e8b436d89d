package dev.loranative.quant;

import java.util.List;
import java.util.Optional;

/**
 * What a checkpoint says about a 4-bit weight, besides its numbers: bitsandbytes' {@code QuantState}.
 *
 * @param blockSize elements that share a scale: a power of two from 32 to 4096
 * @param dtype what the weight was before: {@code float32}, {@code bfloat16} or {@code float16}
 * @param shape of the weight, [out, in]; [experts, out, in] where one tensor holds those of all experts
 * @param nested empty where every block's scale is a float32
 */
public record QuantState(QuantType type, int blockSize, String dtype, List<Long> shape, Optional<Nested> nested) {

    public static final int LEAST_BLOCK = 32;
    public static final int LARGEST_BLOCK = 4096;

    /** Scales that share a scale in double quantisation; bitsandbytes knows no other. */
    public static final int NESTED_BLOCK = 256;

    /**
     * Double quantisation of the scales.
     *
     * @param blockSize scales that share a scale
     * @param offset mean of the scales, taken off before they were quantised
     */
    public record Nested(int blockSize, float offset) {}

    public QuantState {
        shape = List.copyOf(shape);
    }

    /** Elements of the weight. */
    public long elements() {
        return shape.stream().reduce(1L, Math::multiplyExact);
    }

    /** Bytes of the codes: two elements a byte. */
    public long codeBytes() {
        return codeBytes(elements());
    }

    /** Scales of the weight. */
    public long blocks() {
        return ceil(elements(), blockSize);
    }

    /** Scales of the scales. */
    public long nestedBlocks() {
        return ceil(blocks(), NESTED_BLOCK);
    }

    static boolean isBlockSize(long size) {
        return size >= LEAST_BLOCK && size <= LARGEST_BLOCK && Long.bitCount(size) == 1;
    }

    static long codeBytes(long elements) {
        return (elements + 1) / 2;
    }

    static long ceil(long count, long block) {
        return (count + block - 1) / block;
    }
}
