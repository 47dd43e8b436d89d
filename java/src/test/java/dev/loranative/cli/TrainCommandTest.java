package dev.loranative.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.BooleanSupplier;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.DisabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;
import tools.jackson.databind.JsonNode;

class TrainCommandTest {

    private static final String ADAPTER = "adapter_model.safetensors";

    @TempDir
    Path temporary;

    private List<Object> arguments(String output, Object... more) {
        List<Object> args = new ArrayList<>(List.of(
                "train",
                "--model",
                CommandRun.MOE_MODEL,
                "--data",
                CommandRun.MOE_DATA,
                "--output",
                temporary.resolve(output),
                "--target-modules",
                "router,q_proj,experts",
                "--batch-size",
                "2",
                "--lora-dropout",
                "0.1",
                "--learning-rate",
                "1e-2",
                "--max-steps",
                "6"));
        args.addAll(List.of(more));
        return args;
    }

    private CommandRun train(String output, Object... more) {
        return CommandRun.of(arguments(output, more).toArray());
    }

    private byte[] adapter(String output) throws IOException {
        return Files.readAllBytes(temporary.resolve(output).resolve(ADAPTER));
    }

    private static BooleanSupplier after(int steps) {
        AtomicInteger asked = new AtomicInteger();
        // Once before the run, then before every step.
        return () -> asked.getAndIncrement() > steps;
    }

    @Test
    void a_run_leaves_an_adapter_metrics_and_its_configuration() throws IOException {
        CommandRun run = train("run", "--logging-steps", "2", "--save-steps", "4");
        Path output = temporary.resolve("run");

        assertThat(run.result()).isEqualTo("adapter  " + output);
        assertThat(run.err())
                .containsPattern("(?m)^model +qwen3_moe, [\\d,]+ parameters on CPU, \\d+ threads?, \\w+$")
                .containsPattern("(?m)^adapters 52 modules, [\\d,]+ parameters")
                .containsPattern("(?m)^step 1/6  loss \\d\\.\\d{4}  grad ")
                .containsPattern("(?m)^step 4/6  .* tok/s  .* left$")
                .doesNotContainPattern("(?m)^step 3/6")
                .contains("saved " + output.resolve("checkpoint-4"))
                .containsPattern("(?m)^done     6 steps in ");
        try (Stream<Path> files = Files.list(output)) {
            assertThat(files.map(file -> file.getFileName().toString()))
                    .contains(
                            "adapter_config.json",
                            ADAPTER,
                            "README.md",
                            "metrics.jsonl",
                            "train_config.yaml",
                            "checkpoint-4");
        }
        List<String> metrics = Files.readAllLines(output.resolve("metrics.jsonl"));
        assertThat(metrics).hasSize(6);
        assertThat(Console.JSON.readTree(metrics.getLast()).propertyNames())
                .containsExactly(
                        "step",
                        "epoch",
                        "loss",
                        "grad_norm",
                        "learning_rate",
                        "tokens",
                        "tokens_per_second",
                        "step_ms",
                        "memory_bytes");
        assertThat(Files.readString(output.resolve("train_config.yaml"))).contains("max_steps: 6", "lora_dropout: 0.1");
    }

    @Test
    void the_adapter_can_be_evaluated() {
        train("run");
        CommandRun plain =
                CommandRun.of("eval", "--model", CommandRun.MOE_MODEL, "--data", CommandRun.MOE_DATA, "--json");
        CommandRun adapted = CommandRun.of(
                "eval",
                "--model",
                CommandRun.MOE_MODEL,
                "--data",
                CommandRun.MOE_DATA,
                "--adapter",
                temporary.resolve("run"),
                "--json");

        assertThat(adapted.json().get("loss").doubleValue())
                .isLessThan(plain.json().get("loss").doubleValue());
    }

    @Test
    void json_is_one_document_on_standard_output() {
        JsonNode json =
                train("run", "--eval-dataset", CommandRun.MOE_DATA, "--json").json();

        assertThat(json.propertyNames())
                .containsExactly("output_dir", "steps", "loss", "eval_loss", "tokens_per_second", "interrupted");
        assertThat(json.get("output_dir").stringValue())
                .isEqualTo(temporary.resolve("run").toString());
        assertThat(json.get("steps").intValue()).isEqualTo(6);
        assertThat(json.get("eval_loss").doubleValue()).isPositive();
        assertThat(json.get("interrupted").booleanValue()).isFalse();
    }

    @Test
    void the_configuration_that_a_run_leaves_gives_the_same_run() throws IOException {
        train("first");
        CommandRun again = CommandRun.of(
                "train",
                "--config",
                temporary.resolve("first").resolve("train_config.yaml"),
                "--output",
                temporary.resolve("second"));

        assertThat(again.exitCode()).as(again.err()).isZero();
        assertThat(adapter("second")).isEqualTo(adapter("first"));
    }

    @Test
    void the_same_bytes_for_one_and_two_threads() throws IOException {
        train("one", "--threads", "1");
        train("two", "--threads", "2");

        assertThat(adapter("two")).isEqualTo(adapter("one"));
    }

    @Test
    void a_folder_that_holds_a_run_is_refused_and_stays() throws IOException {
        train("run", "--save-steps", "6");
        byte[] before = adapter("run");
        CommandRun second = train("run", "--seed", "1");

        assertThat(second.error(2)).contains(temporary.resolve("run").toString());
        assertThat(second.hint()).contains("--resume-from-checkpoint true");
        assertThat(adapter("run")).isEqualTo(before);
    }

    @Test
    void a_run_without_a_checkpoint_is_not_said_to_be_resumable() {
        train("run");

        CommandRun anew = train("run");
        assertThat(anew.error(2)).contains("already holds a run");
        assertThat(anew.hint()).contains("no checkpoint").doesNotContain("--resume");
        CommandRun resumed = train("run", "--resume-from-checkpoint", "true");
        assertThat(resumed.error(2)).contains("has no checkpoint");
        assertThat(resumed.hint()).contains("an empty folder");
    }

    @Test
    void ctrl_c_saves_and_the_run_goes_on_to_the_same_bytes() throws IOException {
        train("whole");
        CommandRun stopped =
                CommandRun.interruptible(after(3), arguments("parts", "--json").toArray());
        Path checkpoint = temporary.resolve("parts").resolve("checkpoint-3");

        assertThat(stopped.exitCode()).isEqualTo(130);
        assertThat(stopped.err().lines().toList().getLast())
                .isEqualTo("interrupted: saved " + checkpoint + "; continue with --resume-from-checkpoint true");
        assertThat(Console.JSON.readTree(stopped.out()).get("interrupted").booleanValue())
                .isTrue();
        assertThat(temporary.resolve("parts").resolve(ADAPTER)).doesNotExist();

        CommandRun resumed = train("parts", "--resume-from-checkpoint", "true");
        assertThat(resumed.err()).contains("\nstep 4/6").doesNotContain("step 3/6");
        assertThat(adapter("parts")).isEqualTo(adapter("whole"));
    }

    @Test
    void ctrl_c_before_the_first_step_leaves_nothing() {
        CommandRun stopped =
                CommandRun.interruptible(() -> true, arguments("run").toArray());

        assertThat(stopped.exitCode()).isEqualTo(130);
        assertThat(stopped.err()).endsWith("interrupted: no step was taken, nothing was written\n");
        assertThat(temporary.resolve("run")).doesNotExist();
    }

    @Test
    void a_finished_run_that_is_resumed_has_nothing_to_do() throws IOException {
        train("run", "--save-steps", "6");
        byte[] before = adapter("run");
        CommandRun again = train("run", "--save-steps", "6", "--resume-from-checkpoint", "true");

        assertThat(again.exitCode()).as(again.err()).isZero();
        assertThat(again.err()).contains("no step was left to take");
        assertThat(adapter("run")).isEqualTo(before);
    }

    @Test
    void a_sample_is_shown_before_and_after_and_changes_nothing() throws IOException {
        Object[] common = {
            "--model",
            CommandRun.EXAMPLE,
            "--data",
            Path.of("..", "examples", "data", "alice-train.txt"),
            "--max-length",
            "64",
            "--target-modules",
            "attention",
            "--max-steps",
            "3",
            "--learning-rate",
            "1e-2"
        };
        CommandRun silent = CommandRun.of(words("train", common, "--output", temporary.resolve("silent")));
        CommandRun shown = CommandRun.of(words(
                "train",
                common,
                "--output",
                temporary.resolve("shown"),
                "--sample-prompt",
                "Alice was",
                "--sample-max-new-tokens",
                "20"));

        assertThat(silent.err()).doesNotContain("before training:");
        assertThat(shown.err())
                .containsPattern("before training:\n  \\| Alice was.+\n(  \\|.*\n)*step 1/3")
                .containsPattern("step 3/3.*\n(saved.*\n)?after training:\n  \\| Alice was");
        assertThat(adapter("shown")).isEqualTo(adapter("silent"));
    }

    private static Object[] words(String command, Object[] common, Object... more) {
        return Stream.of(Stream.of((Object) command), Stream.of(common), Stream.of(more))
                .flatMap(part -> part)
                .toArray();
    }

    @Test
    @DisabledOnOs(OS.WINDOWS)
    void a_signal_stops_the_process_after_saving_and_kill_loses_no_checkpoint() throws Exception {
        train("whole", "--max-steps", "400");
        Process first = process("--max-steps", "400", "--save-steps", "10");
        awaitFile(first, temporary.resolve("process").resolve("checkpoint-10"));
        first.destroyForcibly().waitFor();
        assertThat(temporary.resolve("process").resolve(ADAPTER)).doesNotExist();

        Process second = process("--max-steps", "400", "--save-steps", "10", "--resume-from-checkpoint", "true");
        awaitFile(second, temporary.resolve("process").resolve("checkpoint-60"));
        new ProcessBuilder("kill", "-INT", String.valueOf(second.pid())).start().waitFor();
        assertThat(second.waitFor(1, TimeUnit.MINUTES)).isTrue();
        assertThat(second.exitValue()).isEqualTo(130);

        CommandRun last = train("process", "--max-steps", "400", "--resume-from-checkpoint", "true");
        assertThat(last.exitCode()).as(last.err()).isZero();
        assertThat(adapter("process")).isEqualTo(adapter("whole"));
    }

    /** The command in a JVM of its own. */
    private Process process(Object... more) throws IOException {
        List<String> words = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "--enable-native-access=ALL-UNNAMED",
                "-cp",
                System.getProperty("java.class.path")));
        String library = System.getProperty("lora.native.library");
        if (library != null) {
            words.add("-Dlora.native.library=" + library);
        }
        words.add(Main.class.getName());
        arguments("process", more).forEach(argument -> words.add(argument.toString()));
        return new ProcessBuilder(words)
                .redirectErrorStream(true)
                .redirectOutput(temporary.resolve("process.log").toFile())
                .start();
    }

    private void awaitFile(Process process, Path file) throws Exception {
        long deadline = System.nanoTime() + TimeUnit.MINUTES.toNanos(1);
        while (!Files.exists(file)) {
            assertThat(process.isAlive() && System.nanoTime() < deadline)
                    .as(() -> "waiting for " + file + ": " + log())
                    .isTrue();
            Thread.sleep(5);
        }
    }

    private String log() {
        try {
            return Files.readString(temporary.resolve("process.log"));
        } catch (IOException e) {
            return e.toString();
        }
    }
}
