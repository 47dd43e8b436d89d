package dev.loranative.tensor;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.loranative.device.CpuDevice;
import dev.loranative.device.SimdTier;
import dev.loranative.errors.UserException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;

/**
 * Runs one law of an op: on every SIMD tier of this machine the result is that of plain double arithmetic, and two
 * threads give the same bytes as one.
 */
final class Laws {

    /** What a law compares; collects the results so that runs can be compared with each other. */
    static final class Results {

        private final Bench bench;
        private final List<int[]> bits = new ArrayList<>();

        private Results(Bench bench) {
            this.bench = bench;
        }

        /** Each element within tolerance * (1 + |expected|). */
        void close(String name, Tensor actual, double[] expected, double tolerance) {
            float[] values = bench.read(actual);
            assertThat(values).as(name).hasSameSizeAs(expected);
            for (int i = 0; i < values.length; i++) {
                assertThat((double) values[i])
                        .as(name + "[" + i + "]")
                        .isCloseTo(expected[i], within(tolerance * (1 + Math.abs(expected[i]))));
            }
            bits.add(bitsOf(values));
        }

        /** Sums of a few products of ordinary size. */
        void close(String name, Tensor actual, double[] expected) {
            close(name, actual, expected, 1e-5);
        }

        void equal(String name, Tensor actual, float[] expected) {
            float[] values = bench.read(actual);
            assertThat(values).as(name).isEqualTo(expected);
            bits.add(bitsOf(values));
        }

        void equal(String name, Tensor actual, int[] expected) {
            int[] values = actual.toInts(bench.device());
            assertThat(values).as(name).isEqualTo(expected);
            bits.add(values);
        }

        private static int[] bitsOf(float[] values) {
            int[] bits = new int[values.length];
            for (int i = 0; i < values.length; i++) {
                bits[i] = Float.floatToRawIntBits(values[i]);
            }
            return bits;
        }
    }

    @FunctionalInterface
    interface Law {
        void run(Bench bench, Results results);
    }

    private Laws() {}

    /** The tiers that this machine has; the plain ones are everywhere. */
    static Stream<SimdTier> tiers() {
        return Arrays.stream(SimdTier.values()).filter(Laws::isSupported);
    }

    static void check(SimdTier tier, Law law) {
        List<int[]> alone = run(tier, 1, law);
        List<int[]> together = run(tier, 2, law);
        assertThat(together).hasSameSizeAs(alone);
        for (int i = 0; i < alone.size(); i++) {
            assertThat(together.get(i))
                    .as("bits of result " + i + " with two threads")
                    .isEqualTo(alone.get(i));
        }
    }

    private static List<int[]> run(SimdTier tier, int threads, Law law) {
        try (Bench bench = new Bench(tier, threads)) {
            Results results = new Results(bench);
            law.run(bench, results);
            return results.bits;
        }
    }

    private static boolean isSupported(SimdTier tier) {
        return switch (tier) {
            case AUTO -> false;
            case REFERENCE, GENERIC -> true;
            case AVX2, AVX512, NEON -> {
                try {
                    CpuDevice.open(1, tier).close();
                    yield true;
                } catch (UserException unsupported) {
                    assertThat(unsupported).hasMessageContaining("no SIMD tier " + tier.ordinal());
                    yield false;
                }
            }
        };
    }
}
