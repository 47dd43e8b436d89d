package dev.loranative.checkpoint;

import java.util.Optional;

/** The element types of the safetensors format whose elements fill whole bytes, under the names of the files. */
public enum ElementType {
    F64(8),
    F32(4),
    F16(2),
    BF16(2),
    I64(8),
    I32(4),
    I16(2),
    I8(1),
    U64(8),
    U32(4),
    U16(2),
    U8(1),
    BOOL(1),
    C64(8),
    F8_E4M3(1),
    F8_E5M2(1),
    F8_E8M0(1);

    private final int bytes;

    ElementType(int bytes) {
        this.bytes = bytes;
    }

    /** Bytes of one element. */
    public int bytes() {
        return bytes;
    }

    /** The type with this name in a safetensors header, empty if it is none of these. */
    public static Optional<ElementType> named(String name) {
        for (ElementType type : values()) {
            if (type.name().equals(name)) {
                return Optional.of(type);
            }
        }
        return Optional.empty();
    }
}
