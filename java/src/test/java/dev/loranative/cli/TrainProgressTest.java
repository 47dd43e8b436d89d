package dev.loranative.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.loranative.train.StepMetrics;
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import tools.jackson.databind.node.ObjectNode;

class TrainProgressTest {

    private static final String CLEAR = "\r\u001B[2K";

    private final ByteArrayOutputStream out = new ByteArrayOutputStream();
    private final ByteArrayOutputStream err = new ByteArrayOutputStream();
    private long clock;

    private TrainProgress progress(Terminal terminal, int loggingSteps) {
        Console console = new Console(
                new PrintStream(out, true, StandardCharsets.UTF_8),
                new PrintStream(err, true, StandardCharsets.UTF_8),
                terminal,
                _ -> () -> false,
                false);
        return new TrainProgress(console, loggingSteps, () -> clock);
    }

    private void steps(TrainProgress progress, int first, int last, int total, double secondsPerStep) {
        for (int step = first; step <= last; step++) {
            clock += (long) (secondsPerStep * 1e9);
            progress.step(
                    new StepMetrics(
                            step,
                            0.1 * step,
                            5 - 0.1 * step,
                            Double.NaN,
                            Double.NaN,
                            1,
                            1e-3,
                            100,
                            secondsPerStep * 1000,
                            1 << 20),
                    total);
        }
    }

    private String shown() {
        return err.toString(StandardCharsets.UTF_8);
    }

    @Test
    void without_a_terminal_there_are_plain_lines_for_the_first_step_every_few_and_the_last() {
        steps(progress(Terminal.NONE, 10), 1, 25, 25, 1);

        assertThat(shown().lines().map(line -> line.substring(0, 10)))
                .containsExactly("step  1/25", "step 10/25", "step 20/25", "step 25/25");
        assertThat(shown()).contains("0:05 left").doesNotContain("\r", "\u001B");
        assertThat(out.size()).isZero();
    }

    @Test
    void a_resumed_run_shows_its_first_step() {
        steps(progress(Terminal.NONE, 10), 13, 15, 25, 1);

        assertThat(shown().lines().map(line -> line.substring(0, 10))).containsExactly("step 13/25");
    }

    @Test
    void on_a_terminal_a_line_is_written_over_and_some_stay() {
        steps(progress(new Terminal(true, false, 70), 2), 1, 3, 3, 1);

        List<String> pieces = List.of(shown().split("(?=\r)|(?<=\n)"));
        assertThat(pieces.get(0)).startsWith("step 1/3").endsWith("\n");
        assertThat(pieces.get(1)).startsWith("1/3").doesNotContain("\n");
        assertThat(pieces.get(2)).startsWith(CLEAR + "step 2/3").endsWith("\n");
        assertThat(pieces.get(3)).startsWith("2/3").contains("0:01 left");
        assertThat(pieces.get(4)).startsWith(CLEAR + "step 3/3").endsWith("\n");
        assertThat(pieces).hasSize(5);
    }

    @Test
    void the_line_is_not_written_more_often_than_the_eye_follows() {
        steps(progress(new Terminal(true, false, 80), 1000), 1, 501, 1000, 0.001);

        assertThat(shown().split("/1000", -1).length - 1).isBetween(5, 10);
    }

    @Test
    void the_line_stays_below_the_width_so_that_it_never_wraps() {
        steps(progress(new Terminal(true, false, 50), 1000), 1, 20, 1000, 1);

        assertThat(shown().replace(CLEAR, "\n").lines()).allMatch(line -> line.length() < 50);
    }

    @Test
    void what_is_said_in_between_stands_on_lines_of_its_own() {
        TrainProgress progress = progress(new Terminal(true, false, 80), 1000);
        steps(progress, 1, 2, 1000, 1);
        progress.warning("odd");
        progress.evaluated(2, 1);
        steps(progress, 3, 3, 1000, 1);
        progress.saved(Path.of("out", "checkpoint-3"));
        progress.sample("after training", "Alice\nwas");
        progress.clear();

        assertThat(shown())
                .contains(CLEAR + "warning: odd\neval at step 2: loss 1.0000, perplexity 2.718\n")
                .contains(CLEAR + "saved " + Path.of("out", "checkpoint-3") + "\n")
                .endsWith("after training:\n  | Alice\n  | was\n");
    }

    @Test
    void the_summary_says_how_it_went() {
        TrainProgress progress = progress(Terminal.NONE, 10);
        steps(progress, 1, 20, 20, 1);
        progress.evaluated(20, 2);
        TrainSummary summary = progress.summary();

        assertThat(summary.text())
                .isEqualTo("done     20 steps in 0:20, 100 tokens/s\n"
                        + "loss     4.9000 -> 3.0000, evaluation 2.0000 (perplexity 7.389)");
        ObjectNode json = summary.json(Path.of("out"), false);
        assertThat(json.propertyNames())
                .containsExactlyInAnyOrder(
                        "output_dir", "steps", "loss", "eval_loss", "tokens_per_second", "interrupted");
        assertThat(json.get("steps").intValue()).isEqualTo(20);
        assertThat(json.get("loss").doubleValue()).isEqualTo(3.0);
        assertThat(json.get("eval_loss").doubleValue()).isEqualTo(2.0);
        assertThat(json.get("interrupted").booleanValue()).isFalse();
    }

    @Test
    void a_run_without_steps_has_a_summary_too() {
        TrainSummary summary = progress(Terminal.NONE, 10).summary();

        assertThat(summary.text()).isEqualTo("done     no step was left to take");
        assertThat(summary.json(Path.of("out"), true).toString())
                .isEqualTo("{\"output_dir\":\"out\",\"steps\":0,\"loss\":null,\"eval_loss\":null,"
                        + "\"tokens_per_second\":0.0,\"interrupted\":true}");
    }
}
