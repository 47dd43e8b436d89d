package dev.loranative.tensor;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.loranative.device.SimdTier;
import dev.loranative.ffi.KernelException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class LossesTest {

    @ParameterizedTest
    @MethodSource("dev.loranative.tensor.Laws#tiers")
    void crossEntropy(SimdTier tier) {
        Laws.check(tier, (bench, results) -> {
            int rows = 9;
            for (int vocabulary : new int[] {1, 33, 1001}) {
                float[] logits = bench.normal(rows * vocabulary, 5);
                int[] labels = new int[rows];
                for (int row = 0; row < rows; row++) {
                    labels[row] = row % 4 == 3 ? -100 : bench.random().nextInt(vocabulary);
                }
                logits[0] = 1000;
                Tensor kept = bench.floats(logits, rows, vocabulary);
                Tensor gradient = bench.floats(logits, rows, vocabulary);
                Tensor losses = bench.unwritten(rows);
                Tensor again = bench.unwritten(rows);
                Tensor tensorLabels = bench.ints(labels, rows);

                bench.ops().losses().crossEntropy(kept, tensorLabels, losses, 0, false);
                bench.ops().losses().crossEntropy(gradient, tensorLabels, again, 0.25f, true);

                double[] expected = new double[rows];
                double[] expectedGradient = new double[rows * vocabulary];
                for (int row = 0; row < rows; row++) {
                    if (labels[row] == -100) {
                        continue;
                    }
                    double largest = Double.NEGATIVE_INFINITY;
                    for (int i = 0; i < vocabulary; i++) {
                        largest = Math.max(largest, logits[row * vocabulary + i]);
                    }
                    double sum = 0;
                    for (int i = 0; i < vocabulary; i++) {
                        sum += Math.exp(logits[row * vocabulary + i] - largest);
                    }
                    expected[row] = largest + Math.log(sum) - logits[row * vocabulary + labels[row]];
                    for (int i = 0; i < vocabulary; i++) {
                        expectedGradient[row * vocabulary + i] = 0.25
                                * (Math.exp(logits[row * vocabulary + i] - largest) / sum - (i == labels[row] ? 1 : 0));
                    }
                }
                results.close("losses", losses, expected);
                results.close("losses with gradient", again, expected);
                results.close("gradient", gradient, expectedGradient, 1e-6);
                results.equal("logits", kept, logits);
            }
        });
    }

    @ParameterizedTest
    @MethodSource("dev.loranative.tensor.Laws#tiers")
    void sums(SimdTier tier) {
        Laws.check(tier, (bench, results) -> {
            for (int n : new int[] {0, 1, 33, 100_003}) {
                float[] x = bench.normal(n, 100);
                Tensor tensor = bench.floats(x, n);
                Tensor sum = Tensor.allocate(bench.device(), DType.F64, 1);
                Tensor squares = Tensor.allocate(bench.device(), DType.F64, 1);

                bench.ops().losses().sum(tensor, sum);
                bench.ops().losses().sumOfSquares(tensor, squares);

                double expected = 0;
                double expectedSquares = 0;
                double magnitude = 0;
                for (float value : x) {
                    expected += value;
                    expectedSquares += (double) value * value;
                    magnitude += Math.abs(value);
                }
                assertThat(sum.toDoubles(bench.device())[0]).isCloseTo(expected, within(1e-13 * (1 + magnitude)));
                assertThat(squares.toDoubles(bench.device())[0])
                        .isCloseTo(expectedSquares, within(1e-12 * (1 + expectedSquares)));
                // The results are doubles; their bits are compared as pairs of ints.
                results.equal("bits", bench.ints(bits(sum, squares, bench), 4), bits(sum, squares, bench));
            }
        });
    }

    @ParameterizedTest
    @MethodSource("dev.loranative.tensor.Laws#tiers")
    void columnSums(SimdTier tier) {
        Laws.check(tier, (bench, results) -> {
            float[] x = bench.normal(150 * 37);
            float[] before = bench.normal(37);
            Tensor sums = bench.floats(before, 37);
            bench.ops().losses().columnSums(bench.floats(x, 150, 37), sums);
            double[] expected = Matrix.doubles(before);
            for (int i = 0; i < x.length; i++) {
                expected[i % 37] += x[i];
            }
            results.close("sums", sums, expected, 2e-6);
        });
    }

    private static int[] bits(Tensor sum, Tensor squares, Bench bench) {
        long first = Double.doubleToRawLongBits(sum.toDoubles(bench.device())[0]);
        long second = Double.doubleToRawLongBits(squares.toDoubles(bench.device())[0]);
        return new int[] {(int) first, (int) (first >>> 32), (int) second, (int) (second >>> 32)};
    }

    @ParameterizedTest
    @MethodSource("dev.loranative.tensor.Laws#tiers")
    void adamW(SimdTier tier) {
        Laws.check(tier, (bench, results) -> {
            for (int n : new int[] {1, 33, 2003}) {
                float[] p = bench.normal(n);
                Tensor parameters = bench.floats(p, n);
                Tensor first = bench.floats(new float[n], n);
                Tensor second = bench.floats(new float[n], n);
                double[] expected = Matrix.doubles(p);
                double[] m = new double[n];
                double[] v = new double[n];
                for (int step = 1; step <= 4; step++) {
                    float[] gradient = bench.normal(n);
                    bench.ops()
                            .losses()
                            .adamW(
                                    parameters,
                                    bench.floats(gradient, n),
                                    first,
                                    second,
                                    new Losses.AdamW(step, 0.01, 0.9, 0.99, 1e-8, 0.1, 0.5));
                    for (int i = 0; i < n; i++) {
                        double g = 0.5 * gradient[i];
                        expected[i] -= 0.01 * 0.1 * expected[i];
                        m[i] = 0.9 * m[i] + 0.1 * g;
                        v[i] = 0.99 * v[i] + 0.01 * g * g;
                        double corrected = Math.sqrt(v[i]) / Math.sqrt(1 - Math.pow(0.99, step));
                        expected[i] -= 0.01 / (1 - Math.pow(0.9, step)) * m[i] / (corrected + 1e-8);
                    }
                }
                results.close("parameters", parameters, expected, 2e-6);
                results.close("first moments", first, m, 1e-6);
                results.close("second moments", second, v, 1e-6);
            }
        });
    }

    @Test
    void refusesShapesByName() {
        try (Bench bench = new Bench(SimdTier.AUTO, 1)) {
            Losses losses = bench.ops().losses();
            Tensor logits = bench.unwritten(3, 5);
            Tensor three = bench.unwritten(3);

            assertThatThrownBy(() -> losses.crossEntropy(logits, bench.ints(new int[2], 2), three, 1, true))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessage("labels is I32[2], must be I32[3]");
            assertThatThrownBy(() -> losses.sum(three, bench.unwritten(1)))
                    .hasMessage("result is F32[1], must be F64[1]");
            assertThatThrownBy(() -> losses.adamW(
                            three, bench.unwritten(4), three, three, new Losses.AdamW(1, 0.1, 0.9, 0.99, 1e-8, 0, 1)))
                    .hasMessage("gradients is F32[4], must have 3 F32 elements");
        }
    }

    @Test
    void theLibraryNamesALabelOutsideTheVocabulary() {
        try (Bench bench = new Bench(SimdTier.AUTO, 1)) {
            float[] before = bench.normal(10);
            Tensor logits = bench.floats(before, 2, 5);
            Tensor labels = bench.ints(new int[] {4, 5}, 2);

            assertThatThrownBy(() -> bench.ops().losses().crossEntropy(logits, labels, bench.unwritten(2), 1, true))
                    .isInstanceOf(KernelException.class)
                    .hasMessageContaining("ln_cross_entropy")
                    .hasMessageContaining("5");
            assertThat(bench.read(logits)).as("nothing is written").isEqualTo(before);
        }
    }
}
