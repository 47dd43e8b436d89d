package dev.loranative.benchmarks;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.loranative.train.StepMetrics;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class StepBenchmarkTest {

    @ParameterizedTest
    @CsvSource({"moe-small, 4096", "llama-small, 4096"})
    void bodyIsATrainStep(String shape, int vocabulary) {
        StepBenchmark benchmark = new StepBenchmark();
        benchmark.shape = shape;
        benchmark.batch = 2;
        benchmark.length = 16;
        benchmark.threads = 2;
        benchmark.device = "cpu";
        StepBenchmark.Memory memory = new StepBenchmark.Memory();
        benchmark.open();
        try {
            benchmark.step(memory);
            StepMetrics second = benchmark.step(memory);

            assertThat(second.step()).isEqualTo(2);
            assertThat(second.tokens()).isEqualTo(32);
            // A model that knows nothing gives every word about the same chance.
            assertThat(second.loss()).isCloseTo(Math.log(vocabulary), within(0.3));
            assertThat(second.gradNorm()).isPositive();
            assertThat(memory.bytes).isEqualTo(second.memoryBytes()).isPositive();
        } finally {
            benchmark.close();
        }
    }
}
