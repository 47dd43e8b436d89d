package dev.loranative.report;

import java.util.Arrays;
import java.util.function.DoubleUnaryOperator;
import java.util.stream.IntStream;

/**
 * A measured value by optimizer step.
 *
 * @param steps not falling
 * @param values as many; may be NaN or infinite
 */
record Series(int[] steps, double[] values) {

    /** A smoothed curve's mean reaches back over about one of so many parts of the run. */
    private static final int SPANS = 30;

    int size() {
        return steps.length;
    }

    Series map(DoubleUnaryOperator change) {
        return new Series(steps, Arrays.stream(values).map(change).toArray());
    }

    /** Positions of the finite values. */
    int[] finite() {
        return IntStream.range(0, values.length)
                .filter(i -> Double.isFinite(values[i]))
                .toArray();
    }

    /** Position of the smallest finite value, the first of equals; -1 without any. */
    int lowest() {
        return Arrays.stream(finite()).reduce(-1, (best, i) -> best < 0 || values[i] < values[best] ? i : best);
    }

    /** Position of the largest finite value, the first of equals; -1 without any. */
    int highest() {
        return Arrays.stream(finite()).reduce(-1, (best, i) -> best < 0 || values[i] > values[best] ? i : best);
    }

    /** Exponential mean over about a thirtieth of the steps, free of the pull of its start; NaN stays where it was. */
    Series smoothed() {
        double past = 1 - 1 / Math.max(1, size() / (double) SPANS);
        double[] means = new double[size()];
        double sum = 0;
        double weight = 0;
        for (int i = 0; i < means.length; i++) {
            if (!Double.isFinite(values[i])) {
                means[i] = Double.NaN;
                continue;
            }
            sum = past * sum + (1 - past) * values[i];
            weight = past * weight + (1 - past);
            means[i] = sum / weight;
        }
        return new Series(steps, means);
    }

    /**
     * Positions to draw so that the picture keeps its shape: the ends, and of every bucket of equal length the smallest
     * value, the largest, and one that is no finite number.
     */
    int[] drawn(int buckets) {
        if (size() <= 2 * buckets) {
            return IntStream.range(0, size()).toArray();
        }
        boolean[] kept = new boolean[size()];
        kept[0] = true;
        kept[size() - 1] = true;
        for (int bucket = 0; bucket < buckets; bucket++) {
            int first = (int) ((long) bucket * size() / buckets);
            int end = (int) ((long) (bucket + 1) * size() / buckets);
            int lowest = -1;
            int highest = -1;
            int broken = -1;
            for (int i = first; i < end; i++) {
                if (!Double.isFinite(values[i])) {
                    broken = i;
                } else {
                    lowest = lowest < 0 || values[i] < values[lowest] ? i : lowest;
                    highest = highest < 0 || values[i] > values[highest] ? i : highest;
                }
            }
            for (int i : new int[] {lowest, highest, broken}) {
                if (i >= 0) {
                    kept[i] = true;
                }
            }
        }
        return IntStream.range(0, size()).filter(i -> kept[i]).toArray();
    }

    Series at(int[] positions) {
        return new Series(
                Arrays.stream(positions).map(i -> steps[i]).toArray(),
                Arrays.stream(positions).mapToDouble(i -> values[i]).toArray());
    }
}
