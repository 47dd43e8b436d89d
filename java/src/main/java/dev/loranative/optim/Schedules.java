package dev.loranative.optim;

import dev.loranative.config.ScheduleOptions;
import dev.loranative.errors.UserException;
import java.util.List;
import java.util.Locale;

/**
 * The learning rate schedules of transformers' {@code get_scheduler} (5.18), step for step.
 *
 * <p>In the formulas W is the number of warm-up steps, N of all steps, k of steps taken, and the progress is
 * (k-W) / max(1, N-W). Unless a schedule says otherwise, the factor is k/W while k is below W.
 */
public final class Schedules {

    private Schedules() {}

    /**
     * @param totalSteps of the whole run, at least 1
     * @param learningRate the highest one; some schedules have arguments in its unit
     * @throws UserException if {@code lr_scheduler_kwargs} has unknown, missing or wrong arguments, or if the schedule
     *     follows a metric, which is not supported
     */
    public static Schedule create(ScheduleOptions options, int totalSteps, double learningRate) {
        int warmup = options.warmupSteps(totalSteps);
        String name = options.type().name().toLowerCase(Locale.ROOT);
        ScheduleArguments arguments = new ScheduleArguments(name, options.arguments());
        Schedule schedule = switch (options.type()) {
            case LINEAR ->
                warmedUp(warmup, step -> Math.max(0, (double) (totalSteps - step) / Math.max(1, totalSteps - warmup)));
            case COSINE -> {
                double cycles = arguments.number("num_cycles", 0.5);
                yield warmedUp(warmup, step -> Math.max(0, cosine(cycles, progress(step, warmup, totalSteps))));
            }
            case COSINE_WITH_RESTARTS -> restarts(arguments, warmup, totalSteps);
            case POLYNOMIAL -> polynomial(arguments, warmup, totalSteps, learningRate);
            case CONSTANT -> _ -> 1;
            case CONSTANT_WITH_WARMUP -> warmedUp(warmup, _ -> 1);
            case INVERSE_SQRT -> inverseSquareRoot(arguments, warmup);
            case COSINE_WITH_MIN_LR -> cosineWithMinimum(arguments, warmup, totalSteps, learningRate);
            case COSINE_WARMUP_WITH_MIN_LR -> warmupWithMinimum(arguments, warmup, totalSteps, learningRate);
            case WARMUP_STABLE_DECAY -> StableDecay.create(arguments, warmup, totalSteps);
            case REDUCE_LR_ON_PLATEAU, GREEDY ->
                throw UserException.badInput(
                        "lr_scheduler_type " + name + " is not supported: it follows a metric, not the step",
                        "choose one of linear, cosine, cosine_with_restarts, polynomial, constant,"
                                + " constant_with_warmup, inverse_sqrt, cosine_with_min_lr,"
                                + " cosine_warmup_with_min_lr, warmup_stable_decay");
        };
        arguments.requireAllKnown();
        return schedule;
    }

    static double cosine(double cycles, double progress) {
        return 0.5 * (1 + Math.cos(Math.PI * cycles * 2 * progress));
    }

    private static Schedule warmedUp(int warmup, Schedule after) {
        return step -> step < warmup ? (double) step / warmup : after.factor(step);
    }

    private static double progress(long step, int warmup, int total) {
        return (double) (step - warmup) / Math.max(1, total - warmup);
    }

    private static Schedule restarts(ScheduleArguments arguments, int warmup, int total) {
        double cycles = arguments.number("num_cycles", 1);
        return warmedUp(warmup, step -> {
            double progress = progress(step, warmup, total);
            return progress >= 1 ? 0 : Math.max(0, 0.5 * (1 + Math.cos(Math.PI * (cycles * progress % 1))));
        });
    }

    private static Schedule polynomial(ScheduleArguments arguments, int warmup, int total, double learningRate) {
        double end = arguments.number("lr_end", 1e-7);
        double power = arguments.number("power", 1);
        if (!(learningRate > end)) {
            throw arguments.wrong("lr_end", end, "below learning_rate " + learningRate);
        }
        return warmedUp(warmup, step -> {
            if (step > total || total == warmup) {
                return end / learningRate;
            }
            double remaining = 1 - (double) (step - warmup) / (total - warmup);
            return ((learningRate - end) * Math.pow(remaining, power) + end) / learningRate;
        });
    }

    private static Schedule inverseSquareRoot(ScheduleArguments arguments, int warmup) {
        double timescale = arguments.number("timescale", warmup == 0 ? 10_000 : warmup);
        if (!(timescale > 0)) {
            throw arguments.wrong("timescale", timescale, "above 0");
        }
        return warmedUp(warmup, step -> 1 / Math.sqrt((step + timescale - warmup) / timescale));
    }

    private static Schedule cosineWithMinimum(ScheduleArguments arguments, int warmup, int total, double learningRate) {
        double cycles = arguments.number("num_cycles", 0.5);
        double minimum = arguments.minimumRate(learningRate);
        return warmedUp(
                warmup, step -> Math.max(0, cosine(cycles, progress(step, warmup, total)) * (1 - minimum) + minimum));
    }

    /** The warm-up is (k+1)/W, or rises from {@code warmup_lr_rate}; the cosine is one step ahead. */
    private static Schedule warmupWithMinimum(ScheduleArguments arguments, int warmup, int total, double learningRate) {
        double cycles = arguments.number("num_cycles", 0.5);
        double minimum = arguments.minimumRate(learningRate);
        double first = arguments.number("warmup_lr_rate", Double.NaN);
        return step -> {
            if (step < warmup) {
                return Double.isNaN(first)
                        ? (step + 1.0) / warmup
                        : first + (1 - first) * step / Math.max(1, warmup - 1);
            }
            double progress = (step - warmup + 1.0) / Math.max(1, total - warmup);
            return Math.max(0, cosine(cycles, progress) * (1 - minimum) + minimum);
        };
    }

    /** Warm-up, a stretch at the full rate, then decay to {@code min_lr_ratio}. */
    private record StableDecay(
            int warmup, long stable, int decay, String warmupType, String decayType, double minimum, double cycles)
            implements Schedule {

        private static final List<String> SHAPES = List.of("linear", "cosine", "1-sqrt");

        static Schedule create(ScheduleArguments arguments, int warmup, int total) {
            int decay = arguments.count("num_decay_steps", -1);
            if (decay < 0) {
                throw UserException.badInput(
                        "lr_scheduler_type warmup_stable_decay needs num_decay_steps",
                        "set lr_scheduler_kwargs: {num_decay_steps: N}");
            }
            return new StableDecay(
                    warmup,
                    arguments.count("num_stable_steps", total - warmup - decay),
                    decay,
                    arguments.choice("warmup_type", "linear", SHAPES),
                    arguments.choice("decay_type", "cosine", SHAPES),
                    arguments.number("min_lr_ratio", 0),
                    arguments.number("num_cycles", 0.5));
        }

        @Override
        public double factor(long step) {
            if (step < warmup) {
                double progress = (double) step / warmup;
                double rise = switch (warmupType) {
                    case "cosine" -> 0.5 * (1 - Math.cos(Math.PI * progress));
                    case "1-sqrt" -> 1 - Math.sqrt(1 - progress);
                    default -> progress;
                };
                return Math.max(0, rise * (1 - minimum) + minimum);
            }
            if (step < warmup + stable) {
                return 1;
            }
            if (step >= warmup + stable + decay) {
                return minimum;
            }
            double progress = (double) (step - warmup - stable) / Math.max(1, decay);
            double fall = switch (decayType) {
                case "cosine" -> cosine(cycles, progress);
                case "1-sqrt" -> 1 - Math.sqrt(progress);
                default -> 1 - progress;
            };
            return Math.max(0, fall * (1 - minimum) + minimum);
        }
    }
}
