package dev.loranative.checkpoint;

import dev.loranative.errors.UserException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.List;

/** Tensors of a safetensors file as arrays of floats, for files small enough to be held twice, such as adapters. */
public final class FloatTensors {

    private static final ValueLayout.OfFloat FLOATS =
            ValueLayout.JAVA_FLOAT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfShort SHORTS =
            ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    private FloatTensors() {}

    /**
     * All elements, row major; F16 and BF16 are widened without loss.
     *
     * @throws UserException if the elements are of another type, or too many for an array
     */
    public static float[] read(SafetensorsFile file, TensorEntry entry) {
        if (entry.elements() > Integer.MAX_VALUE - 8) {
            throw UserException.badInput(
                    "tensor " + entry.name() + " in " + file.path() + " has " + entry.elements()
                            + " elements, too many",
                    "check that the file is an adapter");
        }
        MemorySegment data = file.data(entry.name());
        float[] values = new float[(int) entry.elements()];
        switch (entry.type()) {
            case F32 -> MemorySegment.copy(data, FLOATS, 0, values, 0, values.length);
            case F16 -> {
                for (int i = 0; i < values.length; i++) {
                    values[i] = Float.float16ToFloat(data.getAtIndex(SHORTS, i));
                }
            }
            case BF16 -> {
                for (int i = 0; i < values.length; i++) {
                    values[i] = Float.intBitsToFloat(data.getAtIndex(SHORTS, i) << 16);
                }
            }
            default ->
                throw UserException.badInput(
                        "tensor " + entry.name() + " in " + file.path() + " has the type " + entry.type(),
                        "adapters have F32, F16 or BF16 tensors");
        }
        return values;
    }

    /** A float32 tensor to write; the array must not change until it is written. */
    public static SafetensorsWriter.Tensor of(String name, List<Long> shape, float[] values) {
        if (ByteOrder.nativeOrder() != ByteOrder.LITTLE_ENDIAN) {
            throw new IllegalStateException("safetensors files are little endian, this machine is not");
        }
        return new SafetensorsWriter.Tensor(name, ElementType.F32, shape, MemorySegment.ofArray(values));
    }
}
