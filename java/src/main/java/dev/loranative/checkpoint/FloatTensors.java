package dev.loranative.checkpoint;

import dev.loranative.errors.UserException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteOrder;
import java.util.List;

/** Tensors of a safetensors file as arrays of floats, for files small enough to be held twice, such as adapters. */
public final class FloatTensors {

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
        if (!FloatCodec.supports(entry.type())) {
            throw UserException.badInput(
                    "tensor " + entry.name() + " in " + file.path() + " has the type " + entry.type(),
                    "adapters have F32, F16 or BF16 tensors");
        }
        float[] values = new float[(int) entry.elements()];
        FloatCodec.decode(file.data(entry.name()), entry.type(), 0, values, values.length);
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
