package dev.loranative.nn;

import dev.loranative.tensor.Elementwise;
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
        base.parameterGradients(pass, dy, x);
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
        return lora.gradA() != null || base.isTrainable();
    }
}
