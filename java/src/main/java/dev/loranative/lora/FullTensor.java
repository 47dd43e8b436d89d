package dev.loranative.lora;

import java.util.List;

/**
 * A tensor of the base model that an adapter replaces: a part of a module in {@code modules_to_save}, or a bias.
 *
 * @param name as in the checkpoint, with {@code .weight} or {@code .bias}
 * @param values row major; the array is not copied
 */
public record FullTensor(String name, List<Long> shape, float[] values) {

    public FullTensor {
        shape = List.copyOf(shape);
        if (values.length != FullTarget.elements(shape)) {
            throw new IllegalArgumentException(name + ": " + values.length + " numbers are no " + shape);
        }
    }
}
