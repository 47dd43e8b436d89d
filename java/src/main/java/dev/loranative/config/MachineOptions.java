package dev.loranative.config;

import java.util.OptionalLong;

/**
 * Where to compute, and with how much.
 *
 * @param device {@code auto}, {@code cpu}, {@code cuda} or {@code cuda:N}
 * @param threads 0: all that are available
 * @param maxMemoryBytes empty: what the machine has
 * @param precision of products on a GPU: {@code auto}, {@code float32} or {@code bfloat16}
 * @param gemm who computes dense products on a GPU: {@code auto}, {@code own}, {@code cublas} or {@code jcublas}
 */
public record MachineOptions(String device, int threads, OptionalLong maxMemoryBytes, String precision, String gemm) {

    /** Also for commands that know no more than {@link TrainKeys#MACHINE}. */
    public static MachineOptions from(ConfigValues values) {
        Long bytes = values.get(TrainKeys.MAX_MEMORY);
        return new MachineOptions(
                values.get(TrainKeys.DEVICE),
                values.get(TrainKeys.THREADS),
                bytes == null ? OptionalLong.empty() : OptionalLong.of(bytes),
                values.get(TrainKeys.PRECISION),
                values.get(TrainKeys.GEMM));
    }
}
