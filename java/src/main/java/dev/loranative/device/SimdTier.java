package dev.loranative.device;

/** SIMD tiers of the CPU library, numbered as {@code ln_simd}. */
public enum SimdTier {
    AUTO,
    REFERENCE,
    GENERIC,
    AVX2,
    AVX512,
    NEON
}
