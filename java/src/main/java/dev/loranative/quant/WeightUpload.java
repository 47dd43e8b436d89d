package dev.loranative.quant;

import dev.loranative.device.Device;
import dev.loranative.tensor.DType;
import dev.loranative.tensor.Ops;
import dev.loranative.tensor.QuantizedParts;
import dev.loranative.tensor.Tensor;
import java.lang.foreign.MemorySegment;
import java.util.List;

/** Makes the 4-bit weights of a checkpoint usable where they lie, or copies them where the device or alignment needs it. */
public final class WeightUpload {

    private final Ops ops;
    private final Device device;

    /** The map of the scales is the same for all weights of a file: one is enough. */
    private MemorySegment lastMap;

    private Tensor lastMapTensor;

    /** Weights of one tensor come one after the other. */
    private StoredTensor lastWhole;

    private Tensor lastWholeTensor;

    public WeightUpload(Ops ops) {
        this.ops = ops;
        this.device = ops.device();
    }

    /** [out, in], exactly the values of the file; the checkpoint must outlive the device. */
    public Tensor upload(StoredWeight stored) {
        if (stored.isWhole()) {
            return whole(stored.tensor(), stored.shape());
        }
        return stored.blocks().map(sizes -> part(stored, sizes)).orElseGet(() -> floats(stored));
    }

    private Tensor whole(StoredTensor stored, List<Long> shape) {
        QuantState state = stored.state();
        boolean nested = state.nested().isPresent();
        return weight(
                state.type(),
                shape,
                new QuantizedParts(
                        tensor(stored.data(), DType.U8),
                        tensor(stored.data(Part.ABSMAX), nested ? DType.U8 : DType.F32),
                        nested ? tensor(stored.data(Part.NESTED_ABSMAX), DType.F32) : null,
                        nested ? map(stored.data(Part.NESTED_QUANT_MAP)) : null,
                        state.blockSize(),
                        QuantState.NESTED_BLOCK,
                        offset(state)));
    }

    /** A view of the codes, and of the scales unless their blocks had to be divided. */
    private Tensor part(StoredWeight stored, BlockSizes sizes) {
        StoredTensor whole = stored.tensor();
        QuantState state = whole.state();
        boolean nested = stored.isNested();
        long blocks = QuantState.ceil(stored.elements(), sizes.block());
        long nestedSpan = (long) sizes.block() * sizes.nestedBlock();
        MemorySegment codes = whole.data().asSlice(stored.first() / 2, QuantState.codeBytes(stored.elements()));
        Range scales = new Range(stored.first() / sizes.block(), blocks, state.blockSize() / sizes.block());
        Range nestedScales = new Range(
                stored.first() / nestedSpan,
                QuantState.ceil(blocks, sizes.nestedBlock()),
                BlockSizes.nestedSpan(state) / nestedSpan);
        return weight(
                state.type(),
                stored.shape(),
                new QuantizedParts(
                        tensor(codes, DType.U8),
                        range(whole.data(Part.ABSMAX), nested ? DType.U8 : DType.F32, scales),
                        nested ? range(whole.data(Part.NESTED_ABSMAX), DType.F32, nestedScales) : null,
                        nested ? map(whole.data(Part.NESTED_QUANT_MAP)) : null,
                        sizes.block(),
                        sizes.nestedBlock(),
                        offset(state)));
    }

    private Tensor floats(StoredWeight stored) {
        if (stored.tensor() != lastWhole) {
            lastWhole = stored.tensor();
            lastWholeTensor = whole(lastWhole, lastWhole.state().shape());
        }
        Tensor floats = Tensor.allocate(device, DType.F32, sizes(stored.shape()));
        ops.quantization().dequantize(lastWholeTensor, stored.first(), floats);
        return floats;
    }

    /**
     * Elements [first, first + count) of a vector in which each is repeated.
     *
     * @param times how often
     */
    private record Range(long first, long count, long times) {}

    private Tensor range(MemorySegment data, DType type, Range range) {
        int bytes = type.bytes();
        if (range.times() == 1) {
            return tensor(data.asSlice(range.first() * bytes, range.count() * bytes), type);
        }
        byte[] repeated = new byte[Math.toIntExact(range.count() * bytes)];
        MemorySegment target = MemorySegment.ofArray(repeated);
        for (long i = 0; i < range.count(); i++) {
            long source = (range.first() + i) / range.times();
            MemorySegment.copy(data, source * bytes, target, i * bytes, bytes);
        }
        Tensor copy = Tensor.allocate(device, type, range.count());
        copy.copyFrom(device, target);
        return copy;
    }

    private Tensor weight(QuantType type, List<Long> shape, QuantizedParts parts) {
        return parts.weight(device, type.dtype(), sizes(shape));
    }

    private static long[] sizes(List<Long> shape) {
        return shape.stream().mapToLong(Long::longValue).toArray();
    }

    private static float offset(QuantState state) {
        return state.nested().map(QuantState.Nested::offset).orElse(0f);
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
