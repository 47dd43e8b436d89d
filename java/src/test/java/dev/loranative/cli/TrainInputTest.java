package dev.loranative.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Bad input of {@code train}: exit code 2, two lines, nothing written. */
class TrainInputTest {

    @TempDir
    Path temporary;

    private Path model;
    private Path data;

    @BeforeEach
    void copyTheModel() throws IOException {
        model = Files.createDirectory(temporary.resolve("model"));
        try (Stream<Path> files = Files.list(CommandRun.MOE_MODEL)) {
            for (Path file : files.toList()) {
                Files.copy(file, model.resolve(file.getFileName()));
            }
        }
        data = temporary.resolve("data.jsonl");
        Files.copy(CommandRun.MOE_DATA, data);
    }

    /** The one line of the error; more arguments come after the good ones and win. */
    private String refused(Object... more) {
        List<Object> args = new ArrayList<>(List.of(
                "train", "--model", model, "--data", data, "--output", temporary.resolve("out"), "--max-steps", "2"));
        args.addAll(List.of(more));
        if (!List.of(more).contains("--target-modules")) {
            args.addAll(List.of("--target-modules", "router"));
        }
        CommandRun run = CommandRun.of(args.toArray());
        String error = lastTwoLines(run).error(2);
        assertThat(temporary.resolve("out")).doesNotExist();
        return error;
    }

    /** Warnings may stand before the error. */
    private static CommandRun lastTwoLines(CommandRun run) {
        List<String> lines =
                run.err().lines().filter(line -> !line.startsWith("warning: ")).toList();
        return new CommandRun(run.exitCode(), run.out(), String.join("\n", lines));
    }

    private void write(Path file, String text) throws IOException {
        Files.writeString(file, text);
    }

    private void replaceInConfig(String before, String after) throws IOException {
        Path config = model.resolve("config.json");
        String text = Files.readString(config);
        assertThat(text).contains(before);
        write(config, text.replace(before, after));
    }

    @Test
    void good_input_is_not_refused() {
        CommandRun run = CommandRun.of(
                "train",
                "--model",
                model,
                "--data",
                data,
                "--output",
                temporary.resolve("out"),
                "--max-steps",
                "2",
                "--target-modules",
                "router");

        assertThat(run.exitCode()).as(run.err()).isZero();
    }

    @Test
    void what_must_be_given() {
        assertThat(CommandRun.of("train").error(2)).isEqualTo("model_name_or_path is missing");
        assertThat(CommandRun.of("train", "--model", model).error(2)).isEqualTo("dataset is missing");
        assertThat(CommandRun.of("train", "--model", model, "--data", data).error(2))
                .isEqualTo("output_dir is missing");
    }

    @Test
    void no_such_model_or_file() {
        assertThat(refused("--model", temporary.resolve("nowhere"))).contains("nowhere");
        assertThat(refused("--data", temporary.resolve("nowhere.jsonl"))).contains("nowhere.jsonl");
        assertThat(refused("--eval-dataset", temporary.resolve("nowhere.jsonl")))
                .contains("nowhere.jsonl");
        assertThat(refused("--init-adapter", temporary)).contains(temporary.toString());
        assertThat(refused("--config", temporary.resolve("nowhere.yaml"))).contains("nowhere.yaml");
        assertThat(refused("--resume-from-checkpoint", "true")).contains("no checkpoint");
    }

    @Test
    void truncated_weights() throws IOException {
        Path weights = model.resolve("model.safetensors");
        byte[] bytes = Files.readAllBytes(weights);
        Files.write(weights, java.util.Arrays.copyOf(bytes, bytes.length - 10));

        assertThat(refused()).contains("model.safetensors");
    }

    @Test
    void corrupt_headers_of_weights() throws IOException {
        Path weights = model.resolve("model.safetensors");
        byte[] header =
                "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,800]}}".getBytes(StandardCharsets.UTF_8);
        Files.write(
                weights,
                ByteBuffer.allocate(16 + header.length)
                        .order(ByteOrder.LITTLE_ENDIAN)
                        .putLong(header.length)
                        .put(header)
                        .array());
        assertThat(refused()).contains("model.safetensors");

        Files.write(
                weights,
                ByteBuffer.allocate(64)
                        .order(ByteOrder.LITTLE_ENDIAN)
                        .putLong(1L << 60)
                        .array());
        assertThat(refused()).contains("model.safetensors");
    }

    @Test
    void an_index_with_a_missing_or_a_foreign_shard() throws IOException {
        Files.move(model.resolve("model.safetensors"), model.resolve("shard.safetensors"));
        Path index = model.resolve("model.safetensors.index.json");
        write(index, "{\"weight_map\": {\"lm_head.weight\": \"missing.safetensors\"}}");
        assertThat(refused()).contains("missing.safetensors");

        write(index, "{\"weight_map\": {\"lm_head.weight\": \"../data.safetensors\"}}");
        assertThat(refused()).contains("../data.safetensors");
    }

    @Test
    void tensors_that_are_missing_or_of_another_shape() throws IOException {
        replaceInConfig("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3");
        assertThat(refused()).contains("model.layers.2.");

        replaceInConfig("\"num_hidden_layers\": 3", "\"num_hidden_layers\": 1");
        assertThat(refused()).contains("model.layers.1.");

        replaceInConfig("\"num_hidden_layers\": 1", "\"num_hidden_layers\": 2");
        replaceInConfig("\"vocab_size\": 160", "\"vocab_size\": 161");
        assertThat(refused()).contains("161");
    }

    @Test
    void a_model_type_that_is_not_supported() throws IOException {
        replaceInConfig("\"model_type\": \"qwen3_moe\"", "\"model_type\": \"gpt2\"");
        CommandRun run = CommandRun.of("train", "--model", model, "--data", data, "--output", temporary.resolve("out"));

        assertThat(run.error(2)).contains("gpt2");
        assertThat(run.err()).contains("qwen3_moe", "mixtral");
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "{\"input_ids\": [1, 2, | :2",
                "{\"input_ids\": [1, 2], \"labels\": [1, 160]} | 160",
                "{\"input_ids\": [1, 160]} | 160",
                "{\"input_ids\": [1, 2], \"labels\": [1]} | :2",
                "{\"inputs\": [1, 2]} | :2",
                "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}]} | :2",
                "[1, 2] | :2"
            })
    void a_line_of_data_that_is_wrong(String line, String named) throws IOException {
        write(data, "{\"input_ids\": [1, 2, 3]}\n" + line + "\n");

        assertThat(refused()).contains(data + ":2").contains(named);
    }

    @Test
    void empty_data() throws IOException {
        write(data, "\n");
        assertThat(refused()).contains(data.toString());

        write(data, "{\"input_ids\": [1, 2], \"labels\": [-100, -100]}\n");
        assertThat(refused()).contains(data.toString());
    }

    @Test
    void a_sequence_longer_than_the_model_takes() throws IOException {
        write(data, "{\"input_ids\": [1" + ",2".repeat(256) + "]}\n");

        assertThat(refused("--max-length", "null")).contains(data + ":1", "257 tokens", "256");
    }

    @Test
    void wrong_targets_and_ranks() {
        assertThat(refused("--target-modules", "gate_prj")).contains("gate_prj");
        assertThat(refused("--r", "0")).contains("--r", "0");
        assertThat(refused("--target-modules", "all-linear", "--exclude-modules", ".*"))
                .contains("exclude_modules");
        assertThat(refused("--layers-to-transform", "2")).contains("2");
    }

    @Test
    void what_is_not_supported_yet_says_so() {
        assertThat(refused("--packing")).contains("--packing").contains("not supported yet");
        assertThat(refused("--use-dora")).contains("use_dora", "router");
        assertThat(refused("--device", "cuda:0")).contains("cuda:0");
    }

    @Test
    void wrong_values() {
        assertThat(refused("--learning-rate", "fast")).contains("--learning-rate", "'fast'");
        assertThat(refused("--max-steps", "0")).contains("--max-steps");
        assertThat(refused("--sample-prompt", "text without a tokenizer")).contains("tokenizer.json");
        assertThat(refused("--sample-max-new-tokens", "0")).contains("--sample-max-new-tokens");
        assertThat(refused("--router-aux-loss-coef", "-1")).contains("--router-aux-loss-coef");
    }

    @Test
    void a_sample_prompt_that_fills_the_model() {
        CommandRun run = CommandRun.of(
                "train",
                "--model",
                CommandRun.EXAMPLE,
                "--data",
                Path.of("..", "examples", "data", "alice-eval.txt"),
                "--output",
                temporary.resolve("out"),
                "--target-modules",
                "router",
                "--sample-prompt",
                "Alice was ".repeat(300));

        assertThat(run.error(2)).contains("sample_prompt", "511");
        assertThat(temporary.resolve("out")).doesNotExist();
    }

    @Test
    void an_output_folder_that_cannot_be_one() throws IOException {
        write(temporary.resolve("file"), "");
        assertThat(refused("--output", temporary.resolve("file"))).contains("is a file");
        assertThat(refused("--output", temporary.resolve("file").resolve("out")))
                .contains("'" + temporary.resolve("file") + "' is not a folder");
    }

    @ParameterizedTest
    @ValueSource(strings = {"README.md", "adapter_config.json", "report.html"})
    void a_file_of_the_user_is_not_replaced(String name) throws IOException {
        Path project = Files.createDirectory(temporary.resolve("project"));
        write(project.resolve(name), "mine");

        assertThat(refused("--output", project)).contains(name).contains(project.toString());
        assertThat(project.resolve(name)).hasContent("mine");
        assertThat(project.toFile().list()).hasSize(1);
    }

    @Test
    void memory_beyond_the_limit_is_3() {
        CommandRun run = CommandRun.of(
                "train",
                "--model",
                model,
                "--data",
                data,
                "--output",
                temporary.resolve("out"),
                "--target-modules",
                "router",
                "--max-memory",
                "10kB");

        assertThat(run.error(3)).contains("max_memory");
        assertThat(temporary.resolve("out")).doesNotExist();
    }
}
