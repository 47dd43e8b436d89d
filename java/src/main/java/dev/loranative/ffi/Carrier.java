package dev.loranative.ffi;

import java.lang.foreign.MemoryLayout;
import java.lang.foreign.ValueLayout;

/** The C types that cross the border, with their layouts. */
public enum Carrier {
    /** Any pointer. */
    POINTER(ValueLayout.ADDRESS),
    /** {@code int32_t}. */
    INT32(ValueLayout.JAVA_INT),
    /** {@code int64_t}. */
    INT64(ValueLayout.JAVA_LONG),
    /** {@code float}. */
    FLOAT(ValueLayout.JAVA_FLOAT),
    /** {@code double}. */
    DOUBLE(ValueLayout.JAVA_DOUBLE);

    private final ValueLayout layout;

    Carrier(ValueLayout layout) {
        this.layout = layout;
    }

    MemoryLayout layout() {
        return layout;
    }

    long bytes() {
        return layout.byteSize();
    }
}
