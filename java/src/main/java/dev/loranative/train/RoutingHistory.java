package dev.loranative.train;

import dev.loranative.report.Routing;
import dev.loranative.report.Routing.Interval;
import java.util.ArrayList;
import java.util.List;

/** Choices of experts over the steps of a run, in a bounded number of intervals: when there are too many, pairs join. */
final class RoutingHistory {

    private static final int MOST = 64;

    private final List<Interval> intervals = new ArrayList<>();

    /** Steps in an interval. */
    private int width = 1;

    /**
     * Adds a micro-batch.
     *
     * @param step from 1, not falling
     * @param choices by expert
     */
    void add(int step, long[] choices) {
        Interval added = new Interval(step, step, choices);
        if (!intervals.isEmpty() && step < intervals.getLast().firstStep() + width) {
            intervals.add(intervals.removeLast().join(added));
            return;
        }
        if (intervals.size() == MOST) {
            width *= 2;
            for (int i = 0; i < intervals.size(); i++) {
                intervals.set(i, intervals.get(i).join(intervals.remove(i + 1)));
            }
        }
        intervals.add(added);
    }

    Routing routing() {
        return new Routing(intervals);
    }
}
