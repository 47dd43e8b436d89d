package dev.loranative.cli;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

class BenchCommandTest {

    @Test
    void measuresKernelsAndATrainStep() {
        CommandRun run = CommandRun.of("bench", "--seconds", "0.001", "--steps", "1", "--threads", "1", "--json");

        assertThat(run.exitCode()).as(run.err()).isZero();
        JsonNode json = JsonMapper.shared().readTree(run.out());
        assertThat(json.required("threads").asInt()).isEqualTo(1);
        assertThat(json.required("peaks").required("flops_per_second").asDouble())
                .isPositive();
        assertThat(json.required("kernels")).hasSizeGreaterThan(10).allSatisfy(kernel -> {
            assertThat(kernel.required("seconds").asDouble()).isPositive();
            assertThat(kernel.required("share_of_peak").asDouble()).isPositive();
        });
        JsonNode step = json.required("train_step");
        assertThat(step.required("shape").asString()).isEqualTo("moe-small");
        assertThat(step.required("tokens_per_second").asDouble()).isPositive();
        assertThat(step.required("memory_bytes").asLong()).isPositive();
    }

    @Test
    void refusesAShapeThatIsNone() {
        CommandRun run = CommandRun.of("bench", "--shape", "moe-large");

        assertThat(run.exitCode()).isEqualTo(2);
        assertThat(run.err()).contains("moe-large").contains("moe-small").contains("hint:");
    }
}
