package dev.loranative.train;

import static org.assertj.core.api.Assertions.assertThat;

import dev.loranative.lora.AdapterFiles;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import java.util.stream.Stream;
import org.junit.jupiter.api.condition.EnabledIfSystemProperty;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Runs of transformers + PEFT, repeated by the CUDA kernels: JCuda on a driver without a GPU, kernels in the emulator.
 * In float32 the bounds are those of the CPU with room for other orders of sums; in bfloat16 the promise for a GPU.
 */
@EnabledIfSystemProperty(named = "lora.native.cuda.library", matches = ".+")
class TrainingOnGpuTest {

    /** One dense model and one with experts, both in 4 bits. */
    private static final Set<String> IN_ALL_ORDERS = Set.of("llama-all-linear-nf4", "qwen3moe-everything-nf4");

    @TempDir
    Path temporary;

    static Stream<Arguments> runs() {
        return Stream.of("llama-qv", "llama-all-linear-nf4", "qwen3moe-router-aux", "qwen3moe-everything-nf4")
                .flatMap(name -> Stream.of(
                        Arguments.of(name, "float32", 1e-5, 1e-3, 1e-3),
                        Arguments.of(name, "bfloat16", 2e-2, 1e-1, 1e-1)));
    }

    /** Runs on the device of the number; the output folder has its name. */
    private RepeatedRun train(ReferenceCase reference, int device, String precision) {
        return RepeatedRun.of(
                reference, temporary.resolve("out-" + device), "--device", "cuda:" + device, "--precision", precision);
    }

    @ParameterizedTest
    @MethodSource("runs")
    void repeats(String name, String precision, double loss, double gradient, double adapter) {
        ReferenceCase reference = ReferenceCase.of(name);
        RepeatedRun run = train(reference, 0, precision);

        assertThat(run.loss()).as("loss of any step").isLessThanOrEqualTo(loss);
        assertThat(run.gradNorm()).as("gradient norm of any step").isLessThanOrEqualTo(gradient);
        assertThat(run.adapter()).as("distance of the adapters").isLessThan(adapter);
        if (IN_ALL_ORDERS.contains(name)) {
            requireTheSameInOtherOrders(reference, precision, run.steps());
        }
    }

    /** A number of an emulated device is an order in which threads take turns, and no result may show it. */
    private void requireTheSameInOtherOrders(ReferenceCase reference, String precision, List<StepMetrics> first) {
        for (int schedule = 1; schedule < Integer.getInteger("lora.native.schedules", 1); schedule++) {
            assertThat(train(reference, schedule, precision).steps())
                    .as("losses of schedule " + schedule)
                    .extracting(StepMetrics::loss)
                    .isEqualTo(first.stream().map(StepMetrics::loss).toList());
            assertThat(temporary.resolve("out-" + schedule).resolve(AdapterFiles.TENSORS))
                    .hasSameBinaryContentAs(temporary.resolve("out-0").resolve(AdapterFiles.TENSORS));
        }
    }
}
