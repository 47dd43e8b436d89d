package dev.loranative.tensor;

import static org.assertj.core.api.Assertions.assertThat;

import dev.loranative.device.Devices;
import dev.loranative.tensor.cases.Family;
import dev.loranative.tensor.cases.OpCase;
import dev.loranative.tensor.cases.OpCases;
import dev.loranative.tensor.cases.OpRun;
import dev.loranative.tensor.cases.Output;
import org.junit.jupiter.api.condition.EnabledIfSystemProperty;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * Every row of the table through the driver: in the tests a stand-in for it with emulated kernels, with benchmarks/gpu/run.sh
 * a card.
 */
@EnabledIfSystemProperty(named = "lora.native.cuda.library", matches = ".+")
class OpLawsOnGpuTest {

    @ParameterizedTest
    @EnumSource
    void table(Family family) {
        try (Bench bench = new Bench(Devices.open("cuda:0", 0, "float32", "own"))) {
            for (OpCase opCase : OpCases.of(family, OpCase.Use.CHECK)) {
                OpRun run = opCase.on(bench);
                run.run();
                for (Output output : run.outputs()) {
                    assertThat(output.mismatch(bench.device()))
                            .as(opCase.name())
                            .isEmpty();
                }
            }
        }
    }
}
