package dev.loranative.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.loranative.checkpoint.ElementType;
import dev.loranative.checkpoint.SafetensorsFile;
import dev.loranative.checkpoint.TensorEntry;
import dev.loranative.config.TrainConfig;
import dev.loranative.errors.UserException;
import dev.loranative.lora.AdapterFiles;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** What a run promises beyond its numbers: the same bytes, exact resumption, a clean stop. */
class TrainingTest {

    private static final ReferenceCase MOE = ReferenceCase.of("qwen3moe-router");
    private static final int STEPS = 6;

    @TempDir
    Path temporary;

    @Test
    void the_same_bytes_for_any_number_of_threads() throws IOException {
        byte[] one = train("one", "--threads", "1");
        byte[] two = train("two", "--threads", "2");
        byte[] again = train("again", "--threads", "2");

        assertThat(two).isEqualTo(one);
        assertThat(again).isEqualTo(one);
        assertThat(train("other", "--seed", "7")).isNotEqualTo(one);
    }

    @Test
    void recomputing_layers_changes_nothing() throws IOException {
        assertThat(train("recomputed", "--gradient-checkpointing", "true")).isEqualTo(train("kept"));
    }

    @Test
    void a_run_that_was_interrupted_and_resumed_ends_with_the_same_bytes() throws IOException {
        byte[] whole = train("whole");
        QuietListener first = new QuietListener();
        TrainConfig config = config("parts");
        boolean finished = Training.run(config, first, () -> first.steps.size() == 3);

        assertThat(finished).isFalse();
        assertThat(first.saved).containsExactly(config.run().outputDir().resolve("checkpoint-3"));
        assertThat(config.run().outputDir().resolve(AdapterFiles.TENSORS)).doesNotExist();

        QuietListener second = new QuietListener();
        assertThat(Training.run(config("parts", "--resume-from-checkpoint", "true"), second, () -> false))
                .isTrue();
        assertThat(second.steps).extracting(StepMetrics::step).containsExactly(4, 5, 6);
        assertThat(adapter("parts")).isEqualTo(whole);
        assertThat(losses("parts")).isEqualTo(losses("whole"));
    }

    @Test
    void a_run_that_was_killed_goes_on_from_its_newest_checkpoint() throws IOException {
        byte[] whole = train("whole");
        train("killed", "--save-steps", "2");
        // As if killed while step 5 was being logged: no adapter, a later checkpoint half written, a line cut short.
        Path output = temporary.resolve("killed");
        Files.delete(output.resolve(AdapterFiles.TENSORS));
        deleteTree(output.resolve("checkpoint-6"));
        Files.createDirectories(output.resolve(".checkpoint-6.partial"));
        List<String> lines = Files.readAllLines(output.resolve("metrics.jsonl"));
        Files.writeString(
                output.resolve("metrics.jsonl"), String.join("\n", lines.subList(0, 4)) + "\n{\"step\":5,\"ep");

        Training.run(
                config("killed", "--save-steps", "2", "--resume-from-checkpoint", "true"),
                new QuietListener(),
                () -> false);

        assertThat(adapter("killed")).isEqualTo(whole);
        assertThat(losses("killed")).isEqualTo(losses("whole"));
    }

    @Test
    void resuming_with_another_setting_is_refused_and_names_it() throws IOException {
        train("run", "--save-steps", "2");

        assertThatThrownBy(() -> train("run", "--resume-from-checkpoint", "true", "--learning-rate", "0.5"))
                .isInstanceOf(UserException.class)
                .hasMessageContaining("learning_rate was 0.01, is 0.5");
    }

    @Test
    void settings_beside_an_adapter_must_be_the_adapters_own() throws IOException {
        train("first");
        String adapter = temporary.resolve("first").toString();

        assertThatThrownBy(() -> train("second", "--init-adapter", adapter, "--exclude-modules", "router"))
                .isInstanceOf(UserException.class)
                .hasMessageContaining(
                        "the targets name 56 parts of the model, but the adapter " + adapter + " holds 58")
                .hasMessageContaining("it also holds model.layers.0.mlp.gate");
        assertThatThrownBy(() -> train("second", "--init-adapter", adapter, "--r", "5"))
                .isInstanceOf(UserException.class)
                .hasMessageContaining("r is 5, but the adapter " + adapter + " has 4");
        assertThat(train("second", "--init-adapter", adapter)).isNotEmpty();
    }

    @Test
    void old_checkpoints_are_removed_beyond_the_limit() throws IOException {
        train("run", "--save-steps", "1", "--save-total-limit", "2");

        try (Stream<Path> entries = Files.list(temporary.resolve("run"))) {
            assertThat(entries.map(entry -> entry.getFileName().toString()).filter(name -> name.startsWith("check")))
                    .containsExactlyInAnyOrder("checkpoint-5", "checkpoint-6");
        }
    }

    @Test
    void a_loss_that_is_no_number_stops_the_run_and_keeps_the_last_good_checkpoint() {
        TrainConfig config = config("unstable", "--learning-rate", "1e30", "--save-steps", "1", "--max-grad-norm", "0");
        QuietListener listener = new QuietListener();

        assertThatThrownBy(() -> Training.run(config, listener, () -> false))
                .isInstanceOfSatisfying(UserException.class, e -> {
                    assertThat(e.exitCode()).isEqualTo(UserException.FAILED);
                    assertThat(e.hint()).contains(listener.saved.getLast().toString());
                })
                .hasMessageContaining("step " + (listener.steps.size() + 1));

        assertThat(config.run().outputDir().resolve(AdapterFiles.TENSORS)).doesNotExist();
        assertThat(listener.saved.getLast().resolve(AdapterFiles.TENSORS)).exists();
    }

    /** The loss is still finite when the update overflows. */
    @Test
    void a_state_that_is_no_number_is_never_saved() throws IOException {
        String[] overflow = {
            "--learning-rate", "1e39", "--lr-scheduler-type", "constant_with_warmup", "--warmup-steps", "1"
        };
        for (String[] saving :
                new String[][] {{"--save-steps", "1", "--save-total-limit", "1"}, {"--max-steps", "2"}}) {
            String name = "overflow" + saving.length;
            List<String> flags = new ArrayList<>(List.of(overflow));
            flags.addAll(List.of(saving));

            assertThatThrownBy(() -> train(name, flags.toArray(String[]::new)))
                    .isInstanceOf(UserException.class)
                    .hasMessageContaining("unstable at step 2: the update made the adapter hold");
            assertThat(temporary.resolve(name).resolve(AdapterFiles.TENSORS)).doesNotExist();
            assertThat(temporary.resolve(name).resolve("checkpoint-2")).doesNotExist();
            assertThat(Files.exists(temporary.resolve(name).resolve("checkpoint-1")))
                    .isEqualTo(saving.length == 4);
        }
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "null|not a JSON object",
                "[]|not a JSON object",
                "{\"step\": |Unexpected end-of-input",
                "{}|step is missing",
                "{\"step\": -1}|step is -1",
                "{\"step\": 4.5}|step is 4.5",
                "{\"step\": 4}|microBatches is missing",
                "{\"step\": 4, \"microBatches\": 3}|microBatches is 3",
                "{\"step\": 4, \"microBatches\": 8}|settings",
                "{\"step\": 4, \"microBatches\": 8, \"settings\": {}}|settings",
                "{\"step\": 3, \"microBatches\": 8, \"settings\": {\"data\": \"x\"}}|in a folder named checkpoint-4"
            })
    void a_broken_state_is_refused(String text, String named) throws IOException {
        Path checkpoint = Files.createDirectories(temporary.resolve("run").resolve("checkpoint-4"));
        Files.writeString(checkpoint.resolve("trainer_state.json"), text);

        assertThatThrownBy(() -> Checkpoints.readState(checkpoint))
                .isInstanceOfSatisfying(
                        UserException.class, e -> assertThat(e.exitCode()).isEqualTo(UserException.BAD_INPUT))
                .hasMessageContaining("trainer_state.json is broken")
                .hasMessageContaining(named);
    }

    @Test
    void moments_that_are_no_numbers_are_refused() throws IOException {
        train("run", "--save-steps", "4");
        Path optimizer = temporary.resolve("run").resolve("checkpoint-4").resolve("optimizer.safetensors");
        byte[] bytes = Files.readAllBytes(optimizer);
        ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).putFloat(bytes.length - 4, Float.NaN);
        Files.write(optimizer, bytes);

        assertThatThrownBy(() -> train("run", "--save-steps", "4", "--resume-from-checkpoint", "true"))
                .isInstanceOf(UserException.class)
                .hasMessageContaining("second_moments holds NaN");
    }

    @Test
    void moments_in_8_bits_go_on_with_the_same_bytes() throws IOException {
        String[] kept = {"--optim", "adamw_8bit", "--save-steps", "3", "--loraplus-lr-ratio", "4"};
        byte[] whole = train("whole", kept);
        assertThat(whole).isNotEqualTo(train("float32", "--loraplus-lr-ratio", "4"));
        assertThat(losses("whole").getLast()).isCloseTo(losses("float32").getLast(), within(0.05));

        Path checkpoint = temporary.resolve("whole").resolve("checkpoint-3");
        try (SafetensorsFile file = SafetensorsFile.open(checkpoint.resolve("optimizer.safetensors"))) {
            TensorEntry codes = file.find("first_moments").orElseThrow();
            assertThat(codes.type()).isEqualTo(ElementType.U8);
            assertThat(file.find("first_absmax").orElseThrow().elements()).isEqualTo(codes.elements() / 256);
        }
        List<String> resumed = new ArrayList<>(List.of(kept));
        resumed.addAll(List.of("--resume-from-checkpoint", checkpoint.toString()));
        assertThat(train("parts", resumed.toArray(String[]::new))).isEqualTo(whole);
        assertThatThrownBy(() ->
                        train("other", "--loraplus-lr-ratio", "4", "--resume-from-checkpoint", checkpoint.toString()))
                .isInstanceOf(UserException.class)
                .hasMessageContaining("optim was adamw_8bit, is adamw_torch");
    }

    @Test
    void moments_in_8_bits_take_a_quarter_of_the_plan() {
        long floats = plannedOptimizer("floats", "adamw_torch");
        assertThat(plannedOptimizer("bytes", "paged_adamw_8bit")).isBetween(floats / 4, floats / 4 + floats / 32);
    }

    private long plannedOptimizer(String output, String optim) {
        try (TrainSetup setup = new TrainPreparation(config(output, "--optim", optim), new QuietListener()).prepare()) {
            return setup.memory().parts().get("optimizer");
        }
    }

    @Test
    void a_checkpoint_of_another_folder_does_not_overwrite_the_run_that_is_here() throws IOException {
        train("first", "--save-steps", "2");
        byte[] second = train("second", "--seed", "1");
        String checkpoint = temporary.resolve("first").resolve("checkpoint-2").toString();

        assertThatThrownBy(() -> train("second", "--resume-from-checkpoint", checkpoint))
                .isInstanceOf(UserException.class)
                .hasMessageContaining("already holds a run");
        assertThat(adapter("second")).isEqualTo(second);
        assertThat(train("third", "--resume-from-checkpoint", checkpoint)).isEqualTo(adapter("first"));
    }

    @Test
    void two_processes_do_not_fill_one_folder() throws IOException {
        Path output = Files.createDirectory(temporary.resolve("run"));
        try (RunLock _ = RunLock.acquire(output)) {
            assertThatThrownBy(() -> train("run"))
                    .isInstanceOfSatisfying(
                            UserException.class, e -> assertThat(e.exitCode()).isEqualTo(UserException.BAD_INPUT))
                    .hasMessageContaining("in use by another process");
            assertThat(output.toFile().list()).containsExactly(".run.lock");
        }
        assertThat(output).isEmptyDirectory();
        assertThat(train("run")).isNotEmpty();
        assertThat(output.resolve(".run.lock")).doesNotExist();
    }

    @Test
    void a_limit_that_the_plan_exceeds_ends_the_run_before_it_writes() {
        TrainConfig config = config("large", "--max-memory", "100KB");

        assertThatThrownBy(() -> Training.run(config, new QuietListener(), () -> false))
                .isInstanceOfSatisfying(
                        UserException.class, e -> assertThat(e.exitCode()).isEqualTo(UserException.DOES_NOT_FIT))
                .hasMessageContaining("max_memory");
        assertThat(config.run().outputDir()).doesNotExist();
    }

    /** Unset, the plan decides; what is asked for is done. */
    @Test
    void layers_are_recomputed_where_they_cannot_be_kept() throws IOException {
        long kept = planned("kept", Optional.of(false), "1GB");
        long recomputed = planned("recomputed", Optional.of(true), "1GB");
        assertThat(recomputed).isLessThan(kept);

        assertThat(planned("room", Optional.empty(), kept + "B")).isEqualTo(kept);
        assertThat(planned("less", Optional.empty(), kept - 1 + "B")).isEqualTo(recomputed);
        assertThatThrownBy(() -> planned("refused", Optional.of(false), kept - 1 + "B"))
                .isInstanceOfSatisfying(
                        UserException.class, e -> assertThat(e.hint()).contains("set gradient_checkpointing"));
        assertThatThrownBy(() -> planned("small", Optional.empty(), recomputed - 1 + "B"))
                .isInstanceOfSatisfying(
                        UserException.class, e -> assertThat(e.hint()).doesNotContain("gradient_checkpointing"));

        assertThat(train("run", "--max-memory", kept - 1 + "B")).isEqualTo(train("plenty"));
    }

    private long planned(String output, Optional<Boolean> recompute, String most) {
        List<String> flags = new ArrayList<>(List.of("--max-memory", most));
        recompute.ifPresent(value -> flags.addAll(List.of("--gradient-checkpointing", value.toString())));
        QuietListener listener = new QuietListener();
        try (TrainSetup setup =
                new TrainPreparation(config(output, flags.toArray(String[]::new)), listener).prepare()) {
            boolean decided = listener.prepared.stream().anyMatch(line -> line.contains("gradient_checkpointing"));
            assertThat(decided).isEqualTo(recompute.isEmpty() && setup.recompute());
            return setup.memory().totalBytes();
        }
    }

    @Test
    void evaluation_lines_stand_between_the_steps() throws IOException {
        train("evaluated", "--eval-dataset", MOE.folder().resolve("data.jsonl").toString(), "--eval-steps", "4");

        List<Integer> evaluatedAt = new ArrayList<>();
        for (JsonNode line : lines("evaluated")) {
            if (line.has("eval_loss")) {
                evaluatedAt.add(line.get("step").asInt());
                assertThat(line.get("eval_loss").asDouble()).isBetween(3.0, 8.0);
            }
        }
        assertThat(evaluatedAt).containsExactly(4, STEPS);
    }

    /** Attention, router and experts, with dropout, accumulation, random order, the auxiliary loss. */
    private TrainConfig config(String output, String... more) {
        List<String> flags = new ArrayList<>(List.of(
                "--model", MOE.folder().resolve("model").toString(),
                "--data", MOE.folder().resolve("data.jsonl").toString(),
                "--output", temporary.resolve(output).toString(),
                "--target-modules", "attention,router,experts",
                "--r", "4",
                "--lora-dropout", "0.1",
                "--router-aux-loss-coef", "0.01",
                "--per-device-train-batch-size", "2",
                "--gradient-accumulation-steps", "2",
                "--learning-rate", "0.01",
                "--max-steps", String.valueOf(STEPS)));
        flags.addAll(List.of(more));
        return TrainConfig.parse(Optional.empty(), flags);
    }

    private byte[] train(String output, String... more) throws IOException {
        assertThat(Training.run(config(output, more), new QuietListener(), () -> false))
                .isTrue();
        return adapter(output);
    }

    private byte[] adapter(String output) throws IOException {
        return Files.readAllBytes(temporary.resolve(output).resolve(AdapterFiles.TENSORS));
    }

    private List<Double> losses(String output) throws IOException {
        return lines(output).stream().map(line -> line.get("loss").asDouble()).toList();
    }

    private List<JsonNode> lines(String output) throws IOException {
        return Files.readAllLines(temporary.resolve(output).resolve("metrics.jsonl")).stream()
                .map(line -> JsonMapper.shared().readTree(line))
                .toList();
    }

    private static void deleteTree(Path folder) throws IOException {
        try (Stream<Path> entries = Files.list(folder)) {
            for (Path entry : entries.toList()) {
                Files.delete(entry);
            }
        }
        Files.delete(folder);
    }
}
