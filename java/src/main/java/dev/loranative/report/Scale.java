package dev.loranative.report;

import java.math.BigDecimal;
import java.math.RoundingMode;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * An axis: which values it spans and where it has marks.
 *
 * @param spacing between marks
 */
record Scale(double low, double high, double spacing) {

    /** Marks that an axis has at least, unless its values leave no room for them. */
    private static final int MARKS = 4;

    /** What binary fractions may be away from round numbers, in spacings. */
    private static final double ROUNDING = 1e-6;

    /** The part of the values, at either end, that an axis may leave out. */
    private static final double FAR_OUT = 0.005;

    /** Values that make such a part more than chance. */
    private static final int MANY = 200;

    /**
     * An axis for finite values, its ends at marks. Where a few of many values lie so far out that the rest would become
     * a flat line, it spans the rest.
     */
    static Scale ofValues(double[] values, boolean fromZero) {
        double[] sorted = values.clone();
        Arrays.sort(sorted);
        int last = sorted.length - 1;
        if (last < 0) {
            return ofValues(0, 1, fromZero);
        }
        double low = sorted[(int) (last * FAR_OUT)];
        double high = sorted[(int) (last * (1 - FAR_OUT))];
        boolean cut = sorted.length >= MANY && high > low && sorted[last] - sorted[0] > 5 * (high - low);
        return cut ? ofValues(low, high, fromZero) : ofValues(sorted[0], sorted[last], fromZero);
    }

    /** An axis for values between two, its ends at marks. */
    static Scale ofValues(double lowest, double highest, boolean fromZero) {
        double low = fromZero ? Math.min(0, lowest) : lowest;
        double high = fromZero ? Math.max(0, highest) : highest;
        if (low == high) {
            double room = low == 0 ? 1 : Math.abs(low) / 10;
            high += room;
            low -= fromZero || low == 0 ? 0 : room;
        }
        double spacing = round((high - low) / MARKS);
        return new Scale(
                Math.floor(low / spacing + ROUNDING) * spacing,
                Math.ceil(high / spacing - ROUNDING) * spacing,
                spacing);
    }

    /** An axis for optimizer steps, its ends at the first and the last. */
    static Scale ofSteps(int first, int last) {
        if (first == last) {
            return new Scale(first - 0.5, last + 0.5, 1);
        }
        return new Scale(first, last, Math.max(1, round((last - first) / (double) (MARKS + 2))));
    }

    /** The next number up of 1, 2, 5, 10, 20, … */
    private static double round(double spacing) {
        double power = Math.pow(10, Math.floor(Math.log10(spacing)));
        double digit = spacing / power;
        return power * (digit <= 1 + ROUNDING ? 1 : digit <= 2 + ROUNDING ? 2 : digit <= 5 + ROUNDING ? 5 : 10);
    }

    List<Double> marks() {
        List<Double> marks = new ArrayList<>();
        long last = (long) Math.floor(high / spacing + ROUNDING);
        for (long mark = (long) Math.ceil(low / spacing - ROUNDING); mark <= last; mark++) {
            marks.add(mark * spacing);
        }
        return marks;
    }

    /** The text beside a mark: the same unit or power of ten at all marks, and as many digits as tell them apart. */
    String label(double mark) {
        if (Math.abs(mark) < spacing / 2) {
            return "0";
        }
        // Marks are multiples of a spacing of one digit; rounding at its place drops what binary fractions add.
        int digits = (int) Math.floor(Math.log10(spacing) + ROUNDING);
        BigDecimal value = new BigDecimal(mark).setScale(-digits, RoundingMode.HALF_EVEN);
        double largest = Math.max(Math.abs(low), Math.abs(high));
        if (largest < 0.01 || largest >= 1e12) {
            return Numbers.scientific(value);
        }
        int power = largest >= 1e9 ? 9 : largest >= 1e6 ? 6 : largest >= 1e4 ? 3 : 0;
        String unit = power == 9 ? "G" : power == 6 ? "M" : power == 3 ? "k" : "";
        return value.movePointLeft(power).stripTrailingZeros().toPlainString() + unit;
    }

    boolean holds(double value) {
        return value >= low - spacing * ROUNDING && value <= high + spacing * ROUNDING;
    }

    /** From 0 at the low end to 1 at the high end; what lies outside is put at the end. */
    double place(double value) {
        return Math.clamp((value - low) / (high - low), 0, 1);
    }
}
