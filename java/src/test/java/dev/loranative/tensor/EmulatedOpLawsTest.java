package dev.loranative.tensor;

import static org.assertj.core.api.Assertions.assertThat;

import dev.loranative.device.EmulatedDevice;
import dev.loranative.device.Precision;
import dev.loranative.tensor.cases.Family;
import dev.loranative.tensor.cases.OpCase;
import dev.loranative.tensor.cases.OpCases;
import dev.loranative.tensor.cases.OpRun;
import dev.loranative.tensor.cases.Output;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * The CUDA kernels on every row of the table that checks the CPU's, in the emulator: with products in float32 what plain
 * arithmetic says, in bfloat16 near it, and the same bytes whatever the order of threads.
 */
class EmulatedOpLawsTest {

    private static final int SCHEDULES = 3;

    /** Operands rounded to 8 bits of mantissa, products added up in float32, a few of them in a chain. */
    private static final double OF_NORM_IN_BFLOAT16 = 0.02;

    static Stream<Arguments> families() {
        return Arrays.stream(Family.values())
                .flatMap(
                        family -> Stream.of(Arguments.of(family, Precision.F32), Arguments.of(family, Precision.BF16)));
    }

    @ParameterizedTest
    @MethodSource("families")
    void table(Family family, Precision precision) {
        List<double[]> first = null;
        for (int schedule = 0; schedule < SCHEDULES; schedule++) {
            List<double[]> values = run(family, precision, schedule);
            if (first == null) {
                first = values;
            }
            for (int i = 0; i < values.size(); i++) {
                assertThat(Arrays.equals(values.get(i), first.get(i)))
                        .as("bytes of result " + i + " with schedule " + schedule + " are those with schedule 0")
                        .isTrue();
            }
        }
        report(family, precision);
    }

    private static List<double[]> run(Family family, Precision precision, int schedule) {
        List<double[]> values = new ArrayList<>();
        try (Bench bench = new Bench(EmulatedDevice.open(schedule, precision))) {
            for (OpCase opCase : OpCases.of(family, OpCase.Use.CHECK)) {
                OpRun run = opCase.on(bench);
                run.run();
                for (Output output : run.outputs()) {
                    assertThat(
                                    precision == Precision.F32
                                            ? output.mismatch(bench.device())
                                            : output.mismatchInNorm(bench.device(), OF_NORM_IN_BFLOAT16))
                            .as(opCase.name() + ", " + precision + ", schedule " + schedule)
                            .isEmpty();
                    values.add(output.values(bench.device()));
                }
            }
        }
        return values;
    }

    /** What was checked, for who reads the output of all tests. */
    private static void report(Family family, Precision precision) {
        Map<String, Long> casesOfOps = OpCases.of(family, OpCase.Use.CHECK).stream()
                .collect(Collectors.groupingBy(OpCase::op, TreeMap::new, Collectors.counting()));
        System.out.println("emulated CUDA kernels, " + SCHEDULES + " schedules, " + precision + ", cases per op: "
                + casesOfOps.entrySet().stream()
                        .map(op -> op.getKey() + " " + op.getValue())
                        .collect(Collectors.joining(", ")));
    }
}
