package dev.loranative.tensor;

/**
 * Element types. Those up to {@link #FP4} are those of {@code ln_dtype}, in its order. A tensor of a 4-bit type has the
 * shape of its weight and the address of an {@code ln_quantized} that describes it; it has no elements of its own.
 */
public enum DType {
    F32(4),
    BF16(2),
    F16(2),
    NF4(0),
    FP4(0),
    I32(4),
    I64(8),
    F64(8);

    private final int bytes;

    DType(int bytes) {
        this.bytes = bytes;
    }

    /** Of an element; 0 for the 4-bit types. */
    public int bytes() {
        return bytes;
    }

    /** The number of this type in {@code ln_dtype}. */
    int code() {
        if (ordinal() > FP4.ordinal()) {
            throw new IllegalArgumentException(this + " is not a type that kernels compute with");
        }
        return ordinal();
    }
}
