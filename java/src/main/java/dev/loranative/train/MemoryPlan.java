package dev.loranative.train;

import dev.loranative.device.Device;
import dev.loranative.errors.UserException;
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

    /** {@link #totalBytes} for people. */
    String total() {
        return gib(totalBytes());
    }

    /**
     * What the run may take at most: the limit, or what the device has for it if that is less; empty where nobody tells.
     *
     * @param device where the run will be; may hold a part of it
     * @param limitBytes empty: what the device has free
     */
    static OptionalLong room(Device device, OptionalLong limitBytes) {
        OptionalLong available = device.availableBytes();
        if (available.isEmpty()) {
            return limitBytes;
        }
        // What the device holds already is part of the plan and no longer free.
        long room = available.getAsLong() + device.allocatedBytes();
        return OptionalLong.of(Math.min(room, limitBytes.orElse(room)));
    }

    /**
     * @param device where the run will be; may hold a part of it
     * @param limitBytes empty: what the device has free
     */
    boolean fits(Device device, OptionalLong limitBytes) {
        OptionalLong room = room(device, limitBytes);
        return room.isEmpty() || totalBytes() <= room.getAsLong();
    }

    /**
     * @param device where the run will be; may hold a part of it
     * @param limitBytes empty: what the device has free
     * @param hint what would make it smaller
     * @throws UserException with exit code 3 when the total is above the limit or the memory that is free
     */
    public void requireFits(Device device, OptionalLong limitBytes, String hint) {
        if (limitBytes.isPresent() && totalBytes() > limitBytes.getAsLong()) {
            throw doesNotFit("max_memory is " + gib(limitBytes.getAsLong()), hint);
        }
        OptionalLong available = device.availableBytes();
        // What the device holds already is part of the plan and no longer free.
        long toCome = totalBytes() - device.allocatedBytes();
        if (available.isPresent() && toCome > available.getAsLong()) {
            throw doesNotFit(
                    device.description() + " has " + gib(available.getAsLong() + device.allocatedBytes()) + " for it",
                    hint);
        }
    }

    private UserException doesNotFit(String limit, String hint) {
        return new UserException(
                "the run needs " + gib(totalBytes()) + ", " + limit + " (" + this + ")",
                hint,
                UserException.DOES_NOT_FIT);
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
