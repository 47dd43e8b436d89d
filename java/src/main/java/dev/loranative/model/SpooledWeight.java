package dev.loranative.model;

import dev.loranative.checkpoint.ElementType;
import dev.loranative.checkpoint.SafetensorsWriter;
import dev.loranative.checkpoint.Spool;
import dev.loranative.device.Device;
import dev.loranative.quant.QuantState;
import dev.loranative.quant.QuantizedWeight;
import dev.loranative.quant.WeightTensors;
import dev.loranative.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.List;

/**
 * A 4-bit weight that waits in a temporary file to be written.
 *
 * @param nestedAbsmax null without double quantisation
 */
record SpooledWeight(String name, QuantState state, Spool.Range codes, Spool.Range absmax, Spool.Range nestedAbsmax) {

    static SpooledWeight of(String name, QuantizedWeight weight, Device device, Spool spool) {
        Tensor nested = weight.parts().nestedAbsmax();
        return new SpooledWeight(
                name,
                weight.state(),
                append(weight.parts().codes(), device, spool),
                append(weight.parts().absmax(), device, spool),
                nested == null ? null : append(nested, device, spool));
    }

    private static Spool.Range append(Tensor part, Device device, Spool spool) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment host = arena.allocate(part.bytes());
            part.copyTo(device, host);
            return spool.append(host);
        }
    }

    /**
     * @param storage type under which the codes are written
     * @param file the whole spool
     */
    List<SafetensorsWriter.Tensor> tensors(ElementType storage, MemorySegment file) {
        return WeightTensors.of(
                name,
                state,
                storage,
                codes.of(file),
                absmax.of(file),
                nestedAbsmax == null ? null : nestedAbsmax.of(file));
    }
}
