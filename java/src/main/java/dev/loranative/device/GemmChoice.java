package dev.loranative.device;

/** Who computes dense products on CUDA; the first three are numbered as {@code ln_gemm}. */
public enum GemmChoice {
    /** JCublas and cuBLAS where they can be loaded, else the own kernels. */
    AUTO,
    OWN,
    /** cuBLAS 13 or 12, opened by the kernel library. */
    CUBLAS,
    /** Products of float32 matrices by JCublas, which needs cuBLAS 12; all others as with AUTO. */
    JCUBLAS;

    /** What the kernel library is told: JCublas is not its business. */
    int inLibrary() {
        return this == JCUBLAS ? AUTO.ordinal() : ordinal();
    }
}
