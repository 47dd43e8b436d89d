package dev.loranative.optim;

import dev.loranative.config.Nearest;
import dev.loranative.errors.UserException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** {@code lr_scheduler_kwargs} of one schedule; remembers which names were asked for, so that others can be refused. */
final class ScheduleArguments {

    private final String schedule;
    private final Map<String, Object> given;
    private final List<String> known = new ArrayList<>();

    ScheduleArguments(String schedule, Map<String, Object> given) {
        this.schedule = schedule;
        this.given = given;
    }

    double number(String name, double defaultValue) {
        known.add(name);
        Object value = given.get(name);
        if (value == null) {
            return defaultValue;
        }
        if (value instanceof Number number && Double.isFinite(number.doubleValue())) {
            return number.doubleValue();
        }
        if (value instanceof String text) {
            try {
                double parsed = Double.parseDouble(text);
                if (Double.isFinite(parsed)) {
                    return parsed;
                }
            } catch (NumberFormatException e) {
                throw wrong(name, value, "a number");
            }
        }
        throw wrong(name, value, "a number");
    }

    int count(String name, int defaultValue) {
        double value = number(name, defaultValue);
        if (given.get(name) != null && (value < 0 || value != Math.rint(value) || value > Integer.MAX_VALUE)) {
            throw wrong(name, given.get(name), "a whole number of at least 0");
        }
        return (int) value;
    }

    String choice(String name, String defaultValue, List<String> choices) {
        known.add(name);
        Object value = given.getOrDefault(name, defaultValue);
        if (value instanceof String text && choices.contains(text)) {
            return text;
        }
        throw wrong(name, value, "one of " + String.join(", ", choices));
    }

    /** The lowest factor: {@code min_lr_rate}, or {@code min_lr} over the highest learning rate; exactly one is needed. */
    double minimumRate(double learningRate) {
        double rate = number("min_lr_rate", Double.NaN);
        double absolute = number("min_lr", Double.NaN);
        if (Double.isNaN(rate) == Double.isNaN(absolute)) {
            throw UserException.badInput(
                    "lr_scheduler_type " + schedule + " needs "
                            + (Double.isNaN(rate) ? "min_lr or min_lr_rate" : "only one of min_lr and min_lr_rate"),
                    "set lr_scheduler_kwargs: {min_lr_rate: 0.1}, a share of learning_rate");
        }
        return Double.isNaN(rate) ? absolute / learningRate : rate;
    }

    /** Refuses arguments that the schedule has not asked for. */
    void requireAllKnown() {
        for (String name : given.keySet()) {
            if (!known.contains(name)) {
                throw UserException.badInput(
                        "lr_scheduler_type " + schedule + " has no argument '" + name + "' (lr_scheduler_kwargs)",
                        known.isEmpty()
                                ? "leave lr_scheduler_kwargs out"
                                : "it knows " + String.join(", ", Nearest.to(name, known, known.size())));
            }
        }
    }

    UserException wrong(String name, Object value, String expectation) {
        return UserException.badInput(
                "lr_scheduler_kwargs: " + name + " of " + schedule + " must be " + expectation + ", not " + value,
                "correct " + name);
    }
}
