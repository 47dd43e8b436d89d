package dev.loranative.quant;

import dev.loranative.device.Device;
import dev.loranative.tensor.QuantizedParts;
import dev.loranative.tensor.Tensor;
import java.util.List;

/** A 4-bit weight on a device. */
public record QuantizedWeight(QuantState state, QuantizedParts parts) {

    /** The weight as every product takes it, [out, in]. */
    public Tensor tensor(Device device) {
        List<Long> shape = state.shape();
        return parts.weight(
                device,
                state.type().dtype(),
                shape.stream().mapToLong(Long::longValue).toArray());
    }
}
