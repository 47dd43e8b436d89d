package dev.loranative.device;

/** What products multiply in, numbered as {@code ln_precision}; sums are float32 always. */
public enum Precision {
    /** Float32 on the CPU, bfloat16 on CUDA. */
    AUTO,
    F32,
    BF16;

    static Precision named(String name) {
        return switch (name) {
            case "auto" -> AUTO;
            case "float32" -> F32;
            case "bfloat16" -> BF16;
            default -> throw new IllegalArgumentException(name);
        };
    }
}
