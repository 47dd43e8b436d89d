package dev.loranative.nn;

import dev.loranative.tensor.Activation;
import dev.loranative.tensor.Elementwise;
import dev.loranative.tensor.Slab;
import dev.loranative.tensor.Tensor;
import java.util.List;

/** {@code down(activation(gate(x)) * up(x))} (Shazeer 2020, GLU variants). */
public final class GatedMlp implements FeedForward {

    private final Activation activation;
    private final LinearSlot gate;
    private final JointLinear gateAndUp;
    private final LinearSlot down;

    /** Kept by a saving pass: [tokens, intermediate] each. */
    private Tensor gated;

    private Tensor raised;
    private Tensor inner;

    public GatedMlp(Activation activation, LinearSlot gate, LinearSlot up, LinearSlot down) {
        this.activation = activation;
        this.gate = gate;
        this.gateAndUp = new JointLinear(gate, up);
        this.down = down;
    }

    @Override
    public boolean isTrainable() {
        return gateAndUp.isTrainable() || down.get().isTrainable();
    }

    @Override
    public void forward(Pass pass, Tensor x, Tensor y) {
        Slab slab = pass.slab();
        long start = slab.mark();
        long rows = x.dimension(0);
        long width = gate.get().out();
        gated = slab.floats(rows, width);
        raised = slab.floats(rows, width);
        inner = pass.saving() ? slab.floats(rows, width) : gated;
        gateAndUp.forward(pass, x, List.of(gated, raised));
        pass.ops().elementwise().gatedForward(activation, gated, raised, inner);
        down.get().forward(pass, inner, y);
        if (!pass.saving()) {
            slab.release(start);
        }
    }

    @Override
    public void backward(Pass pass, Tensor dy, Tensor x, Tensor dx, boolean accumulate) {
        Slab slab = pass.slab();
        long start = slab.mark();
        Elementwise elementwise = pass.ops().elementwise();
        Tensor dInner = slab.floats(inner.shape());
        down.get().backward(pass, dy, inner, dInner, false);
        // gated and raised are not needed any more: their gradients take their place.
        elementwise.gatedBackward(activation, dInner, gated, raised, gated, raised);
        gateAndUp.backward(pass, List.of(gated, raised), x, dx, accumulate);
        slab.release(start);
    }
}
