package dev.loranative.ffi;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/** One argument struct in native memory, filled anew for every call. Fields that are not set are 0 or NULL. */
public final class Frame {

    private final NativeStruct struct;
    private final MemorySegment memory;

    public Frame(NativeStruct struct, Arena arena) {
        this.struct = struct;
        this.memory = arena.allocate(struct.bytes(), 8);
    }

    /** Forgets the fields of the last call. */
    public Frame clear() {
        memory.fill((byte) 0);
        return this;
    }

    public Frame pointer(String field, long address) {
        memory.set(ValueLayout.JAVA_LONG, offset(field, Carrier.POINTER), address);
        return this;
    }

    public Frame int64(String field, long value) {
        memory.set(ValueLayout.JAVA_LONG, offset(field, Carrier.INT64), value);
        return this;
    }

    public Frame int32(String field, int value) {
        memory.set(ValueLayout.JAVA_INT, offset(field, Carrier.INT32), value);
        return this;
    }

    public Frame flag(String field, boolean value) {
        return int32(field, value ? 1 : 0);
    }

    public Frame float32(String field, float value) {
        memory.set(ValueLayout.JAVA_FLOAT, offset(field, Carrier.FLOAT), value);
        return this;
    }

    public Frame float64(String field, double value) {
        memory.set(ValueLayout.JAVA_DOUBLE, offset(field, Carrier.DOUBLE), value);
        return this;
    }

    public MemorySegment memory() {
        return memory;
    }

    private long offset(String name, Carrier carrier) {
        NativeStruct.Field field = struct.fields().get(name);
        if (field == null || field.carrier() != carrier) {
            throw new IllegalArgumentException(struct.name() + " has no " + carrier + " field " + name);
        }
        return field.offset();
    }
}
