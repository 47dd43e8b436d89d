package dev.loranative.checkpoint;

import dev.loranative.errors.UserException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;

/** Tensors of a safetensors file as arrays of bytes, as {@link FloatTensors} for floats. */
public final class ByteTensors {

    private ByteTensors() {}

    /** @throws UserException if the elements are not U8, or too many for an array */
    public static byte[] read(SafetensorsFile file, TensorEntry entry) {
        if (entry.type() != ElementType.U8 || entry.elements() > Integer.MAX_VALUE - 8) {
            throw UserException.badInput(
                    "tensor " + entry.name() + " in " + file.path() + " has " + entry.elements() + " elements of type "
                            + entry.type() + ", not U8",
                    "resume from another checkpoint");
        }
        return file.data(entry.name()).toArray(ValueLayout.JAVA_BYTE);
    }

    /** A U8 tensor to write; the array must not change until it is written. */
    public static SafetensorsWriter.Tensor of(String name, List<Long> shape, byte[] values) {
        return new SafetensorsWriter.Tensor(name, ElementType.U8, shape, MemorySegment.ofArray(values));
    }
}
