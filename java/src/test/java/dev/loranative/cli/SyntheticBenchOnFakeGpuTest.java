package dev.loranative.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.DisabledIfSystemProperty;
import org.junit.jupiter.api.condition.EnabledIfSystemProperty;
import org.junit.jupiter.api.io.TempDir;
import tools.jackson.databind.JsonNode;

/** A synthetic model whose weights the CUDA kernels make, on a driver whose device memory is the host's. */
@EnabledIfSystemProperty(named = "lora.native.cuda.library", matches = ".+")
@DisabledIfSystemProperty(
        named = "lora.native.cublas",
        matches = "true",
        disabledReason = "it is of machines without cuBLAS")
class SyntheticBenchOnFakeGpuTest {

    @TempDir
    Path temporary;

    /** One step of each row: the emulator is slow. */
    private static Object[] bench(String device, String targets, String tokens, Object... more) {
        List<Object> words = new ArrayList<>(List.of("bench", "--model-config", CommandRun.MOE_MODEL, "--synthetic"));
        words.addAll(List.of("--targets", targets, "--tokens", tokens, "--sequence-length", "8"));
        words.addAll(List.of("--steps", "1", "--row-seconds", "0.001", "--device", device, "--json"));
        words.addAll(List.of(more));
        return words.toArray();
    }

    /** The kernels that quantise are exact, so the model is the same wherever it is made. */
    @Test
    void theModelIsThatOfTheCpu() {
        JsonNode cpu =
                CommandRun.of(bench("cpu", "router,experts", "12")).json().required("rows");
        JsonNode gpu = CommandRun.of(bench("cuda:0", "router,experts", "12", "--precision", "float32"))
                .json();

        assertThat(gpu.required("device").asString()).contains("Fake GPU").contains("float32");
        assertThat(gpu.required("rows")).hasSize(2);
        for (int i = 0; i < 2; i++) {
            JsonNode row = gpu.required("rows").required(i);
            assertThat(row.required("first_loss").asDouble())
                    .isCloseTo(cpu.required(i).required("first_loss").asDouble(), within(1e-5));
            assertThat(row.required("trained_parameters"))
                    .isEqualTo(cpu.required(i).required("trained_parameters"));
            assertThat(row.required("memory_bytes").asLong())
                    .isGreaterThanOrEqualTo(row.required("planned_bytes").asLong());
        }
    }

    @Test
    void doubleQuantisationAndBfloat16() {
        JsonNode row = CommandRun.of(bench("cuda:0", "attention", "12", "--bnb-4bit-use-double-quant"))
                .json()
                .required("rows")
                .required(0);

        assertThat(row.required("first_loss").asDouble()).isCloseTo(Math.log(160), within(0.2));
    }

    @Test
    void whatDoesNotFitTheGpuIsARow() throws Exception {
        CommandRun run =
                new Fork(temporary).environment("FAKE_CUDA_MEGABYTES", 12).run(bench("cuda:0", "router", "12,8192"));

        JsonNode rows = run.json().required("rows");
        assertThat(rows.required(0).required("fits").asBoolean()).isTrue();
        assertThat(rows.required(0).required("memory_bytes").asLong()).isLessThan(12L << 20);
        JsonNode row = rows.required(1);
        assertThat(row.required("fits").asBoolean()).isFalse();
        assertThat(row.required("message").asString())
                .startsWith("the run needs ")
                .contains(", cuda:0 (Fake GPU")
                .contains("activations ");
        assertThat(row.required("room_bytes").asLong()).isBetween(10L << 20, 12L << 20);
        assertThat(row.required("planned_bytes").asLong()).isGreaterThan(12L << 20);
    }

    @Test
    void aGpuThatDoesNotHoldTheWeights() throws Exception {
        CommandRun run = new Fork(temporary)
                .environment("FAKE_CUDA_MEGABYTES", 64)
                .run(
                        "bench",
                        "--model-config",
                        "Llama-2-7b",
                        "--synthetic",
                        "--targets",
                        "attention",
                        "--device",
                        "cuda:0");

        assertThat(run.exitCode()).as(run.err()).isEqualTo(3);
        assertThat(run.out())
                .containsPattern("attention, 2,048 tokens a step: does not fit: the run needs 3\\.\\d\\d GiB");
        assertThat(run.err())
                .containsPattern(
                        "error: the run needs 3\\.\\d\\d GiB, cuda:0 \\(Fake GPU.* has 64\\.0 MiB for it \\(weights 3")
                .contains("hint: set bnb_4bit_use_double_quant, or use a smaller model");
    }
}
