package dev.loranative.report;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.loranative.errors.UserException;
import dev.loranative.report.RunMetrics.Evaluation;
import dev.loranative.report.RunMetrics.Step;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class RunMetricsTest {

    @TempDir
    Path temporary;

    @Test
    void reads_steps_and_evaluations() throws IOException {
        RunMetrics metrics = read("""
                {"step":1,"epoch":0.5,"loss":3.5,"aux_loss":0.01,"z_loss":0.02,"grad_norm":2,"learning_rate":1e-4,"tokens":64,\
                "tokens_per_second":128.5,"step_ms":498.1,"memory_bytes":5000000000}
                {"step":1,"epoch":0.5,"eval_loss":3.25}
                """);

        assertThat(metrics.steps()).containsExactly(new Step(1, 0.5, 3.5, 0.01, 0.02, 2, 1e-4, 64, 128.5, 498.1, 5e9));
        assertThat(metrics.evaluations()).containsExactly(new Evaluation(1, 3.25));
        assertThat(metrics.unreadableLines()).isZero();
    }

    @Test
    void a_value_that_is_missing_or_no_number_is_nan() throws IOException {
        RunMetrics metrics = read("""
                {"step":1,"loss":"NaN","grad_norm":"Infinity","learning_rate":"-Infinity","tokens":null,"step_ms":[]}
                """);

        double nan = Double.NaN;
        assertThat(metrics.steps())
                .containsExactly(new Step(
                        1, nan, nan, nan, nan, Double.POSITIVE_INFINITY, Double.NEGATIVE_INFINITY, nan, nan, nan, nan));
        assertThat(metrics.tokens()).isZero();
        assertThat(metrics.seconds()).isZero();
    }

    @Test
    void lines_that_are_something_else_are_counted_and_left_out() throws IOException {
        RunMetrics metrics =
                read("{\"step\":1,\"loss\":2}\nhello\n[1]\n{\"loss\":3}\n{\"step\":0,\"loss\":3}\n\n{\"step\":2,\"lo");

        assertThat(metrics.steps()).extracting(Step::step).containsExactly(1);
        assertThat(metrics.unreadableLines()).isEqualTo(6);
    }

    @Test
    void a_file_that_is_not_there_holds_nothing() {
        assertThat(RunMetrics.read(temporary.resolve("none")).steps()).isEmpty();
    }

    @Test
    void a_file_that_cannot_be_read_is_named() {
        assertThatThrownBy(() -> RunMetrics.read(temporary))
                .isInstanceOf(UserException.class)
                .hasMessageContaining(temporary.toString());
    }

    private RunMetrics read(String text) throws IOException {
        Path file = temporary.resolve("metrics.jsonl");
        Files.writeString(file, text);
        return RunMetrics.read(file);
    }
}
