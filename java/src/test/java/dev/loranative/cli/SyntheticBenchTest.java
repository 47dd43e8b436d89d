package dev.loranative.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import tools.jackson.databind.JsonNode;

class SyntheticBenchTest {

    @TempDir
    Path temporary;

    private static Object[] bench(Object... more) {
        List<Object> words = new ArrayList<>(List.of("bench", "--device", "cpu", "--threads", "1"));
        words.addAll(List.of(more));
        return words.toArray();
    }

    @Test
    void aRowForEveryTargetAndNumberOfTokens() {
        JsonNode json = CommandRun.of(bench(
                        "--model-config",
                        CommandRun.MOE_MODEL,
                        "--synthetic",
                        "--targets",
                        "router,all",
                        "--tokens",
                        "16,40",
                        "--sequence-length",
                        "16",
                        "--steps",
                        "2",
                        "--bnb-4bit-use-double-quant",
                        "--json"))
                .json();

        JsonNode model = json.required("model");
        assertThat(model.required("model_type").asString()).isEqualTo("qwen3_moe");
        assertThat(model.required("quant_type").asString()).isEqualTo("nf4");
        assertThat(model.required("bits_per_weight").asDouble()).isBetween(4.1, 4.5);
        assertThat(json.required("rows")
                        .valueStream()
                        .map(row -> row.required("targets").asString()
                                + row.required("tokens").asInt()))
                .containsExactly("router16", "router40", "all16", "all40");
        assertThat(json.required("rows")).allSatisfy(row -> {
            assertThat(row.required("fits").asBoolean()).isTrue();
            assertThat(row.required("steps")).hasSize(2);
            assertThat(row.required("tokens_per_second").asDouble()).isPositive();
            assertThat(row.required("first_loss").asDouble()).isCloseTo(Math.log(160), within(0.2));
            assertThat(row.required("plan").required("weights").asLong())
                    .isEqualTo(model.required("weights_bytes").asLong());
            assertThat(row.required("planned_bytes").asLong())
                    .isGreaterThan(model.required("weights_bytes").asLong());
            assertThat(row.required("memory_bytes").asLong()).isPositive();
        });
    }

    @Test
    void theTableSaysWhatDoesNotFit() {
        CommandRun run = CommandRun.of(bench(
                "--model-config",
                "moe-small",
                "--synthetic",
                "--targets",
                "router,experts",
                "--tokens",
                "32",
                "--steps",
                "1",
                "--max-memory",
                "16MB"));

        assertThat(run.result())
                .contains("moe-small, 11,815,680 parameters, 4 layers, 16 experts of which a token visits 4")
                .containsPattern("router +8,704 +32 ")
                .containsPattern("experts, 32 tokens a step: does not fit: the run needs 2\\d\\.\\d MiB, max_memory is"
                        + " 15\\.3 MiB \\(weights \\d");
        assertThat(run.err()).contains("router, 32 tokens a step: ");
    }

    @Test
    void aModelThatDoesNotFitAtAll() {
        CommandRun run = CommandRun.of(bench(
                "--model-config",
                "Qwen3-30B-A3B",
                "--synthetic",
                "--targets",
                "router",
                "--max-memory",
                "8GiB",
                "--json"));

        assertThat(run.exitCode()).isEqualTo(3);
        assertThat(run.err())
                .contains("error: the run needs 16.")
                .contains("max_memory is 8.00 GiB")
                .contains("hint: set bnb_4bit_use_double_quant, or use a smaller model");
        JsonNode json = tools.jackson.databind.json.JsonMapper.shared().readTree(run.out());
        assertThat(json.required("model").required("parameters").asLong()).isEqualTo(30_532_122_624L);
        assertThat(json.required("rows")).hasSize(3).allSatisfy(row -> {
            assertThat(row.required("fits").asBoolean()).isFalse();
            assertThat(row.required("room_bytes").asLong()).isEqualTo(8L << 30);
            // 4.5 bits of 29.9 billion weights, 16 of 0.6 billion.
            assertThat(row.required("planned_bytes").asDouble()).isCloseTo(18.1e9, within(0.2e9));
        });
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "--synthetic | synthetic is set, but model_config is missing | Qwen3-30B-A3B",
                "--model-config moe-small | model_config has no effect without --synthetic | add --synthetic",
                "--tokens 512 | tokens has no effect without --synthetic | add --synthetic",
                "--synthetic --model-config Qwen3-30B | model_config is 'Qwen3-30B', which is neither a known model nor a file"
                        + " | known are Qwen3-30B-A3B, Llama-2-7b, moe-small, moe-medium, llama-small",
                "--synthetic --model-config moe-small --shape moe-small | shape does not go with --synthetic | leave it out",
                "--synthetic --model-config moe-small --tokens 0 | --tokens | from 2 to 1048576",
                "--synthetic --model-config moe-small --tokens 64,x | --tokens | from 2 to 1048576",
                "--synthetic --model-config moe-small --steps 0 | --steps | at least 1",
                "--synthetic --model-config llama-small --targets router | targets has 'router', but llama has no 'router'"
                        + " | use attention, mlp",
                "--synthetic --model-config moe-small --sequence-length 5000 | sequence_length is 5000, but the model takes at"
                        + " most 4096 | give at most 4096",
                "--synthetic --model-config moe-small --bnb-4bit-blocksize 65 | 65 | power of two",
                "--synthetic --model-config moe-small --optim sgd | sgd | ",
                "--synthetic --model-config moe-small --device cuda:x | cuda:x | "
            })
    void wrongInputIsFoundBeforeWork(String flags, String message, String more) {
        CommandRun run = CommandRun.of((Object[]) ("bench " + flags).split(" "));

        assertThat(run.error(2)).contains(message);
        assertThat(run.err()).contains(more == null ? "hint:" : more.strip());
    }

    @Test
    void aConfigurationThatIsNotSupportedOrBroken() throws IOException {
        Path file = temporary.resolve("config.json");
        Files.writeString(file, "{\"model_type\": \"gpt_oss\"}");
        CommandRun unknown = CommandRun.of("bench", "--synthetic", "--model-config", file);
        assertThat(unknown.error(2)).contains("gpt_oss").contains(file.toString());

        Files.writeString(file, "{\"model_type\": ");
        assertThat(CommandRun.of("bench", "--synthetic", "--model-config", temporary)
                        .error(2))
                .contains(file.toString());

        Path empty = Files.createDirectory(temporary.resolve("empty"));
        assertThat(CommandRun.of("bench", "--synthetic", "--model-config", empty)
                        .error(2))
                .isEqualTo(empty + " holds no config.json");
    }
}
