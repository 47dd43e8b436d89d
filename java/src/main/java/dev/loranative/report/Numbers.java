package dev.loranative.report;

import java.math.BigDecimal;
import java.math.MathContext;
import java.util.Locale;

/** Numbers for people, the same in every country. */
final class Numbers {

    private static final double KIB = 1024;

    private Numbers() {}

    /** At most five significant digits; very small and very large numbers with a power of ten. */
    static String value(double value) {
        if (Double.isNaN(value)) {
            return "not a number";
        }
        if (Double.isInfinite(value)) {
            return value > 0 ? "infinite" : "-infinite";
        }
        return plain(new BigDecimal(value).round(new MathContext(5)));
    }

    private static String plain(BigDecimal value) {
        if (value.signum() == 0) {
            return "0";
        }
        double size = Math.abs(value.doubleValue());
        return size >= 1e-3 && size < 1e7 ? value.stripTrailingZeros().toPlainString() : scientific(value);
    }

    /** {@code 1.5e-3}. */
    static String scientific(BigDecimal value) {
        BigDecimal stripped = value.stripTrailingZeros();
        int exponent = stripped.precision() - stripped.scale() - 1;
        return stripped.movePointLeft(exponent).stripTrailingZeros().toPlainString() + "e" + exponent;
    }

    static String count(double count) {
        return String.format(Locale.ROOT, "%,.0f", count);
    }

    /** {@code 1 step}, {@code 2 steps}. */
    static String steps(int count) {
        return count(count) + (count == 1 ? " step" : " steps");
    }

    static String percent(double share) {
        return String.format(Locale.ROOT, "%.1f %%", 100 * share);
    }

    static String bytes(double bytes) {
        if (!Double.isFinite(bytes)) {
            return value(bytes);
        }
        if (bytes < KIB * KIB) {
            return String.format(Locale.ROOT, "%.1f KiB", bytes / KIB);
        }
        return bytes < KIB * KIB * KIB
                ? String.format(Locale.ROOT, "%.1f MiB", bytes / (KIB * KIB))
                : String.format(Locale.ROOT, "%.2f GiB", bytes / (KIB * KIB * KIB));
    }

    static String duration(double seconds) {
        if (seconds < 60) {
            return String.format(Locale.ROOT, "%.1f s", seconds);
        }
        long whole = Math.round(seconds);
        return whole < 3600
                ? String.format(Locale.ROOT, "%d min %02d s", whole / 60, whole % 60)
                : String.format(Locale.ROOT, "%,d h %02d min", whole / 3600, whole % 3600 / 60);
    }

    /** A position in per cent or in a drawing's units. */
    static String position(double value) {
        String text = String.format(Locale.ROOT, "%.1f", value);
        return text.endsWith(".0") ? text.substring(0, text.length() - 2) : text;
    }
}
