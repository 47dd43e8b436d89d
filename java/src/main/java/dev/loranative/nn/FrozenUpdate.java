package dev.loranative.nn;

import dev.loranative.tensor.Slab;
import dev.loranative.tensor.Tensor;

/**
 * A low-rank part of a base layer that nobody trains: {@code y += x . aᵀ . bᵀ}. It takes the first values of an adapter out
 * of the base without a copy of the base's weight.
 *
 * @param a [r, in]
 * @param b [out, r], with whatever factor it has
 */
public record FrozenUpdate(Tensor a, Tensor b) {

    void addForward(Pass pass, Tensor x, Tensor y) {
        Slab slab = pass.slab();
        long start = slab.mark();
        Tensor inner = slab.floats(x.dimension(0), a.dimension(0));
        pass.ops().products().matmul(x, false, a, true, inner, 1, 0);
        pass.ops().products().matmul(inner, false, b, true, y, 1, 1);
        slab.release(start);
    }

    void addBackward(Pass pass, Tensor dy, Tensor dx) {
        Slab slab = pass.slab();
        long start = slab.mark();
        Tensor inner = slab.floats(dy.dimension(0), a.dimension(0));
        pass.ops().products().matmul(dy, false, b, false, inner, 1, 0);
        pass.ops().products().matmul(inner, false, a, false, dx, 1, 1);
        slab.release(start);
    }
}
