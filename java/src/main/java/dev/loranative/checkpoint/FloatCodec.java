package dev.loranative.checkpoint;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/** Numbers of the types F32, F16 and BF16 as floats and back; back rounds to the nearest, ties to even. */
final class FloatCodec {

    private static final ValueLayout.OfFloat FLOATS =
            ValueLayout.JAVA_FLOAT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfShort SHORTS =
            ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    private FloatCodec() {}

    /** Whether the type is one of the three. */
    static boolean supports(ElementType type) {
        return type == ElementType.F32 || type == ElementType.F16 || type == ElementType.BF16;
    }

    /** Elements [first, first + count) of the data, widened without loss. */
    static void decode(MemorySegment data, ElementType type, long first, float[] into, int count) {
        switch (type) {
            case F32 -> MemorySegment.copy(data, FLOATS, first * Float.BYTES, into, 0, count);
            case F16 -> {
                for (int i = 0; i < count; i++) {
                    into[i] = Float.float16ToFloat(data.getAtIndex(SHORTS, first + i));
                }
            }
            case BF16 -> {
                for (int i = 0; i < count; i++) {
                    into[i] = Float.intBitsToFloat(data.getAtIndex(SHORTS, first + i) << 16);
                }
            }
            default -> throw new IllegalArgumentException(type + " is no type of floats");
        }
    }

    /** Appends {@code count} values, little endian. */
    static void encode(float[] values, int from, int count, ElementType type, ByteBuffer into) {
        for (int i = from; i < from + count; i++) {
            switch (type) {
                case F32 -> into.putFloat(values[i]);
                case F16 -> into.putShort(Float.floatToFloat16(values[i]));
                case BF16 -> into.putShort(toBFloat16(values[i]));
                default -> throw new IllegalArgumentException(type + " is no type of floats");
            }
        }
    }

    /** The value that {@link #encode} would leave in the file. */
    static float round(float value, ElementType type) {
        return switch (type) {
            case F32 -> value;
            case F16 -> Float.float16ToFloat(Float.floatToFloat16(value));
            case BF16 -> Float.intBitsToFloat(toBFloat16(value) << 16);
            default -> throw new IllegalArgumentException(type + " is no type of floats");
        };
    }

    private static short toBFloat16(float value) {
        int bits = Float.floatToRawIntBits(value);
        if (Float.isNaN(value)) {
            // Rounding could carry a NaN's payload into infinity.
            return (short) (bits >>> 16 | 0x40);
        }
        return (short) (bits + 0x7fff + (bits >>> 16 & 1) >>> 16);
    }
}
