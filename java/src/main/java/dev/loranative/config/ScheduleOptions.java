package dev.loranative.config;

import java.util.Map;

/**
 * How the learning rate changes from step to step.
 *
 * @param warmupSteps steps, or below 1 a share of all steps
 * @param warmupRatio a share of all steps, used where {@code warmupSteps} is 0
 * @param arguments {@code lr_scheduler_kwargs}
 */
public record ScheduleOptions(
        ScheduleType type, double warmupSteps, double warmupRatio, Map<String, Object> arguments) {

    static ScheduleOptions from(ConfigValues values) {
        Map<String, Object> arguments = values.get(TrainKeys.LR_SCHEDULER_KWARGS);
        return new ScheduleOptions(
                values.get(TrainKeys.LR_SCHEDULER_TYPE),
                values.get(TrainKeys.WARMUP_STEPS),
                values.get(TrainKeys.WARMUP_RATIO),
                arguments == null ? Map.of() : arguments);
    }

    /** The whole number of warm-up steps in a run of {@code totalSteps}; shares are rounded up, as in transformers. */
    public int warmupSteps(int totalSteps) {
        double asked = warmupSteps == 0 ? Math.ceil(warmupRatio * totalSteps) : warmupSteps;
        return (int) (asked < 1 ? Math.ceil(asked * totalSteps) : asked);
    }
}
