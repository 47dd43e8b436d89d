package dev.loranative.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import tools.jackson.databind.JsonNode;

class EvalCommandTest {

    @TempDir
    Path temporary;

    private static CommandRun eval(Object... more) {
        Object[] args = new Object[more.length + 5];
        args[0] = "eval";
        args[1] = "--model";
        args[2] = CommandRun.MOE_MODEL;
        args[3] = "--data";
        args[4] = CommandRun.MOE_DATA;
        System.arraycopy(more, 0, args, 5, more.length);
        return CommandRun.of(args);
    }

    @Test
    void the_loss_is_the_mean_over_all_label_tokens() {
        JsonNode json = eval("--json", "--per-example").json();
        double sum = 0;
        long tokens = 0;
        for (JsonNode example : json.get("examples")) {
            sum += example.get("loss").doubleValue() * example.get("tokens").longValue();
            tokens += example.get("tokens").longValue();
        }

        assertThat(json.get("tokens").longValue()).isEqualTo(tokens).isPositive();
        assertThat(json.get("loss").doubleValue()).isCloseTo(sum / tokens, within(1e-9));
        assertThat(json.get("perplexity").doubleValue())
                .isCloseTo(Math.exp(json.get("loss").doubleValue()), within(1e-6));
    }

    @Test
    void it_agrees_with_the_first_loss_of_the_reference_run() throws IOException {
        Path first = temporary.resolve("first.jsonl");
        Files.write(first, Files.readAllLines(CommandRun.MOE_DATA).subList(0, 2));
        JsonNode expected = Console.JSON.readTree(
                Files.readString(CommandRun.MOE.resolve("expected").resolve("trajectory.json")));
        double loss = CommandRun.of(
                        "eval",
                        "--model",
                        CommandRun.MOE_MODEL,
                        "--adapter",
                        CommandRun.MOE.resolve("adapter_init"),
                        "--data",
                        first,
                        "--json")
                .json()
                .get("loss")
                .doubleValue();

        assertThat(loss).isCloseTo(firstLoss(expected), within(1e-4 * firstLoss(expected)));
    }

    private static double firstLoss(JsonNode trajectory) {
        return trajectory.at("/steps/0/loss").doubleValue();
    }

    @Test
    void the_batch_size_does_not_matter() {
        double one = eval("--per-device-eval-batch-size", "1", "--json")
                .json()
                .get("loss")
                .doubleValue();
        double three = eval("--per-device-eval-batch-size", "3", "--json")
                .json()
                .get("loss")
                .doubleValue();

        assertThat(three).isCloseTo(one, within(1e-6));
    }

    @Test
    void examples_are_there_only_when_asked_for() {
        assertThat(eval("--json").json().propertyNames()).containsExactly("loss", "perplexity", "tokens");
        assertThat(eval("--per-example").result())
                .contains("data.jsonl:1  loss ")
                .containsPattern("\nloss +\\d+\\.\\d{4}\nperplexity +\\d+\\.\\d+\ntokens +\\d+$");
    }

    @Test
    void a_sample_without_label_tokens_has_no_loss() throws IOException {
        Path data = temporary.resolve("data.jsonl");
        Files.writeString(
                data, "{\"input_ids\": [1, 2, 3]}\n{\"input_ids\": [1, 2, 3], \"labels\": [7, -100, -100]}\n");
        JsonNode examples = CommandRun.of(
                        "eval", "--model", CommandRun.MOE_MODEL, "--data", data, "--json", "--per-example")
                .json()
                .get("examples");

        assertThat(examples.get(0).get("tokens").intValue()).isEqualTo(2);
        assertThat(examples.get(1).toString()).isEqualTo("{\"loss\":null,\"tokens\":0}");
    }

    @Test
    void a_trained_adapter_lowers_the_loss() {
        double before = eval("--json").json().get("loss").doubleValue();
        double after = eval("--adapter", CommandRun.MOE.resolve("adapter_final"), "--json")
                .json()
                .get("loss")
                .doubleValue();

        assertThat(after).isLessThan(before);
    }

    @Test
    void a_limit_below_the_need_ends_with_3() {
        CommandRun run = eval("--max-memory", "100kB");

        assertThat(run.error(3)).contains("max_memory");
        assertThat(run.hint()).contains("per_device_eval_batch_size");
    }

    @Test
    void wrong_input_is_told() throws IOException {
        Path broken = temporary.resolve("broken.jsonl");
        Files.writeString(broken, "{\"input_ids\": [1, 2]}\n{\"input_ids\": [1, \n");

        assertThat(CommandRun.of("eval", "--model", CommandRun.MOE_MODEL).error(2))
                .isEqualTo("dataset is missing");
        assertThat(CommandRun.of("eval", "--model", CommandRun.MOE_MODEL, "--data", broken)
                        .error(2))
                .contains(broken + ":2");
        assertThat(eval("--adapter", temporary).error(2)).contains(temporary.toString());
        assertThat(eval("--device", "cuda:0").error(2)).contains("cuda:0");
    }
}
