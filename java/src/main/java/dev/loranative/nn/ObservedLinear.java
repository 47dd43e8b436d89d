package dev.loranative.nn;

import dev.loranative.tensor.Tensor;
import java.util.function.Consumer;

/**
 * A frozen layer whose inputs are looked at, for what is found out before training.
 *
 * @param observer given every input, [rows, in], while a pass runs
 */
public record ObservedLinear(DenseLinear base, Consumer<Tensor> observer) implements Linear {

    @Override
    public long in() {
        return base.in();
    }

    @Override
    public long out() {
        return base.out();
    }

    @Override
    public void forward(Pass pass, Tensor x, Tensor y) {
        if (!pass.ops().isPlanning()) {
            observer.accept(x);
        }
        base.forward(pass, x, y);
    }

    @Override
    public void backward(Pass pass, Tensor dy, Tensor x, Tensor dx, boolean accumulate) {
        base.backward(pass, dy, x, dx, accumulate);
    }

    @Override
    public boolean isTrainable() {
        return false;
    }
}
