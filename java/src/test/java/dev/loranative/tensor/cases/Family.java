package dev.loranative.tensor.cases;

/** Kinds of ops that are tested and reported together. */
public enum Family {
    PRODUCTS,
    GROUPED_PRODUCTS,
    NORMS,
    ATTENTION,
    ELEMENTWISE,
    ROUTING,
    LOSSES
}
