package dev.loranative.benchmarks;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class DowncallBenchmarkTest {

    @ParameterizedTest
    @ValueSource(ints = {1, 1000})
    void bodyComputesTheSum(int elements) {
        DowncallBenchmark benchmark = new DowncallBenchmark();
        benchmark.elements = elements;
        benchmark.open();
        try {
            benchmark.axpby();
            assertThat(benchmark.answer())
                    .hasSize(elements)
                    .containsOnly(DowncallBenchmark.ALPHA + DowncallBenchmark.BETA);
        } finally {
            benchmark.close();
        }
    }
}
