package dev.loranative.quant;

import dev.loranative.tensor.DType;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;

/** Elements of a tensor in a file as floats, one at a time. */
record FloatReader(DType dtype, MemorySegment data) {

    private static final ValueLayout.OfFloat FLOATS =
            ValueLayout.JAVA_FLOAT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfShort SHORTS =
            ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    long size() {
        return data.byteSize() / dtype.bytes();
    }

    float get(long index) {
        return switch (dtype) {
            case F32 -> data.getAtIndex(FLOATS, index);
            case BF16 -> Float.intBitsToFloat(data.getAtIndex(SHORTS, index) << 16);
            case F16 -> Float.float16ToFloat(data.getAtIndex(SHORTS, index));
            default -> throw new IllegalArgumentException(dtype + " is no float type");
        };
    }
}
