package dev.loranative.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import tools.jackson.databind.JsonNode;

class GenerateCommandTest {

    @TempDir
    Path temporary;

    private static CommandRun moe(Object... more) {
        return generate(CommandRun.MOE_MODEL, more);
    }

    private static CommandRun example(Object... more) {
        return generate(CommandRun.EXAMPLE, more);
    }

    private static CommandRun generate(Path model, Object... more) {
        Object[] args = new Object[more.length + 3];
        args[0] = "generate";
        args[1] = "--model";
        args[2] = model;
        System.arraycopy(more, 0, args, 3, more.length);
        return CommandRun.of(args);
    }

    private static List<Integer> ids(JsonNode json) {
        return json.get("token_ids").valueStream().map(JsonNode::intValue).toList();
    }

    @Test
    void greedy_tokens_are_the_same_every_time_and_for_any_number_of_threads() {
        Object[] args = {"--prompt-ids", "1,2,3", "--temperature", "0", "--max-new-tokens", "12", "--json"};
        JsonNode first = moe(args).json();

        assertThat(first.propertyNames()).containsExactly("text", "token_ids", "tokens_per_second");
        assertThat(ids(first)).hasSize(12).allMatch(id -> id >= 0 && id < 160);
        assertThat(first.get("text").isNull()).isTrue();
        assertThat(first.get("tokens_per_second").doubleValue()).isPositive();
        assertThat(ids(moe(
                                "--threads",
                                "1",
                                "--prompt-ids",
                                "1,2,3",
                                "--temperature",
                                "0",
                                "--max-new-tokens",
                                "12",
                                "--json")
                        .json()))
                .isEqualTo(ids(first));
    }

    @Test
    void a_longer_generation_begins_with_the_shorter_one() {
        List<Integer> few = ids(moe("--prompt-ids", "1,2,3", "--max-new-tokens", "4", "--seed", "7", "--json")
                .json());
        List<Integer> many = ids(moe("--prompt-ids", "1,2,3", "--max-new-tokens", "9", "--seed", "7", "--json")
                .json());

        assertThat(many.subList(0, 4)).isEqualTo(few);
        assertThat(ids(moe("--prompt-ids", "1,2,3", "--max-new-tokens", "9", "--seed", "8", "--json")
                        .json()))
                .isNotEqualTo(many);
    }

    @Test
    void the_cache_changes_nothing() {
        // What follows a prompt that has just been continued by the model is what it would have written anyway.
        List<Integer> all = ids(moe("--prompt-ids", "5,6", "--temperature", "0", "--max-new-tokens", "6", "--json")
                .json());
        String longer = "5,6," + all.get(0) + "," + all.get(1) + "," + all.get(2);

        assertThat(ids(moe("--prompt-ids", longer, "--temperature", "0", "--max-new-tokens", "3", "--json")
                        .json()))
                .isEqualTo(all.subList(3, 6));
    }

    @Test
    void an_adapter_changes_what_is_written() {
        Object[] plain = {"--prompt-ids", "1,2,3", "--max-new-tokens", "40", "--json"};
        Object[] adapted = {
            "--adapter",
            CommandRun.MOE.resolve("adapter_final"),
            "--prompt-ids",
            "1,2,3",
            "--max-new-tokens",
            "40",
            "--json"
        };

        assertThat(ids(moe(adapted).json())).isNotEqualTo(ids(moe(plain).json()));
    }

    @Test
    void text_streams_to_standard_output() {
        Object[] args = {"--prompt", "Alice was", "--temperature", "0", "--max-new-tokens", "20"};
        CommandRun plain = example(args);
        JsonNode json = example("--prompt", "Alice was", "--temperature", "0", "--max-new-tokens", "20", "--json")
                .json();

        assertThat(plain.result()).isNotBlank();
        assertThat(plain.out()).isEqualTo(json.get("text").stringValue() + "\n");
        assertThat(plain.err()).matches("\\d+ tokens in \\d+\\.\\d s, [\\d.,]+ tokens/s\n");
    }

    @Test
    void without_a_tokenizer_the_tokens_are_numbers() {
        assertThat(moe("--prompt-ids", "1,2,3", "--temperature", "0", "--max-new-tokens", "5")
                        .result())
                .matches("\\d+(,\\d+){4}");
    }

    @Test
    void the_end_of_the_text_ends_the_generation() throws IOException {
        List<Integer> free = ids(moe("--prompt-ids", "1,2,3", "--temperature", "0", "--max-new-tokens", "8", "--json")
                .json());
        int end = free.get(3);
        for (String name : List.of("config.json", "model.safetensors")) {
            Files.copy(CommandRun.MOE_MODEL.resolve(name), temporary.resolve(name));
        }
        Files.writeString(temporary.resolve("generation_config.json"), "{\"eos_token_id\": [" + end + "]}");

        assertThat(ids(generate(
                                temporary,
                                "--prompt-ids",
                                "1,2,3",
                                "--temperature",
                                "0",
                                "--max-new-tokens",
                                "8",
                                "--json")
                        .json()))
                .as("the end is one of the ids, as in transformers, and not of the text")
                .isEqualTo(free.subList(0, free.indexOf(end) + 1));
    }

    @Test
    void new_tokens_end_where_the_model_does() {
        CommandRun run = moe("--prompt-ids", "1,2,3", "--temperature", "0", "--max-new-tokens", "9999", "--json");

        assertThat(ids(run.json())).hasSize(253);
        assertThat(run.err()).startsWith("warning: at most 253 of 9999");
    }

    @Test
    void a_long_prompt_runs_in_chunks() {
        String ids = "1" + ",2,3".repeat(130);

        assertThat(example("--prompt-ids", ids, "--temperature", "0", "--max-new-tokens", "3", "--json")
                        .json()
                        .get("token_ids"))
                .hasSizeLessThanOrEqualTo(3);
    }

    @Test
    void wrong_prompts_are_told() {
        assertThat(moe().error(2)).isEqualTo("prompt is missing");
        assertThat(moe("--prompt", "").error(2)).contains("--prompt");
        assertThat(moe("--prompt", "a", "--prompt-ids", "1").error(2)).contains("--prompt and --prompt-ids");
        assertThat(moe("--prompt-ids", "1,160").error(2)).contains("160 is outside the vocabulary of 160");
        assertThat(moe("--prompt-ids", "1,-2").error(2)).contains("--prompt-ids");
        assertThat(moe("--prompt-ids", "1" + ",2".repeat(255)).error(2))
                .contains("256 tokens")
                .contains("at most 256");
        assertThat(moe("--messages", "talk.json").error(2)).contains("chat templates are not supported yet");
        CommandRun noTokenizer = moe("--prompt", "a");
        assertThat(noTokenizer.error(2)).contains("tokenizer.json");
        assertThat(noTokenizer.hint()).contains("--prompt-ids");
    }

    @Test
    void wrong_sampling_options_are_told() {
        assertThat(moe("--prompt-ids", "1", "--temperature", "-1").error(2)).contains("--temperature", "-1");
        assertThat(moe("--prompt-ids", "1", "--top-p", "1.5").error(2)).contains("--top-p", "1.5");
        assertThat(moe("--prompt-ids", "1", "--top-k", "-1").error(2)).contains("--top-k", "-1");
        assertThat(moe("--prompt-ids", "1", "--max-new-tokens", "0").error(2)).contains("--max-new-tokens", "0");
    }

    @Test
    void a_prompt_may_be_any_word() {
        assertThat(example("--prompt", "none", "--max-new-tokens", "1").exitCode())
                .isZero();
        assertThat(example("--prompt=--json", "--max-new-tokens", "1").exitCode())
                .isZero();
    }

    @Test
    void a_broken_tokenizer_does_not_stop_ids() throws IOException {
        for (String name : List.of("config.json", "model.safetensors")) {
            Files.copy(CommandRun.MOE_MODEL.resolve(name), temporary.resolve(name));
        }
        Files.writeString(temporary.resolve("tokenizer.json"), "{");
        CommandRun run = generate(temporary, "--prompt-ids", "1,2", "--max-new-tokens", "2", "--json");

        assertThat(run.json().get("text").isNull()).isTrue();
        assertThat(run.err()).startsWith("warning: no text");
    }

    @Test
    void a_limit_below_the_need_ends_with_3() {
        assertThat(moe("--prompt-ids", "1", "--max-memory", "10kB").error(3)).contains("max_memory");
    }
}
