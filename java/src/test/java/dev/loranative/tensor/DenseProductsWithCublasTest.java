package dev.loranative.tensor;

import static org.assertj.core.api.Assertions.assertThat;

import dev.loranative.device.Device;
import dev.loranative.device.Devices;
import dev.loranative.tensor.cases.Family;
import dev.loranative.tensor.cases.OpCase;
import dev.loranative.tensor.cases.OpCases;
import dev.loranative.tensor.cases.OpRun;
import dev.loranative.tensor.cases.Output;
import org.junit.jupiter.api.condition.EnabledIfSystemProperty;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** The cases of products by whoever computes them: JCublas and the kernel library's cuBLAS meet a stand-in for cuBLAS 12. */
@EnabledIfSystemProperty(named = "lora.native.cublas", matches = "true")
class DenseProductsWithCublasTest {

    /** What rounding operands to bfloat16 may leave of an output's norm. */
    private static final double OF_NORM_IN_BFLOAT16 = 0.02;

    @ParameterizedTest
    @CsvSource({
        "jcublas,float32",
        "cublas,float32",
        "own,float32",
        "jcublas,bfloat16",
        "cublas,bfloat16",
        "own,bfloat16"
    })
    void table(String gemm, String precision) {
        try (Bench bench = new Bench(Devices.open("cuda:0", 0, precision, gemm))) {
            for (OpCase opCase : OpCases.of(Family.PRODUCTS, OpCase.Use.CHECK)) {
                OpRun run = opCase.on(bench);
                run.run();
                for (Output output : run.outputs()) {
                    assertThat(
                                    precision.equals("float32")
                                            ? output.mismatch(bench.device())
                                            : output.mismatchInNorm(bench.device(), OF_NORM_IN_BFLOAT16))
                            .as(opCase.name())
                            .isEmpty();
                }
            }
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"auto", "jcublas"})
    void areByJcublas(String gemm) {
        try (Device device = Devices.open("cuda:0", 0, "auto", gemm)) {
            assertThat(device.description()).endsWith("bfloat16, products by JCublas");
            assertThat(device.denseProducts()).isPresent();
        }
    }
}
