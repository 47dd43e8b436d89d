package dev.loranative.tensor;

/** Element types. The first three are those of {@code ln_dtype}, in its order. */
public enum DType {
    F32(4),
    BF16(2),
    F16(2),
    I32(4),
    I64(8),
    F64(8);

    private final int bytes;

    DType(int bytes) {
        this.bytes = bytes;
    }

    public int bytes() {
        return bytes;
    }

    /** The number of this type in {@code ln_dtype}. */
    int code() {
        if (ordinal() > F16.ordinal()) {
            throw new IllegalArgumentException(this + " is not a type that kernels compute with");
        }
        return ordinal();
    }
}
