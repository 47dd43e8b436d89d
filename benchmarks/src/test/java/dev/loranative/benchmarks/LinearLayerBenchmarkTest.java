package dev.loranative.benchmarks;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.loranative.benchmarks.LinearLayerBenchmark.Storage;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class LinearLayerBenchmarkTest {

    /** Relative, of one float32 operation; a sum of width products below 1 errs by at most width * width of it. */
    private static final double ROUNDING = Math.ulp(1f) / 2;

    @ParameterizedTest
    @CsvSource({
        "1,64,F32",
        "33,67,F32",
        "1,67,BF16",
        "33,64,BF16",
        "1,64,NF4",
        "33,67,NF4",
        "1,67,NF4_NESTED",
        "33,64,NF4_NESTED"
    })
    void bodiesComputeBothPasses(int tokens, int width, Storage storage) {
        LinearLayerBenchmark benchmark = new LinearLayerBenchmark();
        benchmark.tokens = tokens;
        benchmark.width = width;
        benchmark.storage = storage;
        benchmark.threads = 1;
        benchmark.open();
        try {
            benchmark.forward();
            benchmark.backward();
            float[] weight = benchmark.weight();
            assertClose(benchmark.output(), product(benchmark.input(), weight, tokens, width, true), width);
            assertClose(
                    benchmark.inputGradient(),
                    product(benchmark.outputGradient(), weight, tokens, width, false),
                    width);
        } finally {
            benchmark.close();
        }
    }

    /** The weight is what it was made from to within half the widest gap between codes, times a scale up to 1. */
    @ParameterizedTest
    @CsvSource({"NF4,0.16", "NF4_NESTED,0.17"})
    void theQuantisedWeightIsNearTheOneItWasMadeFrom(Storage storage, double widest) {
        float[] exact = weight(Storage.F32);
        float[] quantised = weight(storage);
        for (int i = 0; i < exact.length; i++) {
            assertThat((double) quantised[i]).as("element %d", i).isCloseTo(exact[i], within(widest));
        }
    }

    private static float[] weight(Storage storage) {
        LinearLayerBenchmark benchmark = new LinearLayerBenchmark();
        benchmark.tokens = 1;
        benchmark.width = 64;
        benchmark.storage = storage;
        benchmark.threads = 1;
        benchmark.open();
        try {
            return benchmark.weight();
        } finally {
            benchmark.close();
        }
    }

    private static void assertClose(float[] actual, double[] expected, int width) {
        assertThat(actual).hasSameSizeAs(expected);
        for (int i = 0; i < expected.length; i++) {
            assertThat((double) actual[i]).as("element %d", i).isCloseTo(expected[i], within(width * width * ROUNDING));
        }
    }

    /** x . weight^T with transposed, x . weight without. */
    private static double[] product(float[] x, float[] weight, int tokens, int width, boolean transposed) {
        double[] c = new double[tokens * width];
        for (int token = 0; token < tokens; token++) {
            for (int column = 0; column < width; column++) {
                double sum = 0;
                for (int k = 0; k < width; k++) {
                    double w = transposed ? weight[column * width + k] : weight[k * width + column];
                    sum += x[token * width + k] * w;
                }
                c[token * width + column] = sum;
            }
        }
        return c;
    }
}
