package dev.loranative.checkpoint;

import java.util.List;

/**
 * A tensor that is going to be written.
 *
 * @param name any name but {@code __metadata__}
 * @param shape sizes from the slowest to the fastest dimension
 */
public record TensorPlan(String name, ElementType type, List<Long> shape) {

    public TensorPlan {
        shape = List.copyOf(shape);
        for (long size : shape) {
            if (size < 0) {
                throw new IllegalArgumentException(name + " has the negative size " + size + " in " + shape);
            }
        }
        if (name.equals(SafetensorsHeader.METADATA)) {
            throw new IllegalArgumentException(name + " is reserved by the format");
        }
    }

    /** Number of elements. */
    public long elements() {
        return shape.stream().reduce(1L, Math::multiplyExact);
    }

    /** Length of the data. */
    public long bytes() {
        return Math.multiplyExact(elements(), type.bytes());
    }
}
