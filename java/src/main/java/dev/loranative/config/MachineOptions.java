package dev.loranative.config;

import java.util.OptionalLong;

/**
 * Where to compute, and with how much.
 *
 * @param device {@code auto}, {@code cpu}, {@code cuda} or {@code cuda:N}
 * @param threads 0: all that are available
 * @param maxMemoryBytes empty: what the machine has
 */
public record MachineOptions(String device, int threads, OptionalLong maxMemoryBytes) {

    /** Also for commands that know no more than these three keys. */
    public static MachineOptions from(ConfigValues values) {
        Long bytes = values.get(TrainKeys.MAX_MEMORY);
        return new MachineOptions(
                values.get(TrainKeys.DEVICE),
                values.get(TrainKeys.THREADS),
                bytes == null ? OptionalLong.empty() : OptionalLong.of(bytes));
    }
}
