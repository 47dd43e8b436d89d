package dev.loranative.tensor;

/** Element types. Those up to {@link #FP4} are those of {@code ln_dtype}, in its order. */
public enum DType {
    F32(4),
    BF16(2),
    F16(2),
    /** Weights in 4 bits; such a tensor's memory is one {@code ln_quantized} that says where its parts lie. */
    NF4(0),
    /** As {@link #NF4}, with another table of 16 values. */
    FP4(0),
    I32(4),
    I64(8),
    F64(8),
    U8(1);

    private final int bytes;

    DType(int bytes) {
        this.bytes = bytes;
    }

    /** Bytes of one element; not of the 4-bit types. */
    public int bytes() {
        if (isQuantized()) {
            throw new IllegalStateException("an element of " + this + " has no whole bytes");
        }
        return bytes;
    }

    /** Whether elements share their bytes and their scales: a tensor can then only be used as a whole. */
    public boolean isQuantized() {
        return this == NF4 || this == FP4;
    }

    /** The number of this type in {@code ln_dtype}. */
    int code() {
        if (ordinal() > FP4.ordinal()) {
            throw new IllegalArgumentException(this + " is not a type that kernels compute with");
        }
        return ordinal();
    }
}
