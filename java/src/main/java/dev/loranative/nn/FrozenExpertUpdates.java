package dev.loranative.nn;

import dev.loranative.tensor.ExpertWeights;
import dev.loranative.tensor.Products;
import dev.loranative.tensor.Slab;
import dev.loranative.tensor.Tensor;

/**
 * {@link FrozenUpdate} for the experts of a projection, each on its own rows.
 *
 * @param a [r, in] per expert, filled up with zeros to the largest rank
 * @param b [out, r] per expert, with whatever factor it has
 */
public record FrozenExpertUpdates(ExpertWeights a, ExpertWeights b) {

    void addForward(Pass pass, Tensor x, Tensor offsets, Tensor y) {
        Products products = pass.ops().products();
        Slab slab = pass.slab();
        long start = slab.mark();
        Tensor inner = slab.floats(x.dimension(0), a.out());
        Tensor added = slab.floats(y.shape());
        products.groupedLinearForward(x, null, offsets, a, null, null, inner);
        products.groupedLinearForward(inner, null, offsets, b, null, null, added);
        pass.ops().elementwise().add(added, y);
        slab.release(start);
    }

    void addBackward(Pass pass, Tensor dy, Tensor offsets, Tensor dx) {
        Products products = pass.ops().products();
        Slab slab = pass.slab();
        long start = slab.mark();
        Tensor inner = slab.floats(dy.dimension(0), a.out());
        products.groupedLinearBackward(dy, null, null, offsets, b, null, null, null, inner, null, false);
        products.groupedLinearBackward(inner, null, null, offsets, a, null, null, null, dx, null, true);
        slab.release(start);
    }
}
