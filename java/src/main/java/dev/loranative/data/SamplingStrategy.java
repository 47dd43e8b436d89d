package dev.loranative.data;

/** {@code train_sampling_strategy}: the order of the samples within an epoch. */
public enum SamplingStrategy {
    /** A new permutation for every epoch, from seed and epoch alone. */
    RANDOM,
    /** The order of the files. */
    SEQUENTIAL
}
