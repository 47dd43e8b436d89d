package dev.loranative.device;

/** Who computes dense products on CUDA, numbered as {@code ln_gemm}. */
public enum GemmChoice {
    /** cuBLAS where a library of it can be loaded, else the own kernels. */
    AUTO,
    OWN,
    CUBLAS
}
