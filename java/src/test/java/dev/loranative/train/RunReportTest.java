package dev.loranative.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.loranative.config.TrainConfig;
import dev.loranative.errors.UserException;
import dev.loranative.report.Routing;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.math.BigDecimal;
import java.math.MathContext;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** When a run writes its report, and what of the run gets into it. */
class RunReportTest {

    private static final ReferenceCase MOE = ReferenceCase.of("qwen3moe-router");

    @TempDir
    Path temporary;

    @Test
    void a_run_that_ended_shows_itself() throws IOException {
        QuietListener listener = new QuietListener();
        Training.run(config("--router-aux-loss-coef", "0.01"), listener, () -> false);

        String report = report();
        assertThat(report)
                .contains("finished: 4 of 4 steps")
                .contains("Routing")
                .contains("In step 4, all layers together")
                .contains("qwen3_moe, ")
                .contains(" router</dd>")
                .contains("activations")
                .contains("--router-aux-loss-coef");
        assertThat(report)
                .contains(", ends with " + fiveDigits(listener.steps.getLast().loss()) + " at step 4");
        assertThat(listener.warnings).noneMatch(line -> line.contains("report"));
    }

    @Test
    void a_resumed_run_shows_all_its_steps() throws IOException {
        QuietListener first = new QuietListener();
        Training.run(config(), first, () -> first.steps.size() == 2);
        assertThat(report()).contains("interrupted: 2 of 4 steps").doesNotContain("<h2>Routing</h2>");

        Training.run(config("--resume-from-checkpoint", "true"), new QuietListener(), () -> false);
        assertThat(report())
                .contains("finished: 4 of 4 steps")
                .contains("training starts with "
                        + fiveDigits(first.steps.getFirst().loss()) + " at step 1, ends with")
                .contains("after step 2");
    }

    @Test
    void a_run_that_was_stopped_at_once_shows_that_too() throws IOException {
        int[] asked = {0};
        Training.run(config(), new QuietListener(), () -> asked[0]++ > 0);

        assertThat(report()).contains("interrupted: 0 of 4 steps").contains("No optimizer step was finished");
    }

    @Test
    void the_report_grows_with_every_checkpoint() {
        List<String> reports = new ArrayList<>();
        QuietListener listener = new QuietListener();
        Training.run(config("--save-steps", "2"), listener, () -> {
            if (listener.steps.size() == 3) {
                reports.add(report());
            }
            return false;
        });

        assertThat(reports).singleElement().asString().contains("in progress when this was written: 2 of 4 steps");
    }

    @Test
    void a_run_that_failed_says_why() {
        assertThatThrownBy(() -> Training.run(
                        config(
                                "--target-modules",
                                "attention,experts",
                                "--learning-rate",
                                "1e30",
                                "--max-grad-norm",
                                "0",
                                "--max-steps",
                                "20"),
                        new QuietListener(),
                        () -> false))
                .isInstanceOfSatisfying(
                        UserException.class,
                        e -> assertThat(report())
                                .contains("failed: ")
                                .contains(e.getMessage().replace("'", "&#39;")));
    }

    @Test
    void a_report_that_cannot_be_written_is_a_warning() {
        QuietListener listener = new QuietListener();

        // The place is taken once the run has begun: before, the folder would be refused.
        assertThat(Training.run(config(), listener, () -> {
                    if (!listener.steps.isEmpty()) {
                        takePlaceOfReport();
                    }
                    return false;
                }))
                .isTrue();
        assertThat(listener.warnings).anyMatch(line -> line.startsWith("the report is missing or old: cannot write"));
    }

    @Test
    void the_history_of_routing_is_bounded_and_loses_no_choice() {
        RoutingHistory history = new RoutingHistory();
        for (int step = 1; step <= 1000; step++) {
            history.add(step, new long[] {1, step});
            history.add(step, new long[] {2, 0});
        }

        List<Routing.Interval> intervals = history.routing().intervals();
        assertThat(intervals).hasSizeBetween(32, 64);
        long[] sum = new long[2];
        int next = 1;
        for (Routing.Interval interval : intervals) {
            assertThat(interval.firstStep()).isEqualTo(next);
            next = interval.lastStep() + 1;
            Arrays.setAll(sum, expert -> sum[expert] + interval.choices()[expert]);
        }
        assertThat(next).isEqualTo(1001);
        assertThat(sum).containsExactly(3000, 500_500);
    }

    private static String fiveDigits(double value) {
        return new BigDecimal(value)
                .round(new MathContext(5))
                .stripTrailingZeros()
                .toPlainString();
    }

    private String report() {
        try {
            return Files.readString(temporary.resolve("run/report.html"));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private TrainConfig config(String... more) {
        List<String> flags = new ArrayList<>(List.of(
                "--model", MOE.folder().resolve("model").toString(),
                "--data", MOE.folder().resolve("data.jsonl").toString(),
                "--output", temporary.resolve("run").toString(),
                "--target-modules", "router",
                "--r", "2",
                "--per-device-train-batch-size", "2",
                "--learning-rate", "0.01",
                "--max-steps", "4"));
        flags.addAll(List.of(more));
        return TrainConfig.parse(Optional.empty(), flags);
    }

    private void takePlaceOfReport() {
        try {
            Files.createDirectories(temporary.resolve("run/report.html/taken"));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
