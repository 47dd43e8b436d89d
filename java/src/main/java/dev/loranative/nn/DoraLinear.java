package dev.loranative.nn;

import dev.loranative.tensor.DType;
import dev.loranative.tensor.Elementwise;
import dev.loranative.tensor.Products;
import dev.loranative.tensor.Slab;
import dev.loranative.tensor.Tensor;

/**
 * A linear layer with a weight-decomposed adapter (DoRA, Liu et al. 2024, arXiv:2402.09353): the rows of
 * {@code V = weight + scale * b . a} are brought to trained lengths, {@code y = magnitude / |V| * (x . V^T) + bias}. As
 * in the paper the lengths |V| count as constants in the backward pass.
 *
 * <p>With dropout the base sees x itself and all that the adapter changes sees {@code x' = dropout(x)}, as in PEFT:
 * {@code y = (x - x') . weight^T + bias + magnitude / |V| * (x' . V^T)}.
 */
public final class DoraLinear implements Linear {

    private final DenseLinear base;
    private final Products.Lora lora;
    private final Parameter magnitude;
    private final AdapterDropout dropout;

    /** |V|, [out]: of {@link #measured}. */
    private final Tensor norms;

    /** The pass whose norms are there; a frozen adapter's are those of every pass. */
    private Pass measured;

    /** dropout(x) . a^T of the last forward pass, [rows, rank]. */
    private Tensor u;

    /** dropout(x) . V^T of the last forward pass, [rows, out]. */
    private Tensor z;

    /**
     * @param magnitude [1, out]
     * @param norms memory for out numbers
     */
    public DoraLinear(DenseLinear base, Products.Lora lora, Parameter magnitude, AdapterDropout dropout, Tensor norms) {
        if (norms.dtype() != DType.F32 || norms.size() != base.out()) {
            throw new IllegalArgumentException("norms are " + norms + ", must have " + base.out() + " elements");
        }
        this.base = base;
        this.lora = lora;
        this.magnitude = magnitude;
        this.dropout = dropout;
        this.norms = norms;
    }

    @Override
    public long in() {
        return base.in();
    }

    @Override
    public long out() {
        return base.out();
    }

    @Override
    public boolean isTrainable() {
        return lora.gradA() != null || base.isTrainable();
    }

    @Override
    public void forward(Pass pass, Tensor x, Tensor y) {
        measure(pass);
        Slab slab = pass.slab();
        Products products = pass.ops().products();
        long start = slab.mark();
        u = slab.floats(x.dimension(0), lora.rank());
        z = slab.floats(y.shape());
        long temporary = slab.mark();
        Tensor dropped = dropout.apply(pass, x);
        if (dropped == null) {
            products.linearForward(x, null, base.weight(), null, lora, u, z);
            pass.ops().dora().forward(z, magnitude.value(), norms, base.bias(), y, false);
        } else {
            products.linearForward(dropped, null, base.weight(), null, lora, u, z);
            Elementwise elementwise = pass.ops().elementwise();
            elementwise.axpby(1, x, -1, dropped);
            products.linearForward(dropped, null, base.weight(), base.bias(), null, null, y);
            pass.ops().dora().forward(z, magnitude.value(), norms, null, y, true);
        }
        slab.release(pass.saving() ? temporary : start);
    }

    /** Parameters change between passes only, so one pass measures once, however often it runs this layer. */
    private void measure(Pass pass) {
        if (measured == pass || measured != null && lora.gradA() == null) {
            return;
        }
        pass.ops().dora().norms(base.weight(), lora, norms);
        measured = pass.ops().isPlanning() ? null : pass;
    }

    @Override
    public void backward(Pass pass, Tensor dy, Tensor x, Tensor dx, boolean accumulate) {
        if (dx == null && !isTrainable()) {
            return;
        }
        base.parameterGradients(pass, dy, x);
        Slab slab = pass.slab();
        Products products = pass.ops().products();
        long start = slab.mark();
        Tensor dz = slab.floats(dy.shape());
        pass.ops().dora().backward(dy, z, magnitude.value(), norms, dz, magnitude.gradient());
        Tensor v = slab.floats(x.dimension(0), lora.rank());
        Tensor dropped = dropout.apply(pass, x);
        if (dropped == null) {
            products.linearBackward(dz, x, null, base.weight(), lora, u, v, dx, null, accumulate);
        } else if (dx == null) {
            products.linearBackward(dz, dropped, null, base.weight(), lora, u, v, null, null, false);
        } else {
            Elementwise elementwise = pass.ops().elementwise();
            Tensor direct = slab.floats(x.shape());
            Tensor through = slab.floats(x.shape());
            products.linearBackward(dy, x, null, base.weight(), null, null, null, direct, null, false);
            products.linearBackward(dz, dropped, null, base.weight(), lora, u, v, through, null, false);
            elementwise.axpby(-1, direct, 1, through);
            elementwise.axpby(1, direct, accumulate ? 1 : 0, dx);
            dropout.backward(pass, through, dx);
        }
        slab.release(start);
    }
}
