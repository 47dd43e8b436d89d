package dev.loranative.nn;

import dev.loranative.tensor.Tensor;

/**
 * A frozen linear layer in its checkpoint dtype.
 *
 * @param weight [out, in]
 * @param bias [out], or null
 */
public record DenseLinear(Tensor weight, Tensor bias) implements Linear {

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
        if (dx != null) {
            pass.ops().products().linearBackward(dy, x, null, weight, null, null, null, dx, null, accumulate);
        }
    }

    @Override
    public boolean isTrainable() {
        return false;
    }
}
