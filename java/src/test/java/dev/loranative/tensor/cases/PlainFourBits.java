package dev.loranative.tensor.cases;

import dev.loranative.tensor.DType;

/**
 * 4-bit weights by plain arithmetic: what {@code ln_quantize} and {@code ln_dequantize} must give.
 *
 * @param block elements that share a scale
 * @param codes two to a byte, the first in the high bits; of an unused half the code of 0
 * @param absmax of every block
 * @param values what the codes stand for
 */
public record PlainFourBits(int block, byte[] codes, float[] absmax, float[] values) {

    /** The values that split the normal distribution into parts of the same weight (Dettmers et al. 2023). */
    private static final float[] NF4 = {
        -1,
        -0.6961928009986877f,
        -0.5250730514526367f,
        -0.39491748809814453f,
        -0.28444138169288635f,
        -0.18477343022823334f,
        -0.09105003625154495f,
        0,
        0.07958029955625534f,
        0.16093020141124725f,
        0.24611230194568634f,
        0.33791524171829224f,
        0.44070982933044434f,
        0.5626170039176941f,
        0.7229568362236023f,
        1
    };

    /** By code from 0 to 7; 8 more are their negatives. */
    private static final float[] FP4 = {0, 1 / 192f, 2 / 3f, 1, 1 / 3f, 1 / 2f, 1 / 6f, 1 / 4f};

    private static final int SIGN = 8;

    /** @param type NF4 or FP4 */
    public static PlainFourBits of(DType type, float[] values, int block) {
        byte[] codes = new byte[(values.length + 1) / 2];
        float[] absmax = new float[Math.ceilDiv(values.length, block)];
        float[] rounded = new float[values.length];
        for (int i = 0; i < values.length; i++) {
            absmax[i / block] = Math.max(absmax[i / block], Math.abs(values[i]));
        }
        for (int i = 0; i < values.length; i++) {
            float scale = absmax[i / block];
            float relative = values[i] * (1 / Math.max(scale, 1e-38f));
            int code = type == DType.NF4 ? nearest(NF4, relative) : signed(relative);
            codes[i / 2] |= (byte) (i % 2 == 0 ? code << 4 : code);
            float number = type == DType.NF4 ? NF4[code] : code < SIGN ? FP4[code] : -FP4[code - SIGN];
            rounded[i] = number * scale;
        }
        if (values.length % 2 != 0) {
            codes[values.length / 2] |= (byte) (type == DType.NF4 ? nearest(NF4, 0) : 0);
        }
        return new PlainFourBits(block, codes, absmax, rounded);
    }

    private static int signed(float relative) {
        return nearest(FP4, Math.abs(relative)) + (relative < 0 ? SIGN : 0);
    }

    /** The number of the entry that is nearest. */
    private static int nearest(float[] table, float value) {
        int nearest = 0;
        for (int i = 1; i < table.length; i++) {
            if (Math.abs(table[i] - value) < Math.abs(table[nearest] - value)) {
                nearest = i;
            }
        }
        return nearest;
    }
}
