package dev.loranative.device;

/** What products multiply in, numbered as {@code ln_precision}; sums are float32 always. */
public enum Precision {
    /** Float32 on the CPU, bfloat16 on CUDA. */
    AUTO,
    F32,
    BF16
}
