package dev.loranative.nn;

import dev.loranative.tensor.Tensor;

/**
 * A linear layer in its checkpoint dtype, frozen unless it has gradients.
 *
 * @param weight [out, in]
 * @param bias [out], or null
 * @param gradWeight [out, in], or null when the weight is frozen
 * @param gradBias [out], or null when the bias is frozen
 */
public record DenseLinear(Tensor weight, Tensor bias, Tensor gradWeight, Tensor gradBias) implements Linear {

    /** A frozen layer. */
    public DenseLinear(Tensor weight, Tensor bias) {
        this(weight, bias, null, null);
    }

    /** The same with another weight; the gradient is null when frozen. */
    public DenseLinear withWeight(Tensor newWeight, Tensor gradient) {
        return new DenseLinear(newWeight, bias, gradient, gradBias);
    }

    /** The same with another bias; the gradient is null when frozen. */
    public DenseLinear withBias(Tensor newBias, Tensor gradient) {
        return new DenseLinear(weight, newBias, gradWeight, gradient);
    }

    @Override
    public long in() {
        return weight.dimension(1);
    }

    @Override
    public long out() {
        return weight.dimension(0);
    }

    @Override
    public void forward(Pass pass, Tensor x, Tensor y) {
        pass.ops().products().linearForward(x, null, weight, bias, null, null, y);
    }

    @Override
    public void backward(Pass pass, Tensor dy, Tensor x, Tensor dx, boolean accumulate) {
        parameterGradients(pass, dy, x);
        if (dx != null) {
            pass.ops().products().linearBackward(dy, x, null, weight, null, null, null, dx, null, accumulate);
        }
    }

    /** {@code gradWeight += dy^T . x} and {@code gradBias += column sums of dy}, where there are gradients. */
    void parameterGradients(Pass pass, Tensor dy, Tensor x) {
        if (gradWeight != null) {
            pass.ops().products().matmul(dy, true, x, false, gradWeight, 1, 1);
        }
        if (gradBias != null) {
            pass.ops().losses().columnSums(dy, gradBias);
        }
    }

    @Override
    public boolean isTrainable() {
        return gradWeight != null || gradBias != null;
    }
}
