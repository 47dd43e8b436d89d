package dev.loranative.ffi;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;
import java.util.stream.IntStream;

/** One argument struct in native memory, filled anew for every call. Fields that are not set are 0 or NULL. */
public final class Frame {

    private final NativeStruct struct;
    private final MemorySegment memory;

    public Frame(NativeStruct struct, Arena arena) {
        this(struct, arena.allocate(struct.bytes(), 8));
    }

    private Frame(NativeStruct struct, MemorySegment memory) {
        this.struct = struct;
        this.memory = memory;
    }

    /** Structs that lie side by side: the address of the first is that of the array. */
    public static List<Frame> array(NativeStruct struct, int count, Arena arena) {
        MemorySegment all = arena.allocate(struct.bytes() * count, 8);
        return IntStream.range(0, count)
                .mapToObj(i -> new Frame(struct, all.asSlice(i * struct.bytes(), struct.bytes())))
                .toList();
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
