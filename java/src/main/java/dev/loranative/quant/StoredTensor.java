package dev.loranative.quant;

import dev.loranative.checkpoint.Checkpoint;
import dev.loranative.checkpoint.ElementType;
import dev.loranative.checkpoint.TensorEntry;
import dev.loranative.errors.UserException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;

/**
 * The codes of a 4-bit weight in a checkpoint, in the format of bitsandbytes, and what stands beside them: found and checked
 * but not yet read. Holds one weight, or those of all experts of a layer.
 *
 * @param name of the tensor that holds the codes
 * @param stateName of the tensor with the quantisation state
 */
record StoredTensor(Checkpoint checkpoint, String name, String stateName, QuantState state) {

    private static final ValueLayout.OfFloat FLOATS =
            ValueLayout.JAVA_FLOAT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    /**
     * Reads the state and compares the parts with it.
     *
     * @throws UserException for a part that is missing, of another size or type, or holds what cannot be
     */
    static StoredTensor read(Checkpoint checkpoint, String name, String stateName) {
        TensorEntry entry = checkpoint.entry(stateName);
        if (entry.type() != ElementType.U8) {
            throw wrong(stateName + " is " + entry.type() + ", expected U8");
        }
        byte[] text = checkpoint.data(stateName).toArray(ValueLayout.JAVA_BYTE);
        StoredTensor tensor = new StoredTensor(checkpoint, name, stateName, QuantStateJson.parse(text, stateName));
        tensor.check();
        return tensor;
    }

    private void check() {
        String word = stateName.substring((name + Part.STATE + Part.WRITER).length());
        if (!word.equals(state.type().word())) {
            throw wrong(stateName + " says quant_type '" + state.type().word() + "' inside");
        }
        // The codes may be stored as elements of a wider type, whose bytes they then are.
        long bytes = checkpoint.entry(name).bytes();
        if (bytes != state.codeBytes()) {
            throw wrong(name + " has " + bytes + " bytes of 4-bit codes, the shape " + state.shape() + " in "
                    + stateName + " needs " + state.codeBytes());
        }
        requireValues(Part.QUANT_MAP, state.type().table());
        boolean nested = state.nested().isPresent();
        for (Part part : List.of(Part.NESTED_ABSMAX, Part.NESTED_QUANT_MAP)) {
            if (checkpoint.contains(part.of(name)) != nested) {
                throw wrong(
                        nested
                                ? stateName + " says that the scales are quantised, but there is no " + part.of(name)
                                : stateName + " says nothing about double quantisation, but there is a "
                                        + part.of(name));
            }
        }
        if (nested) {
            require(Part.ABSMAX, ElementType.U8, state.blocks());
            requireFinite(Part.NESTED_ABSMAX, state.nestedBlocks());
            requireFinite(Part.NESTED_QUANT_MAP, DynamicMap.SIZE);
        } else {
            requireFinite(Part.ABSMAX, state.blocks());
        }
    }

    private void require(Part part, ElementType type, long count) {
        String tensor = part.of(name);
        if (!checkpoint.contains(tensor)) {
            throw wrong(checkpoint.directory() + " lacks " + tensor + ", without which " + name + " cannot be read");
        }
        TensorEntry entry = checkpoint.entry(tensor);
        if (entry.type() != type) {
            throw wrong(tensor + " is " + entry.type() + ", expected " + type);
        }
        if (entry.elements() != count) {
            throw wrong(tensor + " has " + entry.elements() + " elements, the shape " + state.shape()
                    + " and the blocksize " + state.blockSize() + " in " + stateName + " need " + count);
        }
    }

    private void requireFinite(Part part, long count) {
        require(part, ElementType.F32, count);
        MemorySegment data = checkpoint.data(part.of(name));
        for (long i = 0; i < count; i++) {
            float value = data.getAtIndex(FLOATS, i);
            if (!Float.isFinite(value)) {
                throw wrong(part.of(name) + " holds " + value + " at element " + i);
            }
        }
    }

    /** The kernels have the values of a type built in: another table would be another type. */
    private void requireValues(Part part, float[] expected) {
        require(part, ElementType.F32, expected.length);
        MemorySegment data = checkpoint.data(part.of(name));
        for (int i = 0; i < expected.length; i++) {
            float value = data.getAtIndex(FLOATS, i);
            // Zeros of both signs are found in files.
            if (value != expected[i]) {
                throw wrong(part.of(name) + " holds " + value + " at element " + i + ", "
                        + state.type().word() + " has " + expected[i]);
            }
        }
    }

    /** Names of the tensors beside the one with the codes. */
    Set<String> partNames() {
        Set<String> names = new LinkedHashSet<>();
        names.add(stateName);
        for (Part part : Part.values()) {
            if (checkpoint.contains(part.of(name))) {
                names.add(part.of(name));
            }
        }
        return names;
    }

    /** The codes. */
    MemorySegment data() {
        return checkpoint.data(name);
    }

    MemorySegment data(Part part) {
        return checkpoint.data(part.of(name));
    }

    private static UserException wrong(String what) {
        return UserException.badInput(what, "copy or download the checkpoint again");
    }
}
