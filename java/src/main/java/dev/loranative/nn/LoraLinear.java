package dev.loranative.nn;

import dev.loranative.tensor.Elementwise;
import dev.loranative.tensor.JointProducts;
import dev.loranative.tensor.Products;
import dev.loranative.tensor.Slab;
import dev.loranative.tensor.Tensor;

/**
 * A linear layer with a LoRA adapter (Hu et al. 2021, arXiv:2106.09685):
 * {@code y = base(x) + scale * (dropout(x) . a^T . b^T + loraBias)}.
 */
public final class LoraLinear implements Linear {

    private final DenseLinear base;
    private final Products.Lora lora;
    private final AdapterDropout dropout;

    /** [1, out], or null. */
    private final Parameter loraBias;

    /** Or null. */
    private final FrozenUpdate baseUpdate;

    /** dropout(x) . a^T of the last forward pass, [rows, rank]. */
    private Tensor u;

    public LoraLinear(DenseLinear base, Products.Lora lora, AdapterDropout dropout) {
        this(base, lora, dropout, null, null);
    }

    /**
     * @param loraBias of b, [1, out]; null for none
     * @param baseUpdate a part of the base beside its weight; null for none
     */
    public LoraLinear(
            DenseLinear base, Products.Lora lora, AdapterDropout dropout, Parameter loraBias, FrozenUpdate baseUpdate) {
        this.base = base;
        this.lora = lora;
        this.dropout = dropout;
        this.loraBias = loraBias;
        this.baseUpdate = baseUpdate;
    }

    public Products.Lora lora() {
        return lora;
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
    public void forward(Pass pass, Tensor x, Tensor y) {
        Slab slab = pass.slab();
        long start = slab.mark();
        u = slab.floats(x.dimension(0), lora.rank());
        long temporary = slab.mark();
        pass.ops().products().linearForward(x, dropout.apply(pass, x), base.weight(), bias(pass), lora, u, y);
        if (baseUpdate != null) {
            baseUpdate.addForward(pass, x, y);
        }
        slab.release(pass.saving() ? temporary : start);
    }

    /** Whether in this pass the layer is products with x, its base's and its adapter's, and nothing else. */
    boolean readsInputAlone(Pass pass) {
        return baseUpdate == null && loraBias == null && !dropout.drops(pass);
    }

    /** The forward pass as a part of a joint one; u lies in the slab from now on. */
    JointProducts.Forward forwardPart(Pass pass, Tensor x, Tensor y) {
        u = pass.slab().floats(x.dimension(0), lora.rank());
        return new JointProducts.Forward(base.weight(), base.bias(), lora, u, y);
    }

    /** The backward pass as a part of a joint one, without {@link #baseGradients}. */
    JointProducts.Backward backwardPart(Pass pass, Tensor dy) {
        return new JointProducts.Backward(
                dy, base.weight(), lora, u, pass.slab().floats(dy.dimension(0), lora.rank()));
    }

    /** Gradients of the base's weight and bias, where they are trained. */
    void baseGradients(Pass pass, Tensor dy, Tensor x) {
        base.parameterGradients(pass, dy, x);
    }

    boolean trainsAdapter() {
        return lora.gradA() != null;
    }

    /** That of the base and of the adapter together, [out]. */
    private Tensor bias(Pass pass) {
        if (loraBias == null) {
            return base.bias();
        }
        Elementwise elementwise = pass.ops().elementwise();
        Tensor sum = pass.slab().floats(out());
        if (base.bias() != null) {
            elementwise.cast(base.bias(), sum);
        }
        elementwise.axpby(lora.scale(), loraBias.value(), base.bias() == null ? 0 : 1, sum);
        return sum;
    }

    @Override
    public void backward(Pass pass, Tensor dy, Tensor x, Tensor dx, boolean accumulate) {
        if (dx == null && !isTrainable()) {
            return;
        }
        baseGradients(pass, dy, x);
        Slab slab = pass.slab();
        long start = slab.mark();
        Tensor v = slab.floats(x.dimension(0), lora.rank());
        Tensor loraX = dropout.apply(pass, x);
        Tensor dLoraX = loraX == null || dx == null ? null : slab.floats(x.shape());
        pass.ops().products().linearBackward(dy, x, loraX, base.weight(), lora, u, v, dx, dLoraX, accumulate);
        if (dLoraX != null) {
            dropout.backward(pass, dLoraX, dx);
        }
        if (baseUpdate != null && dx != null) {
            baseUpdate.addBackward(pass, dy, dx);
        }
        if (loraBias != null && loraBias.gradient() != null) {
            Tensor sums = slab.floats(out());
            pass.ops().clear(sums);
            pass.ops().losses().columnSums(dy, sums);
            pass.ops().elementwise().axpby(lora.scale(), sums, 1, loraBias.gradient());
        }
        slab.release(start);
    }

    @Override
    public boolean isTrainable() {
        return trainsAdapter() || base.isTrainable();
    }
}
