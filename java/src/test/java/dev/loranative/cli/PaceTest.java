package dev.loranative.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.loranative.train.StepMetrics;
import org.junit.jupiter.api.Test;

class PaceTest {

    private long clock;
    private final Pace pace = new Pace(() -> clock);

    private void step(int step, double clockSeconds, double stepSeconds) {
        clock += (long) (clockSeconds * 1e9);
        pace.add(new StepMetrics(step, 0, 1, Double.NaN, Double.NaN, 1, 0, 100, stepSeconds * 1000, 1));
    }

    @Test
    void the_first_step_tells_nothing_about_the_time_left() {
        step(1, 60, 60);

        assertThat(pace.secondsLeft(10)).isEmpty();
    }

    @Test
    void the_time_left_counts_what_lies_between_the_steps_and_not_the_first() {
        step(1, 60, 60);
        step(2, 2, 1);
        step(3, 4, 1);

        assertThat(pace.secondsLeft(13).orElseThrow()).isCloseTo(30, within(1e-9));
        assertThat(pace.secondsLeft(3)).hasValue(0);
    }

    @Test
    void a_resumed_run_counts_its_own_steps() {
        step(101, 5, 5);
        step(102, 2, 2);

        assertThat(pace.secondsLeft(112).orElseThrow()).isCloseTo(20, within(1e-9));
    }

    @Test
    void speed_is_that_of_the_last_steps_and_of_all() {
        assertThat(pace.recentTokensPerSecond()).isZero();
        for (int step = 1; step <= 20; step++) {
            step(step, 2, 2);
        }
        for (int step = 21; step <= 40; step++) {
            step(step, 1, 1);
        }

        assertThat(pace.recentTokensPerSecond()).isCloseTo(100, within(1e-9));
        assertThat(pace.tokensPerSecond()).isCloseTo(4000 / 60.0, within(1e-9));
    }
}
