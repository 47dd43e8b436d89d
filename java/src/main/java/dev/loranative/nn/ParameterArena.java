package dev.loranative.nn;

import dev.loranative.device.Device;
import dev.loranative.tensor.DType;
import dev.loranative.tensor.Tensor;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/**
 * All adapter tensors in one flat float32 range, and their gradients in another, in the order in which they were added:
 * clipping, the optimizer and checkpoints work on the ranges.
 */
public final class ParameterArena {

    private final Tensor values;
    private final Tensor gradients;
    private final List<Parameter> parameters = new ArrayList<>();
    private long used;

    /**
     * @param size number of elements of all tensors that will be added
     * @param trainable whether there are gradients
     */
    public ParameterArena(Device device, long size, boolean trainable) {
        this.values = Tensor.allocate(device, DType.F32, size);
        this.gradients = trainable ? Tensor.allocate(device, DType.F32, size) : null;
    }

    /** The next free part of the range. */
    public Parameter add(String name, long rows, long columns) {
        long count = rows * columns;
        Parameter parameter = new Parameter(
                name,
                values.range(used, count).reshape(rows, columns),
                gradients == null ? null : gradients.range(used, count).reshape(rows, columns));
        used += count;
        parameters.add(parameter);
        return parameter;
    }

    public List<Parameter> parameters() {
        return Collections.unmodifiableList(parameters);
    }

    public long size() {
        return values.size();
    }

    /** F32 [size]. */
    public Tensor values() {
        return values;
    }

    /** F32 [size], or null when frozen. */
    public Tensor gradients() {
        return gradients;
    }
}
