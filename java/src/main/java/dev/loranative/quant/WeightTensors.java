package dev.loranative.quant;

import dev.loranative.checkpoint.ElementType;
import dev.loranative.checkpoint.FloatTensors;
import dev.loranative.checkpoint.SafetensorsWriter;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;

/** A 4-bit weight as the tensors that bitsandbytes saves; nothing may be added, its loader refuses unknown names. */
public final class WeightTensors {

    private WeightTensors() {}

    /**
     * @param name of the weight
     * @param storage type under which the codes are written, whose bytes they fill
     * @param codes two elements a byte
     * @param absmax F32 for every block, or U8 with nestedAbsmax
     * @param nestedAbsmax F32; null without double quantisation
     */
    public static List<SafetensorsWriter.Tensor> of(
            String name,
            QuantState state,
            ElementType storage,
            MemorySegment codes,
            MemorySegment absmax,
            MemorySegment nestedAbsmax) {
        boolean nested = state.nested().isPresent();
        List<SafetensorsWriter.Tensor> tensors = new ArrayList<>();
        List<Long> shape = List.of(state.codeBytes() / storage.bytes(), 1L);
        tensors.add(new SafetensorsWriter.Tensor(name, storage, shape, codes));
        tensors.add(vector(Part.ABSMAX.of(name), nested ? ElementType.U8 : ElementType.F32, absmax));
        tensors.add(floats(Part.QUANT_MAP.of(name), state.type().table()));
        if (nested) {
            tensors.add(vector(Part.NESTED_ABSMAX.of(name), ElementType.F32, nestedAbsmax));
            tensors.add(floats(Part.NESTED_QUANT_MAP.of(name), DynamicMap.signed()));
        }
        tensors.add(vector(
                Part.state(name, state.type()), ElementType.U8, MemorySegment.ofArray(QuantStateJson.write(state))));
        return tensors;
    }

    private static SafetensorsWriter.Tensor floats(String name, float[] values) {
        return FloatTensors.of(name, List.of((long) values.length), values);
    }

    private static SafetensorsWriter.Tensor vector(String name, ElementType type, MemorySegment data) {
        return new SafetensorsWriter.Tensor(name, type, List.of(data.byteSize() / type.bytes()), data);
    }
}
