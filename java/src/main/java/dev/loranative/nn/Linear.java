package dev.loranative.nn;

import dev.loranative.tensor.Tensor;

/** A linear layer: {@code y = x . weight^T + bias}, possibly with an adapter. */
public sealed interface Linear permits DenseLinear, LoraLinear, DoraLinear, ObservedLinear {

    long in();

    long out();

    /**
     * @param x [rows, in]
     * @param y [rows, out], written
     */
    void forward(Pass pass, Tensor x, Tensor y);

    /**
     * Accumulates parameter gradients and writes or adds the input's gradient.
     *
     * @param dy [rows, out]
     * @param x what forward was given
     * @param dx [rows, in], or null when nobody needs it
     * @param accumulate dx += instead of dx =
     */
    void backward(Pass pass, Tensor dy, Tensor x, Tensor dx, boolean accumulate);

    /** Whether backward has parameter gradients to compute. */
    boolean isTrainable();
}
