package dev.loranative.cli;

import dev.loranative.train.StepMetrics;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.OptionalDouble;
import java.util.function.LongSupplier;

/** How fast a run goes, and how long it will yet take. */
final class Pace {

    /** Steps whose mean is the speed of now. */
    private static final int RECENT = 20;

    private final LongSupplier nanoTime;
    private final Deque<StepMetrics> recent = new ArrayDeque<>();
    private long firstEnd;
    private int firstStep;
    private long end;
    private int step;
    private long tokens;
    private double stepMillis;

    /** @param nanoTime {@link System#nanoTime} or a clock that a test turns */
    Pace(LongSupplier nanoTime) {
        this.nanoTime = nanoTime;
    }

    /** A step has just ended. */
    void add(StepMetrics metrics) {
        end = nanoTime.getAsLong();
        step = metrics.step();
        if (recent.isEmpty()) {
            firstEnd = end;
            firstStep = step;
        }
        recent.addLast(metrics);
        if (recent.size() > RECENT) {
            recent.removeFirst();
        }
        tokens += metrics.tokens();
        stepMillis += metrics.stepMillis();
    }

    /** Mean over the last steps, without what lies between them. */
    double recentTokensPerSecond() {
        double millis = recent.stream().mapToDouble(StepMetrics::stepMillis).sum();
        return perSecond(recent.stream().mapToLong(StepMetrics::tokens).sum(), millis);
    }

    /** Mean over all steps, without what lies between them. */
    double tokensPerSecond() {
        return perSecond(tokens, stepMillis);
    }

    private static double perSecond(long tokens, double millis) {
        return millis > 0 ? tokens / millis * 1000 : 0;
    }

    /**
     * Judged by the clock from the end of the first step on, which warms up; evaluations and checkpoints count. Empty
     * after that first step.
     */
    OptionalDouble secondsLeft(int totalSteps) {
        if (step == totalSteps) {
            return OptionalDouble.of(0);
        }
        if (recent.size() < 2) {
            return OptionalDouble.empty();
        }
        double secondsPerStep = (end - firstEnd) / 1e9 / (step - firstStep);
        return OptionalDouble.of(secondsPerStep * (totalSteps - step));
    }
}
