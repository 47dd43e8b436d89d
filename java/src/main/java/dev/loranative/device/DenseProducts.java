package dev.loranative.device;

/** Dense float32 products that a device computes otherwise than by its kernel library. */
public interface DenseProducts {

    /**
     * A row-major matrix in device memory.
     *
     * @param columns between the starts of two rows
     * @param transposed whether its transpose is meant
     */
    record Operand(long address, long columns, boolean transposed) {}

    /** {@code c[m,n] = alpha * a . b + beta * c}; in the order of the device's stream. */
    void multiply(Operand a, Operand b, long c, long m, long n, long k, float alpha, float beta);
}
