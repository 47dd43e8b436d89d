package dev.loranative.quant;

import dev.loranative.device.Device;
import dev.loranative.tensor.DType;
import dev.loranative.tensor.QuantizedParts;
import dev.loranative.tensor.Tensor;
import java.lang.foreign.MemorySegment;

/** Makes the 4-bit weights of a checkpoint usable where they lie, or copies them where the device or alignment needs it. */
public final class WeightUpload {

    private final Device device;

    /** The map of the scales is the same for all weights of a file: one is enough. */
    private MemorySegment lastMap;

    private Tensor lastMapTensor;

    public WeightUpload(Device device) {
        this.device = device;
    }

    /** [out, in]; the checkpoint must outlive the device. */
    public Tensor upload(StoredWeight stored) {
        QuantState state = stored.state();
        boolean nested = state.nested().isPresent();
        Tensor codes = tensor(stored.checkpoint().data(stored.name()), DType.U8);
        Tensor absmax = tensor(stored.data(Part.ABSMAX), nested ? DType.U8 : DType.F32);
        QuantizedParts parts = new QuantizedParts(
                codes,
                absmax,
                nested ? tensor(stored.data(Part.NESTED_ABSMAX), DType.F32) : null,
                nested ? map(stored.data(Part.NESTED_QUANT_MAP)) : null,
                state.blockSize(),
                QuantState.NESTED_BLOCK,
                state.nested().map(QuantState.Nested::offset).orElse(0f));
        return new QuantizedWeight(state, parts).tensor(device);
    }

    private Tensor map(MemorySegment data) {
        if (lastMap == null || lastMap.mismatch(data) != -1) {
            lastMap = data;
            lastMapTensor = tensor(data, DType.F32);
        }
        return lastMapTensor;
    }

    private Tensor tensor(MemorySegment data, DType type) {
        return new Tensor(device.upload(data, type.bytes()), 0, type, data.byteSize() / type.bytes());
    }
}
