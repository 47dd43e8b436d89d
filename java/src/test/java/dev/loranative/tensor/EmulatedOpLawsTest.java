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
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * The CUDA kernels on every row of the table that checks the CPU's: in the emulator, with products in float32 what plain
 * arithmetic says, and the same bytes whatever the order of threads.
 */
class EmulatedOpLawsTest {

    private static final int SCHEDULES = 3;

    @ParameterizedTest
    @EnumSource
    void table(Family family) {
        List<double[]> first = null;
        for (int schedule = 0; schedule < SCHEDULES; schedule++) {
            List<double[]> values = run(family, schedule);
            if (first == null) {
                first = values;
            }
            for (int i = 0; i < values.size(); i++) {
                assertThat(Arrays.equals(values.get(i), first.get(i)))
                        .as("bytes of result " + i + " with schedule " + schedule + " are those with schedule 0")
                        .isTrue();
            }
        }
    }

    private static List<double[]> run(Family family, int schedule) {
        List<double[]> values = new ArrayList<>();
        try (Bench bench = new Bench(EmulatedDevice.open(schedule, Precision.F32))) {
            for (OpCase opCase : OpCases.of(family, OpCase.Use.CHECK)) {
                OpRun run = opCase.on(bench);
                run.run();
                for (Output output : run.outputs()) {
                    assertThat(output.mismatch(bench.device()))
                            .as(opCase.name() + ", schedule " + schedule)
                            .isEmpty();
                    values.add(output.values(bench.device()));
                }
            }
        }
        return values;
    }
}
