package dev.loranative.tensor.cases;

/** Kinds of ops that are tested and reported together. */
public enum Family {
    PRODUCTS,
    GROUPED_PRODUCTS,
    QUANTIZATION,
    DORA,
    NORMS,
    ATTENTION,
    ELEMENTWISE,
    ROUTING,
    LOSSES
}
