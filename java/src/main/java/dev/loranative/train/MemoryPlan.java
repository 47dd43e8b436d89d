package dev.loranative.train;

import dev.loranative.errors.UserException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import java.util.OptionalLong;
import java.util.stream.Collectors;

/**
 * What a run takes, in bytes, known before its first step.
 *
 * @param parts in the order of the way of the data
 */
public record MemoryPlan(Map<String, Long> parts) {

    public MemoryPlan {
        parts = new LinkedHashMap<>(parts);
    }

    public long totalBytes() {
        return parts.values().stream().mapToLong(Long::longValue).sum();
    }

    /**
     * @param limitBytes empty: what the machine has free
     * @param hint what would make it smaller
     * @throws UserException with exit code 3 when the total is above the limit or the memory that is free
     */
    public void requireFits(OptionalLong limitBytes, String hint) {
        if (limitBytes.isPresent() && totalBytes() > limitBytes.getAsLong()) {
            throw doesNotFit("max_memory is " + gib(limitBytes.getAsLong()), hint);
        }
        OptionalLong available = availableBytes();
        if (available.isPresent() && totalBytes() > available.getAsLong()) {
            throw doesNotFit("this machine has " + gib(available.getAsLong()) + " free", hint);
        }
    }

    private UserException doesNotFit(String limit, String hint) {
        return new UserException(
                "the run needs " + gib(totalBytes()) + ", " + limit + " (" + this + ")",
                hint,
                UserException.DOES_NOT_FIT);
    }

    /** Memory that new work can take without swapping; empty where the system does not tell. */
    public static OptionalLong availableBytes() {
        try {
            for (String line : Files.readAllLines(Path.of("/proc/meminfo"))) {
                if (line.startsWith("MemAvailable:")) {
                    return OptionalLong.of(Long.parseLong(line.replaceAll("\\D+", "")) * 1024);
                }
            }
        } catch (IOException e) {
            // Not Linux: nothing is known, so nothing is refused.
        }
        return OptionalLong.empty();
    }

    private static String gib(long bytes) {
        return bytes < 1L << 30
                ? String.format(Locale.ROOT, "%.1f MiB", bytes / 1048576.0)
                : String.format(Locale.ROOT, "%.2f GiB", bytes / 1073741824.0);
    }

    @Override
    public String toString() {
        return parts.entrySet().stream()
                .map(part -> part.getKey() + " " + gib(part.getValue()))
                .collect(Collectors.joining(", "));
    }
}
