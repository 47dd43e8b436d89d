package dev.loranative.benchmarks;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.loranative.tensor.DType;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class LinearBenchmarkTest {

    /** Relative, of one float32 operation; a sum of width products below 1 errs by at most width * width of it. */
    private static final double ROUNDING = Math.ulp(1f) / 2;

    @ParameterizedTest
    @CsvSource({"1,F32", "33,F32", "1,BF16", "33,BF16"})
    void bodyComputesTheProduct(int tokens, DType dtype) {
        LinearBenchmark benchmark = new LinearBenchmark();
        benchmark.tokens = tokens;
        benchmark.width = 67;
        benchmark.dtype = dtype;
        benchmark.threads = 1;
        LinearBenchmark.Work work = new LinearBenchmark.Work();
        benchmark.open();
        try {
            benchmark.product(work);
            assertThat(work.flops).isEqualTo(2L * tokens * 67 * 67);
            float[] answer = benchmark.answer();
            double[] expected = product(benchmark.input(), benchmark.weight(), tokens, 67);
            assertThat(answer).hasSameSizeAs(expected);
            for (int i = 0; i < expected.length; i++) {
                assertThat((double) answer[i]).as("element %d", i).isCloseTo(expected[i], within(67 * 67 * ROUNDING));
            }
        } finally {
            benchmark.close();
        }
    }

    private static double[] product(float[] x, float[] weight, int tokens, int width) {
        double[] c = new double[tokens * width];
        for (int token = 0; token < tokens; token++) {
            for (int output = 0; output < width; output++) {
                double sum = 0;
                for (int i = 0; i < width; i++) {
                    sum += (double) x[token * width + i] * weight[output * width + i];
                }
                c[token * width + output] = sum;
            }
        }
        return c;
    }
}
