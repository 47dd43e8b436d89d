package dev.loranative.nn;

import dev.loranative.tensor.Tensor;

/**
 * A trainable tensor.
 *
 * @param name unique, as in the adapter file
 * @param value a view into the arena
 * @param gradient like value, or null when frozen
 */
public record Parameter(String name, Tensor value, Tensor gradient) {}
