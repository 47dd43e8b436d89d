package dev.loranative.config;

import java.util.Collection;
import java.util.Comparator;
import java.util.List;

/** The names that a mistyped one most likely stands for. */
public final class Nearest {

    private Nearest() {}

    /** Up to {@code limit} of the known names, nearest first by edit distance, ties in alphabetical order. */
    public static List<String> to(String name, Collection<String> known, int limit) {
        return known.stream()
                .distinct()
                .sorted(Comparator.<String>comparingInt(candidate -> distance(name, candidate))
                        .thenComparing(Comparator.naturalOrder()))
                .limit(limit)
                .toList();
    }

    /** Levenshtein's distance; a name that contains the other one counts as half as far. */
    static int distance(String left, String right) {
        int[] previous = new int[right.length() + 1];
        int[] current = new int[right.length() + 1];
        for (int j = 0; j <= right.length(); j++) {
            previous[j] = 2 * j;
        }
        for (int i = 1; i <= left.length(); i++) {
            current[0] = 2 * i;
            for (int j = 1; j <= right.length(); j++) {
                int change = previous[j - 1] + (left.charAt(i - 1) == right.charAt(j - 1) ? 0 : 2);
                current[j] = Math.min(change, 2 + Math.min(previous[j], current[j - 1]));
            }
            int[] swap = previous;
            previous = current;
            current = swap;
        }
        int distance = previous[right.length()];
        boolean contained = left.length() > 2 && (right.contains(left) || left.contains(right));
        return contained ? distance / 2 : distance;
    }
}
