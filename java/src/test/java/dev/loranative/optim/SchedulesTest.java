package dev.loranative.optim;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.loranative.config.ScheduleOptions;
import dev.loranative.config.ScheduleType;
import dev.loranative.errors.UserException;
import java.io.InputStream;
import java.util.EnumSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;
import tools.jackson.databind.json.JsonMapper;

/** {@code optim/schedules.json}: the lambdas of get_scheduler, transformers 5.18.0, lr 5e-4, for every step and two more. */
class SchedulesTest {

    private static final double LEARNING_RATE = 5e-4;

    record Golden(String type, Map<String, Object> arguments, int warmup, int total, List<Double> factors) {
        ScheduleType scheduleType() {
            return ScheduleType.valueOf(type.toUpperCase(Locale.ROOT));
        }
    }

    static List<Golden> goldens() throws Exception {
        try (InputStream stream = SchedulesTest.class.getResourceAsStream("/optim/schedules.json")) {
            return List.of(JsonMapper.builder().build().readValue(stream, Golden[].class));
        }
    }

    @ParameterizedTest
    @MethodSource("goldens")
    void everyStepIsThatOfTransformers(Golden golden) {
        Schedule schedule = create(golden.scheduleType(), golden.warmup(), golden.total(), golden.arguments());
        for (int step = 0; step < golden.factors().size(); step++) {
            assertThat(schedule.factor(step))
                    .as("step %d of %s", step, golden)
                    .isCloseTo(golden.factors().get(step), within(1e-12));
        }
    }

    @Test
    void goldensCoverEveryScheduleThatFollowsTheStep() throws Exception {
        Set<ScheduleType> covered = goldens().stream().map(Golden::scheduleType).collect(Collectors.toSet());
        assertThat(covered)
                .containsExactlyInAnyOrderElementsOf(
                        EnumSet.complementOf(EnumSet.of(ScheduleType.REDUCE_LR_ON_PLATEAU, ScheduleType.GREEDY)));
    }

    @Test
    void aShareOfTheStepsIsRoundedUp() {
        assertThat(new ScheduleOptions(ScheduleType.LINEAR, 0.25, 0, Map.of()).warmupSteps(10))
                .isEqualTo(3);
        assertThat(new ScheduleOptions(ScheduleType.LINEAR, 0, 0.25, Map.of()).warmupSteps(10))
                .isEqualTo(3);
        assertThat(new ScheduleOptions(ScheduleType.LINEAR, 2.5, 0.9, Map.of()).warmupSteps(10))
                .isEqualTo(2);
        assertThat(new ScheduleOptions(ScheduleType.LINEAR, 0, 0, Map.of()).warmupSteps(10))
                .isZero();
    }

    @ParameterizedTest
    @EnumSource(names = {"REDUCE_LR_ON_PLATEAU", "GREEDY"})
    void schedulesThatFollowAMetricAreRefused(ScheduleType type) {
        assertThatThrownBy(() -> create(type, 0, 10, Map.of()))
                .isInstanceOf(UserException.class)
                .hasMessageContaining(type.name().toLowerCase(Locale.ROOT));
    }

    record Refusal(ScheduleType type, Map<String, Object> arguments, String message) {}

    static Stream<Refusal> refusals() {
        return Stream.of(
                new Refusal(ScheduleType.COSINE, Map.of("num_cycle", 2), "no argument 'num_cycle'"),
                new Refusal(ScheduleType.COSINE, Map.of("num_cycles", "two"), "num_cycles"),
                new Refusal(ScheduleType.COSINE, Map.of("num_cycles", Double.NaN), "NaN"),
                new Refusal(ScheduleType.LINEAR, Map.of("num_cycles", 2), "linear has no argument"),
                new Refusal(ScheduleType.COSINE_WITH_MIN_LR, Map.of(), "min_lr or min_lr_rate"),
                new Refusal(ScheduleType.COSINE_WITH_MIN_LR, Map.of("min_lr", 1e-5, "min_lr_rate", 0.1), "only one"),
                new Refusal(ScheduleType.POLYNOMIAL, Map.of("lr_end", 1.0), "below learning_rate"),
                new Refusal(ScheduleType.INVERSE_SQRT, Map.of("timescale", 0), "above 0"),
                new Refusal(ScheduleType.WARMUP_STABLE_DECAY, Map.of(), "needs num_decay_steps"),
                new Refusal(ScheduleType.WARMUP_STABLE_DECAY, Map.of("num_decay_steps", 2.5), "whole number"),
                new Refusal(
                        ScheduleType.WARMUP_STABLE_DECAY,
                        Map.of("num_decay_steps", 2, "decay_type", "steep"),
                        "one of linear, cosine, 1-sqrt"));
    }

    @ParameterizedTest
    @MethodSource("refusals")
    void wrongArgumentsAreRefused(Refusal refusal) {
        assertThatThrownBy(() -> create(refusal.type(), 2, 10, refusal.arguments()))
                .isInstanceOf(UserException.class)
                .hasMessageContaining(refusal.message());
    }

    private static Schedule create(ScheduleType type, int warmup, int total, Map<String, Object> arguments) {
        return Schedules.create(new ScheduleOptions(type, warmup, 0, arguments), total, LEARNING_RATE);
    }
}
