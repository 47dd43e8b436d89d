package dev.loranative.tensor;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.loranative.device.SimdTier;
import dev.loranative.ffi.KernelException;
import java.util.function.DoubleUnaryOperator;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class ElementwiseTest {

    private static final int[] SIZES = {0, 1, 3, 31, 33, 100, 5000};

    @ParameterizedTest
    @MethodSource("dev.loranative.tensor.Laws#tiers")
    void gatedActivation(SimdTier tier) {
        Laws.check(tier, (bench, results) -> {
            for (Activation activation : Activation.values()) {
                for (int n : SIZES) {
                    gated(bench, results, activation, n);
                }
            }
        });
    }

    private static void gated(Bench bench, Laws.Results results, Activation activation, int n) {
        float[] gate = bench.normal(n, 3);
        float[] up = bench.normal(n);
        float[] dy = bench.normal(n);
        if (n >= 31) {
            gate[0] = 0;
            gate[1] = 60;
            gate[2] = -60;
            gate[30] = -200;
        }
        Tensor y = bench.unwritten(n);
        Tensor tensorGate = bench.floats(gate, n);
        Tensor tensorUp = bench.floats(up, n);
        Tensor dUp = bench.unwritten(n);
        Elementwise elementwise = bench.ops().elementwise();

        elementwise.gatedForward(activation, tensorGate, tensorUp, y);
        // The gradient takes the gate's place, as in GatedMlp.
        elementwise.gatedBackward(activation, bench.floats(dy, n), tensorGate, tensorUp, tensorGate, dUp);

        double[] expectedY = new double[n];
        double[] expectedGate = new double[n];
        double[] expectedUp = new double[n];
        for (int i = 0; i < n; i++) {
            DoubleUnaryOperator function = function(activation);
            double value = function.applyAsDouble(gate[i]);
            double step = 1e-5;
            double slope =
                    (function.applyAsDouble(gate[i] + step) - function.applyAsDouble(gate[i] - step)) / (2 * step);
            expectedY[i] = value * up[i];
            expectedGate[i] = dy[i] * up[i] * slope;
            expectedUp[i] = dy[i] * value;
        }
        results.close(activation + " y", y, expectedY);
        results.close(activation + " dGate", tensorGate, expectedGate);
        results.close(activation + " dUp", dUp, expectedUp);
    }

    private static DoubleUnaryOperator function(Activation activation) {
        return switch (activation) {
            case SILU -> x -> x / (1 + Math.exp(-x));
            case GELU_TANH -> x -> 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x * x * x)));
            case GELU_ERF -> x -> 0.5 * x * (1 + erf(x / Math.sqrt(2)));
        };
    }

    /** Taylor series near 0; farther out, where that cancels, the continued fraction of the complement. */
    private static double erf(double x) {
        if (Math.abs(x) > 2) {
            double fraction = 0;
            for (int n = 100; n > 0; n--) {
                fraction = n / 2.0 / (Math.abs(x) + fraction);
            }
            double complement = Math.exp(-x * x) / Math.sqrt(Math.PI) / (Math.abs(x) + fraction);
            return Math.signum(x) * (1 - complement);
        }
        double term = x;
        double sum = x;
        for (int n = 1; n < 60; n++) {
            term *= -x * x / n;
            sum += term / (2 * n + 1);
        }
        return 2 / Math.sqrt(Math.PI) * sum;
    }

    @ParameterizedTest
    @MethodSource("dev.loranative.tensor.Laws#tiers")
    void sigmoidGate(SimdTier tier) {
        Laws.check(tier, (bench, results) -> {
            int rows = 5;
            int width = 33;
            float[] x = bench.normal(rows * width);
            float[] gate = {0, 1.5f, -2, 90, -90};
            float[] before = bench.normal(rows * width);
            float[] dy = bench.normal(rows * width);
            Tensor tensorX = bench.floats(x, rows, width);
            Tensor tensorGate = bench.floats(gate, rows, 1);
            Tensor written = bench.unwritten(rows, width);
            Tensor added = bench.floats(before, rows, width);
            Tensor dGate = bench.unwritten(rows);
            Elementwise elementwise = bench.ops().elementwise();

            elementwise.sigmoidGateForward(tensorX, tensorGate, written, false);
            elementwise.sigmoidGateForward(tensorX, tensorGate, added, true);
            // dx takes the place of x, as in SharedExpert.
            elementwise.sigmoidGateBackward(bench.floats(dy, rows, width), tensorX, tensorGate, tensorX, dGate);

            double[] y = new double[rows * width];
            double[] sum = new double[rows * width];
            double[] dx = new double[rows * width];
            double[] expectedGate = new double[rows];
            for (int i = 0; i < y.length; i++) {
                double sigmoid = 1 / (1 + Math.exp(-gate[i / width]));
                y[i] = sigmoid * x[i];
                sum[i] = before[i] + y[i];
                dx[i] = sigmoid * dy[i];
                expectedGate[i / width] += sigmoid * (1 - sigmoid) * dy[i] * x[i];
            }
            results.close("y", written, y);
            results.close("sum", added, sum);
            results.close("dx", tensorX, dx);
            results.close("dGate", dGate, expectedGate);
        });
    }

    @ParameterizedTest
    @MethodSource("dev.loranative.tensor.Laws#tiers")
    void linearCombination(SimdTier tier) {
        Laws.check(tier, (bench, results) -> {
            for (int n : SIZES) {
                float[] x = bench.normal(n);
                float[] y = bench.normal(n);
                Tensor tensorX = bench.floats(x, n);
                Tensor both = bench.floats(y, n);
                Tensor sum = bench.floats(y, n);
                Tensor copy = bench.unwritten(n);
                Elementwise elementwise = bench.ops().elementwise();

                elementwise.axpby(2.5f, tensorX, -0.75f, both);
                elementwise.add(tensorX, sum);
                elementwise.copy(tensorX, copy);

                double[] expected = new double[n];
                float[] added = new float[n];
                for (int i = 0; i < n; i++) {
                    expected[i] = 2.5 * x[i] - 0.75 * y[i];
                    added[i] = x[i] + y[i];
                }
                results.close("axpby", both, expected, 1e-6);
                results.equal("add", sum, added);
                results.equal("copy", copy, x);
            }
        });
    }

    @ParameterizedTest
    @MethodSource("dev.loranative.tensor.Laws#tiers")
    void castsRoundToNearestEven(SimdTier tier) {
        Laws.check(tier, (bench, results) -> {
            float[] values = bench.normal(100, 10);
            values[0] = 0;
            values[1] = -0.0f;
            values[2] = 1 + 0x1p-8f; // halfway between two bfloat16 numbers: to the even one, which is 1
            values[3] = 1 + 3 * 0x1p-8f;
            values[4] = 1 + 0x1p-11f; // halfway between two float16 numbers
            values[5] = 65520; // rounds to infinity in float16
            values[6] = 6e-8f; // subnormal in float16
            values[7] = Float.POSITIVE_INFINITY;
            Tensor source = bench.floats(values, 100);
            Tensor brain = Tensor.allocate(bench.device(), DType.BF16, 100);
            Tensor half = Tensor.allocate(bench.device(), DType.F16, 100);
            Tensor fromBrain = bench.unwritten(100);
            Tensor fromHalf = bench.unwritten(100);
            Elementwise elementwise = bench.ops().elementwise();

            elementwise.cast(source, brain);
            elementwise.cast(brain, fromBrain);
            elementwise.cast(source, half);
            elementwise.cast(half, fromHalf);

            float[] expectedHalf = new float[100];
            float[] expectedBrain = new float[100];
            for (int i = 0; i < 100; i++) {
                expectedHalf[i] = Float.float16ToFloat(Float.floatToFloat16(values[i]));
                int bits = Float.floatToRawIntBits(values[i]);
                expectedBrain[i] = Float.intBitsToFloat((bits + 0x7fff + (bits >>> 16 & 1)) & 0xffff0000);
            }
            results.equal("float16", fromHalf, expectedHalf);
            results.equal("bfloat16", fromBrain, expectedBrain);
            assertThat(expectedBrain[2]).isEqualTo(1);
            assertThat(expectedHalf[5]).isInfinite();
        });
    }

    @ParameterizedTest
    @MethodSource("dev.loranative.tensor.Laws#tiers")
    void clamp(SimdTier tier) {
        Laws.check(tier, (bench, results) -> {
            for (int n : SIZES) {
                float[] x = bench.normal(n);
                float[] dy = bench.normal(n);
                Tensor clamped = bench.floats(x, n);
                Tensor gradient = bench.floats(dy, n);

                bench.ops().elementwise().clampForward(clamped, 0.8f);
                bench.ops().elementwise().clampBackward(clamped, gradient, 0.8f);

                float[] expected = new float[n];
                float[] expectedGradient = new float[n];
                for (int i = 0; i < n; i++) {
                    expected[i] = Math.clamp(x[i], -0.8f, 0.8f);
                    expectedGradient[i] = Math.abs(x[i]) >= 0.8f ? 0 : dy[i];
                }
                results.equal("clamped", clamped, expected);
                results.equal("gradient", gradient, expectedGradient);
            }
        });
    }

    @ParameterizedTest
    @MethodSource("dev.loranative.tensor.Laws#tiers")
    void dropoutFollowsTheCounter(SimdTier tier) {
        long seed = 0x1234_5678_9abc_def0L;
        long stream = 5L << 32 | 77;
        Laws.check(tier, (bench, results) -> {
            for (int n : SIZES) {
                float[] x = bench.normal(n);
                float[] before = bench.normal(n);
                Tensor written = bench.unwritten(n);
                Tensor added = bench.floats(before, n);
                Tensor inPlace = bench.floats(x, n);
                Tensor tensorX = bench.floats(x, n);
                float p = 0.3f;

                bench.ops().elementwise().dropout(tensorX, written, p, seed, stream, false);
                bench.ops().elementwise().dropout(tensorX, added, p, seed, stream, true);
                bench.ops().elementwise().dropout(inPlace, inPlace, p, seed, stream, false);

                double[] expected = new double[n];
                double[] sum = new double[n];
                for (int i = 0; i < n; i++) {
                    long threshold = (long) Math.floor(p * 0x1p32);
                    boolean keep = Integer.toUnsignedLong(philox(seed, stream, i)) >= threshold;
                    expected[i] = keep ? x[i] / (1.0 - p) : 0;
                    sum[i] = before[i] + expected[i];
                }
                results.close("dropped", written, expected, 1e-6);
                results.close("added", added, sum, 1e-6);
                results.close("in place", inPlace, expected, 1e-6);
            }
        });
    }

    /** Word i % 4 of Philox-4x32-10 (Salmon et al. 2011) at counter (i / 4, stream). */
    private static int philox(long seed, long stream, long i) {
        int[] counter = {(int) (i / 4), (int) (i / 4 >>> 32), (int) stream, (int) (stream >>> 32)};
        int key0 = (int) seed;
        int key1 = (int) (seed >>> 32);
        for (int round = 0; round < 10; round++) {
            long product0 = 0xD2511F53L * Integer.toUnsignedLong(counter[0]);
            long product1 = 0xCD9E8D57L * Integer.toUnsignedLong(counter[2]);
            counter = new int[] {
                (int) (product1 >>> 32) ^ counter[1] ^ key0,
                (int) product1,
                (int) (product0 >>> 32) ^ counter[3] ^ key1,
                (int) product0
            };
            key0 += 0x9E3779B9;
            key1 += 0xBB67AE85;
        }
        return counter[(int) (i % 4)];
    }

    /** The first known answers of the Random123 distribution's kat_vectors for philox4x32-10. */
    @Test
    void thePhiloxOfThisTestIsThePublishedOne() {
        assertThat(philox(0, 0, 0)).isEqualTo(0x6627e8d5);
        assertThat(philox(0, 0, 1)).isEqualTo(0xe169c58d);
        assertThat(philox(0, 0, 3)).isEqualTo(0x9b00dbd8);
    }

    @Test
    void refusesShapesByName() {
        try (Bench bench = new Bench(SimdTier.AUTO, 1)) {
            Elementwise elementwise = bench.ops().elementwise();
            Tensor three = bench.unwritten(3);
            Tensor four = bench.unwritten(4);

            assertThatThrownBy(() -> elementwise.gatedForward(Activation.SILU, three, four, three))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessage("up is F32[4], must have 3 F32 elements");
            assertThatThrownBy(() -> elementwise.axpby(1, three, 0, four))
                    .hasMessage("x is F32[3], must have 4 F32 elements");
            assertThatThrownBy(() -> elementwise.copy(bench.ints(new int[3], 3), three))
                    .hasMessage("x is I32[3], must have 3 F32 elements");
            assertThatThrownBy(() -> elementwise.cast(three, four)).hasMessageContaining("differ in size");
            assertThatThrownBy(() ->
                            elementwise.sigmoidGateForward(bench.unwritten(2, 3), three, bench.unwritten(2, 3), false))
                    .hasMessage("gate is F32[3], must have 2 F32 elements");
        }
    }

    @Test
    void theLibraryNamesABadProbability() {
        try (Bench bench = new Bench(SimdTier.AUTO, 1)) {
            Tensor x = bench.unwritten(3);

            assertThatThrownBy(() -> bench.ops().elementwise().dropout(x, x, 1.5f, 0, 0, false))
                    .isInstanceOf(KernelException.class)
                    .hasMessageContaining("ln_dropout")
                    .hasMessageContaining("1.5");
        }
    }
}
