package dev.loranative.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.loranative.lora.AdapterFiles;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.condition.EnabledIfSystemProperty;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import tools.jackson.databind.JsonNode;

/**
 * Runs of transformers + PEFT, repeated by the CUDA kernels: JCuda on a driver without a GPU, kernels in the emulator.
 * In float32 the bounds are those of the CPU with room for other orders of sums; in bfloat16 the promise for a GPU.
 */
@EnabledIfSystemProperty(named = "lora.native.cuda.library", matches = ".+")
class TrainingOnGpuTest {

    @TempDir
    Path temporary;

    static Stream<Arguments> runs() {
        return Stream.of("llama-qv", "llama-all-linear-nf4", "qwen3moe-router-aux", "qwen3moe-everything-nf4")
                .flatMap(name -> Stream.of(
                        Arguments.of(name, "float32", 1e-5, 1e-3, 1e-3),
                        Arguments.of(name, "bfloat16", 2e-2, 1e-1, 1e-1)));
    }

    @ParameterizedTest
    @MethodSource("runs")
    void repeats(String name, String precision, double loss, double gradient, double adapter) {
        ReferenceCase reference = ReferenceCase.of(name);
        Path output = temporary.resolve("out");
        QuietListener listener = new QuietListener();

        assertThat(Training.run(
                        reference.config(output, "--device", "cuda:0", "--precision", precision),
                        listener,
                        () -> false))
                .isTrue();

        List<JsonNode> expected = reference.steps();
        assertThat(listener.steps).hasSameSizeAs(expected);
        for (int i = 0; i < expected.size(); i++) {
            double wantedLoss = expected.get(i).get("loss").asDouble();
            assertThat(listener.steps.get(i).loss())
                    .as("loss of step %d", i + 1)
                    .isCloseTo(wantedLoss, within(loss * Math.abs(wantedLoss)));
            double wantedNorm = expected.get(i).get("grad_norm").asDouble();
            assertThat(listener.steps.get(i).gradNorm())
                    .as("gradient norm of step %d", i + 1)
                    .isCloseTo(wantedNorm, within(gradient * wantedNorm));
        }
        Map<String, float[]> trained = ReferenceCase.tensors(output.resolve(AdapterFiles.TENSORS));
        Map<String, float[]> wanted = ReferenceCase.tensors(
                reference.folder().resolve("adapter_final").resolve(AdapterFiles.TENSORS));
        assertThat(trained.keySet()).isEqualTo(wanted.keySet());
        assertThat(relativeDistance(trained, wanted))
                .as("distance of the adapters")
                .isLessThan(adapter);
    }

    /** Of all tensors together. */
    private static double relativeDistance(Map<String, float[]> actual, Map<String, float[]> expected) {
        double squares = 0;
        double size = 0;
        for (Map.Entry<String, float[]> entry : expected.entrySet()) {
            float[] values = actual.get(entry.getKey());
            for (int i = 0; i < values.length; i++) {
                double difference = (double) values[i] - entry.getValue()[i];
                squares += difference * difference;
                size += (double) entry.getValue()[i] * entry.getValue()[i];
            }
        }
        return Math.sqrt(squares / size);
    }
}
