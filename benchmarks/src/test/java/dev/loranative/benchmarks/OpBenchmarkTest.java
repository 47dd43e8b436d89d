package dev.loranative.benchmarks;

import static org.assertj.core.api.Assertions.assertThat;

import dev.loranative.tensor.cases.OpCase;
import dev.loranative.tensor.cases.OpCases;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** The body of the benchmark on every row that is there to be checked, with what it computes compared. */
class OpBenchmarkTest {

    static Stream<String> ops() {
        return OpCases.of(OpCase.Use.CHECK).stream().map(OpCase::op).distinct();
    }

    @ParameterizedTest
    @MethodSource("ops")
    void bodyComputesWhatTheTableSays(String op) {
        for (OpCase row : OpCases.of(OpCase.Use.CHECK)) {
            if (row.op().equals(op)) {
                check(row, 1);
            }
        }
    }

    /** Of the shapes that are timed those whose plain arithmetic takes no longer than a moment. */
    @Test
    void timedShapesAreRightToo() {
        double most = 1e7;
        long checked = OpCases.of(OpCase.Use.TIME).stream()
                .filter(row -> row.work().flops() < most && row.work().bytes() < most)
                .peek(row -> check(row, 2))
                .count();

        assertThat(checked).isGreaterThan(15);
    }

    private static void check(OpCase row, int threads) {
        OpBenchmark benchmark = new OpBenchmark();
        benchmark.opCase = row.name();
        benchmark.threads = threads;
        benchmark.device = "cpu";
        benchmark.open();
        try {
            benchmark.call();
            assertThat(benchmark.mistakes()).as(row.name()).isEmpty();
        } finally {
            benchmark.close();
        }
    }
}
