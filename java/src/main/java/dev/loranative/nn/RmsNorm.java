package dev.loranative.nn;

import dev.loranative.tensor.Tensor;

/** RMSNorm (Zhang & Sennrich 2019), possibly fused with the residual addition before it. */
public final class RmsNorm {

    private final float epsilon;
    private Tensor weight;
    private Tensor gradWeight;

    /** What was normalised, and 1 / rms of its rows, of the last saving pass. */
    private Tensor input;

    private Tensor rstd;

    /** @param weight [width] */
    public RmsNorm(Tensor weight, float epsilon) {
        this.weight = weight;
        this.epsilon = epsilon;
    }

    /** [width]. */
    public Tensor weight() {
        return weight;
    }

    /**
     * Puts another weight into the place of this one.
     *
     * @param gradient [width], or null when frozen
     */
    public void replaceWeight(Tensor newWeight, Tensor gradient) {
        this.weight = newWeight;
        this.gradWeight = gradient;
    }

    public boolean isTrainable() {
        return gradWeight != null;
    }

    public long width() {
        return weight.size();
    }

    /**
     * {@code sum = x + residual; y = norm(sum)}; sum is kept for backward, so it must stay.
     *
     * @param x rows * width elements
     * @param residual like x, or null
     * @param sum like x; x itself when there is no residual
     * @param y like x
     */
    public void forward(Pass pass, Tensor x, Tensor residual, Tensor sum, Tensor y) {
        rstd = pass.saving() ? pass.slab().floats(x.size() / width()) : null;
        pass.ops().norms().rmsNormForward(x, residual, weight, residual == null ? null : sum, y, rstd, epsilon);
        input = sum;
    }

    /** @param dx may be dy or dResidual; dResidual may be null */
    public void backward(Pass pass, Tensor dy, Tensor dResidual, Tensor dx) {
        pass.ops().norms().rmsNormBackward(dy, input, weight, rstd, dResidual, dx, gradWeight);
    }
}
