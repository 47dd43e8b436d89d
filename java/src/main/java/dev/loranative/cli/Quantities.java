package dev.loranative.cli;

import java.util.Locale;

/** Numbers as people read them. */
final class Quantities {

    private Quantities() {}

    /** {@code 0:07}, {@code 12:34}, {@code 3:00:00}, {@code 2 d 03:00}. */
    static String time(double seconds) {
        long whole = Math.max(0, Math.round(seconds));
        long minutes = whole / 60;
        long hours = minutes / 60;
        if (hours >= 48) {
            return String.format(Locale.ROOT, "%d d %02d:%02d", hours / 24, hours % 24, minutes % 60);
        }
        return hours > 0
                ? String.format(Locale.ROOT, "%d:%02d:%02d", hours, minutes % 60, whole % 60)
                : String.format(Locale.ROOT, "%d:%02d", minutes, whole % 60);
    }

    /** {@code 512 B}, {@code 14 KiB}, {@code 312 MiB}, {@code 1.25 GiB}. */
    static String bytes(long bytes) {
        if (bytes < 1024) {
            return bytes + " B";
        }
        if (bytes < 1 << 20) {
            return String.format(Locale.ROOT, "%.0f KiB", bytes / 1024.0);
        }
        return bytes < 1 << 30
                ? String.format(Locale.ROOT, "%.0f MiB", bytes / (double) (1 << 20))
                : String.format(Locale.ROOT, "%.2f GiB", bytes / (double) (1 << 30));
    }

    /** {@code 1,903,872}. */
    static String count(long count) {
        return String.format(Locale.ROOT, "%,d", count);
    }

    /** {@code 4,210}, below 100 with one digit behind the point. */
    static String rate(double perSecond) {
        return String.format(Locale.ROOT, perSecond < 100 ? "%.1f" : "%,.0f", perSecond);
    }

    /** {@code 0.412}, small ones as {@code 3.1e-04}. */
    static String small(double value) {
        return String.format(Locale.ROOT, value == 0 || Math.abs(value) >= 0.01 ? "%.3f" : "%.1e", value);
    }

    /** {@code 1.2e-03}. */
    static String scientific(double value) {
        return String.format(Locale.ROOT, "%.1e", value);
    }

    /** {@code 2.9134}. */
    static String loss(double loss) {
        return String.format(Locale.ROOT, "%.4f", loss);
    }

    /** A share of 1: {@code 3.44 %}, small ones as {@code 0.0031 %}. */
    static String percent(double share) {
        return String.format(Locale.ROOT, share == 0 || share >= 0.001 ? "%.2f %%" : "%.4f %%", 100 * share);
    }
}
