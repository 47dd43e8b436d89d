package dev.loranative.report;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class ScaleTest {

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "2.25     | 5        | 2 3 4 5",
                "2.01     | 2.08     | 2 2.02 2.04 2.06 2.08",
                "0        | 2e-5     | 0 5e-6 1e-5 1.5e-5 2e-5",
                "0        | 0.009    | 0 0.005 0.01",
                "-1       | 1        | -1 -0.5 0 0.5 1",
                "0        | 0.008    | 0 2e-3 4e-3 6e-3 8e-3",
                "0        | 17000    | 0 5k 10k 15k 20k",
                "0        | 3200000  | 0 1M 2M 3M 4M",
                "3        | 3        | 2.6 2.8 3 3.2 3.4",
                "0        | 0        | 0 0.5 1",
                "1e300    | 3e300    | 1e300 1.5e300 2e300 2.5e300 3e300"
            })
    void marks_are_round_and_enclose_the_values(double low, double high, String marks) {
        Scale scale = Scale.ofValues(low, high, false);

        assertThat(labels(scale)).isEqualTo(List.of(marks.split(" ")));
        assertThat(scale.holds(low) && scale.holds(high)).isTrue();
    }

    @Test
    void marks_are_never_many_nor_alike() {
        Random random = new Random(1);
        for (int i = 0; i < 10_000; i++) {
            double low = random.nextGaussian() * Math.pow(10, random.nextInt(-9, 12));
            double high = low + Math.abs(low) * Math.pow(10, random.nextInt(-6, 6)) * random.nextDouble();
            for (boolean fromZero : new boolean[] {true, false}) {
                Scale scale = Scale.ofValues(Math.min(low, high), Math.max(low, high), fromZero);
                assertThat(labels(scale)).hasSizeBetween(2, 7).doesNotHaveDuplicates();
                assertThat(scale.holds(low) && scale.holds(high)).isTrue();
            }
        }
    }

    @Test
    void steps_are_whole_numbers() {
        assertThat(Scale.ofSteps(1, 4).marks()).containsExactly(1.0, 2.0, 3.0, 4.0);
        assertThat(Scale.ofSteps(7, 7).marks()).containsExactly(7.0);
        assertThat(Scale.ofSteps(1, 100).marks()).containsExactly(20.0, 40.0, 60.0, 80.0, 100.0);
    }

    private static List<String> labels(Scale scale) {
        return scale.marks().stream().map(scale::label).toList();
    }
}
