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
import tools.jackson.databind.json.JsonMapper;

/** A synthetic model whose weights the CUDA kernels make, on a driver whose device memory is the host's. */
@EnabledIfSystemProperty(named = "lora.native.cuda.library", matches = ".+")
@DisabledIfSystemProperty(
        named = "lora.native.cublas",
        matches = "true",
        disabledReason = "it is of machines without cuBLAS")
class SyntheticBenchOnFakeGpuTest {

    @TempDir
    Path temporary;

    private static Object[] bench(String device, Object... more) {
        List<Object> words = new ArrayList<>(List.of("bench", "--model-config", CommandRun.MOE_MODEL, "--synthetic"));
        words.addAll(List.of("--targets", "router,experts", "--tokens", "24", "--sequence-length", "16"));
        words.addAll(List.of("--steps", "2", "--device", device, "--json"));
        words.addAll(List.of(more));
        return words.toArray();
    }

    /** The kernels that quantise are exact, so the model is the same wherever it is made. */
    @Test
    void theModelIsThatOfTheCpu() {
        JsonNode cpu = CommandRun.of(bench("cpu")).json().required("rows");
        JsonNode gpu = CommandRun.of(bench("cuda:0", "--precision", "float32")).json();

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
        JsonNode row = CommandRun.of(bench("cuda:0", "--bnb-4bit-use-double-quant"))
                .json()
                .required("rows")
                .required(0);

        assertThat(row.required("first_loss").asDouble()).isCloseTo(Math.log(160), within(0.2));
    }

    @Test
    void whatDoesNotFitTheGpuIsARow() throws Exception {
        CommandRun run = new Fork(temporary)
                .environment("FAKE_CUDA_MEGABYTES", 9)
                .run(bench("cuda:0", "--model-config", "moe-small", "--tokens", "32,4096"));

        assertThat(run.exitCode()).as(run.err()).isEqualTo(3);
        JsonNode rows = JsonMapper.shared().readTree(run.out()).required("rows");
        assertThat(rows).hasSize(4).allSatisfy(row -> {
            assertThat(row.required("fits").asBoolean()).isFalse();
            assertThat(row.required("message").asString()).contains("cuda:0 (Fake GPU");
            assertThat(row.required("planned_bytes").asLong()).isPositive();
            assertThat(row.required("room_bytes").asLong()).isBetween(1L << 20, 9L << 20);
        });
    }
}
