package dev.loranative.nn;

import dev.loranative.tensor.Tensor;

/** The second half of a decoder layer: dense or a mixture of experts. */
public sealed interface FeedForward permits GatedMlp, MixtureOfExperts {

    boolean isTrainable();

    /**
     * @param x [tokens, hidden]
     * @param y [tokens, hidden], written
     */
    void forward(Pass pass, Tensor x, Tensor y);

    /**
     * May overwrite what forward kept.
     *
     * @param dy [tokens, hidden]
     * @param x what forward was given
     * @param dx [tokens, hidden], written or added to; null when nobody needs it
     */
    void backward(Pass pass, Tensor dy, Tensor x, Tensor dx, boolean accumulate);
}
