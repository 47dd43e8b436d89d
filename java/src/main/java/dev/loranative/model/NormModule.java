package dev.loranative.model;

/**
 * A norm of the model, which training can name to train it in full.
 *
 * @param name as in the checkpoint, without {@code .weight}
 * @param layer -1 for the norm behind the last layer
 * @param width elements of the weight
 */
public record NormModule(String name, int layer, long width) {}
