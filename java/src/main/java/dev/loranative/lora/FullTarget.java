package dev.loranative.lora;

import java.util.List;

/**
 * A tensor of the base model that is trained as it is, without a low rank.
 *
 * @param name as in the checkpoint, with {@code .weight} or {@code .bias}
 * @param origin the setting that asked for it
 */
public record FullTarget(String name, List<Long> shape, Origin origin) {

    /** Why a tensor is trained in full. */
    public enum Origin {
        MODULES_TO_SAVE,
        BIAS
    }

    public FullTarget {
        shape = List.copyOf(shape);
    }

    /** Trainable numbers. */
    public long parameters() {
        return elements(shape);
    }

    static long elements(List<Long> shape) {
        return shape.stream().reduce(1L, Math::multiplyExact);
    }
}
