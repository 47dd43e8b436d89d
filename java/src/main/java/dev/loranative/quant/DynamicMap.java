package dev.loranative.quant;

import java.util.Arrays;

/**
 * The 256 values of bitsandbytes' signed 8-bit type, in which double quantisation keeps the blocks' scales: fractions of
 * every power of ten from 1e-6 to 1, more of them the larger the power.
 */
final class DynamicMap {

    static final int SIZE = 256;

    private static final int POWERS = 7;

    private DynamicMap() {}

    /** Bit for bit that of {@code create_dynamic_map}: the order of the roundings matters. */
    static float[] signed() {
        float[] map = new float[SIZE];
        int next = 0;
        for (int i = 0; i < POWERS; i++) {
            int fractions = 1 << i;
            float power = (float) Math.pow(10, i - (POWERS - 1));
            float lower = linspace(0, fractions);
            for (int k = 1; k <= fractions; k++) {
                float upper = linspace(k, fractions);
                float value = power * ((lower + upper) / 2);
                map[next++] = value;
                map[next++] = -value;
                lower = upper;
            }
        }
        map[next++] = 0;
        map[next] = 1;
        Arrays.sort(map);
        return map;
    }

    /** Point {@code index} of {@code steps + 1} from 0.1 to 1, as torch computes it on x86: from both ends, fused. */
    private static float linspace(int index, int steps) {
        float step = (1f - 0.1f) / steps;
        return index < (steps + 1) / 2 ? Math.fma(step, index, 0.1f) : Math.fma(-step, steps - index, 1f);
    }
}
