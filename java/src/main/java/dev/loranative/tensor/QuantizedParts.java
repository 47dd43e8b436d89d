package dev.loranative.tensor;

import dev.loranative.device.Device;
import dev.loranative.ffi.Frame;
import dev.loranative.ffi.Structs;
import java.lang.foreign.Arena;

/**
 * Where the parts of a 4-bit weight lie: {@code ln_quantized} of {@code lora_native.h}.
 *
 * @param codes U8 [(elements + 1) / 2]
 * @param absmax F32 [blocks], or U8 [blocks] with nestedAbsmax
 * @param nestedAbsmax F32 [blocks / nestedBlock, rounded up]; null without double quantisation
 * @param nestedCode F32 [256]; null without double quantisation
 * @param block elements that share a scale
 * @param nestedBlock scales that share a scale
 * @param offset of the scales in double quantisation
 */
public record QuantizedParts(
        Tensor codes,
        Tensor absmax,
        Tensor nestedAbsmax,
        Tensor nestedCode,
        long block,
        long nestedBlock,
        float offset) {

    /** What a weight takes besides its parts. */
    public static final long DESCRIPTOR_BYTES = Structs.QUANTIZED.bytes();

    private static final int NESTED_CODES = 256;

    public QuantizedParts {
        boolean nested = nestedAbsmax != null;
        Shapes.expect("codes", codes, DType.U8, codes.size());
        Shapes.expect("absmax", absmax, nested ? DType.U8 : DType.F32, absmax.size());
        if (nested) {
            Shapes.expectFloats("nested absmax", nestedAbsmax, (absmax.size() + nestedBlock - 1) / nestedBlock);
            Shapes.expectFloats("nested code", nestedCode, NESTED_CODES);
        }
    }

    /**
     * The weight as every product takes it. The parts must outlive it.
     *
     * @param type NF4 or FP4
     */
    public Tensor weight(Device device, DType type, long... shape) {
        Tensor weight = new Tensor(device.allocate(DESCRIPTOR_BYTES), 0, type, shape);
        long elements = weight.size();
        Shapes.expect("codes", codes, DType.U8, (elements + 1) / 2);
        Shapes.expect("absmax", absmax, absmax.dtype(), (elements + block - 1) / block);
        try (Arena arena = Arena.ofConfined()) {
            Frame frame = new Frame(Structs.QUANTIZED, arena)
                    .clear()
                    .pointer("codes", codes.address())
                    .pointer("absmax", absmax.address())
                    .pointer("nested_absmax", Launcher.address(nestedAbsmax))
                    .pointer("nested_code", Launcher.address(nestedCode))
                    .int64("elements", elements)
                    .int64("block", block)
                    .int64("nested_block", nestedBlock)
                    .float32("offset", offset);
            weight.copyFrom(device, frame.memory());
        }
        return weight;
    }
}
