package dev.loranative.device;

/**
 * What an {@code ln_context} is made with.
 *
 * @param device -1 for the CPU, otherwise the number of the CUDA device
 * @param threads CPU worker threads; 0 for one per processor that this process may use
 * @param stream handle of the CUDA stream that kernels go to, 0 on the CPU
 */
public record ContextOptions(
        int device, int threads, SimdTier simd, Precision precision, GemmChoice gemm, long stream) {

    public static ContextOptions cpu(int threads, SimdTier simd) {
        return new ContextOptions(-1, threads, simd, Precision.AUTO, GemmChoice.AUTO, 0);
    }

    public static ContextOptions cuda(int device, Precision precision, GemmChoice gemm, long stream) {
        return new ContextOptions(device, 0, SimdTier.AUTO, precision, gemm, stream);
    }
}
