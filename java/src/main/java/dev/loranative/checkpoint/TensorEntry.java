package dev.loranative.checkpoint;

import java.nio.file.Path;
import java.util.List;

/**
 * Where one tensor lies.
 *
 * @param name as in the file, for example {@code model.layers.0.self_attn.q_proj.weight}
 * @param shape sizes from the slowest to the fastest dimension, row major; empty for a scalar
 * @param file the safetensors file that holds it
 * @param offset first byte, counted from the start of the file
 * @param bytes length; always the product of the shape times the element's bytes
 */
public record TensorEntry(String name, ElementType type, List<Long> shape, Path file, long offset, long bytes) {

    public TensorEntry {
        shape = List.copyOf(shape);
    }

    /** Number of elements. */
    public long elements() {
        return bytes / type.bytes();
    }
}
