package dev.loranative.tensor;

/** Gate activations, numbered as {@code ln_activation}. */
public enum Activation {
    SILU,
    GELU_TANH,
    GELU_ERF
}
