package dev.loranative.report;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.util.Arrays;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class SeriesTest {

    @Test
    void what_is_drawn_of_a_long_series_holds_its_ends_its_extremes_and_its_gaps() {
        double[] values = new double[10_000];
        Arrays.setAll(values, i -> Math.sin(i));
        values[1234] = -50;
        values[5678] = 70;
        values[9001] = Double.NaN;
        Series series = series(values);

        int[] drawn = series.drawn(100);

        assertThat(drawn).hasSizeLessThanOrEqualTo(303).isSorted().contains(0, 1234, 5678, 9001, 9999);
        assertThat(series.at(drawn).values()).contains(-50, 70);
        assertThat(series(1, 2, 3).drawn(2)).containsExactly(0, 1, 2);
        assertThat(series().drawn(2)).isEmpty();
    }

    @Test
    void the_smoothed_series_is_a_mean_of_what_was_so_far() {
        double[] values = new double[300];
        Arrays.fill(values, 5);
        values[150] = Double.NaN;
        double[] smoothed = series(values).smoothed().values();

        assertThat(smoothed[0]).isEqualTo(5);
        assertThat(smoothed[150]).isNaN();
        assertThat(smoothed[299]).isCloseTo(5, within(1e-12));

        // A thirtieth of 300 steps is 10: a jump is followed by a tenth at first, all but wholly after 50 steps.
        Arrays.setAll(values, i -> i < 150 ? 0 : 1);
        smoothed = series(values).smoothed().values();
        assertThat(smoothed[150]).isBetween(0.09, 0.11);
        assertThat(smoothed[200]).isGreaterThan(0.99);
    }

    @Test
    void extremes_are_found_among_the_finite_values() {
        Series series = series(Double.NaN, 3, Double.POSITIVE_INFINITY, 1, 3);

        assertThat(series.lowest()).isEqualTo(3);
        assertThat(series.highest()).isEqualTo(1);
        assertThat(series(Double.NaN).lowest()).isEqualTo(-1);
    }

    private static Series series(double... values) {
        return new Series(IntStream.rangeClosed(1, values.length).toArray(), values);
    }
}
