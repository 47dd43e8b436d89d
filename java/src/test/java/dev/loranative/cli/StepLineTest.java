package dev.loranative.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.loranative.train.StepMetrics;
import java.util.OptionalDouble;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class StepLineTest {

    private static final StepLine LINE = line(Double.NaN, Double.NaN);

    private static StepLine line(double auxLoss, double zLoss) {
        StepMetrics metrics = new StepMetrics(37, 1.5, 2.91342, auxLoss, zLoss, 0.4123, 1.2e-3, 512, 120, 312L << 20);
        return new StepLine(metrics, 1200, 4210.4, OptionalDouble.of(41));
    }

    @Test
    void a_log_line_has_everything() {
        assertThat(LINE.logged())
                .isEqualTo("step   37/1200  loss 2.9134  grad 0.412  lr 1.2e-03  4,210 tok/s  312 MiB  0:41 left");
        assertThat(line(0.0123, 0.00123).logged()).contains("loss 2.9134  aux 0.012  z 1.2e-03  grad");
    }

    @Test
    void a_permanent_line_leaves_the_time_to_the_line_below() {
        assertThat(LINE.permanent(79))
                .isEqualTo("step   37/1200  loss 2.9134  grad 0.412  lr 1.2e-03  4,210 tok/s  312 MiB");
    }

    @Test
    void a_wide_line_has_a_bar() {
        String status = LINE.status(120);

        assertThat(status).startsWith("[").endsWith("0:41 left").hasSizeLessThanOrEqualTo(120);
        assertThat(new StepLine(step(600), 1200, 1, OptionalDouble.empty()).status(140))
                .startsWith("[===============               ]  ");
    }

    @Test
    void an_unknown_time_is_left_out() {
        assertThat(new StepLine(step(1), 9, 0, OptionalDouble.empty()).status(79))
                .doesNotContain("left");
    }

    @ParameterizedTest
    @ValueSource(ints = {79, 70, 60, 50, 40, 30, 20, 10, 3})
    void a_narrow_line_loses_its_least_important_fields_and_is_never_too_long(int width) {
        assertThat(LINE.status(width)).hasSizeLessThanOrEqualTo(width);
        assertThat(LINE.status(width)).startsWith("  37/1200".substring(0, Math.min(9, width)));
        if (width >= 30) {
            assertThat(LINE.status(width)).contains("loss 2.9134");
        }
        if (width >= 40) {
            assertThat(LINE.status(width)).contains("0:41 left");
        }
    }

    private static StepMetrics step(int step) {
        return new StepMetrics(step, 0, 1, Double.NaN, Double.NaN, 1, 0, 1, 1, 1);
    }
}
