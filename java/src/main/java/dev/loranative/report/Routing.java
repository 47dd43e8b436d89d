package dev.loranative.report;

import java.util.Arrays;
import java.util.List;

/**
 * How often routers chose each expert, all layers together.
 *
 * @param intervals in the order of steps, each with as many experts
 */
public record Routing(List<Interval> intervals) {

    public Routing {
        intervals = List.copyOf(intervals);
    }

    /**
     * Choices within consecutive optimizer steps, both ends included.
     *
     * @param choices by expert; a token counts once for each expert that it went to
     */
    public record Interval(int firstStep, int lastStep, long[] choices) {

        /** Both intervals as one; {@code later} follows this one. */
        public Interval join(Interval later) {
            long[] sum = choices.clone();
            Arrays.setAll(sum, expert -> choices[expert] + later.choices[expert]);
            return new Interval(firstStep, later.lastStep, sum);
        }

        int experts() {
            return choices.length;
        }

        /** Part of all choices, by expert; zeros when there were none. */
        double[] shares() {
            double total = Math.max(1, Arrays.stream(choices).sum());
            return Arrays.stream(choices).mapToDouble(count -> count / total).toArray();
        }
    }

    int experts() {
        return intervals.isEmpty() ? 0 : intervals.getFirst().experts();
    }

    /** The last tenth of the intervals, at least one, as one. */
    Interval latest() {
        int taken = Math.max(1, intervals.size() / 10);
        return intervals.subList(intervals.size() - taken, intervals.size()).stream()
                .reduce(Interval::join)
                .orElseThrow();
    }
}
