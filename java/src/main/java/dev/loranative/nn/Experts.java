package dev.loranative.nn;

import dev.loranative.tensor.Activation;
import dev.loranative.tensor.Slab;
import dev.loranative.tensor.Tensor;

/** The gated MLPs of all experts, as three grouped products over rows sorted by expert. */
public final class Experts {

    private final Activation activation;
    private final GroupedLinear gate;
    private final GroupedLinear up;
    private final GroupedLinear down;

    /** Kept by a saving pass: [rows, intermediate] each. */
    private Tensor gated;

    private Tensor raised;
    private Tensor inner;

    public Experts(Activation activation, GroupedLinear gate, GroupedLinear up, GroupedLinear down) {
        this.activation = activation;
        this.gate = gate;
        this.up = up;
        this.down = down;
    }

    long count() {
        return gate.experts();
    }

    boolean isTrainable() {
        return gate.isTrainable() || up.isTrainable() || down.isTrainable();
    }

    /**
     * @param x [rows, hidden], sorted by expert
     * @param offsets I32 [experts + 1]
     * @param y [rows, hidden], written
     */
    void forward(Pass pass, Tensor x, Tensor offsets, Tensor y) {
        Slab slab = pass.slab();
        long start = slab.mark();
        long rows = x.dimension(0);
        gated = slab.floats(rows, gate.out());
        raised = slab.floats(rows, gate.out());
        inner = pass.saving() ? slab.floats(rows, gate.out()) : gated;
        gate.forward(pass, x, offsets, gated);
        up.forward(pass, x, offsets, raised);
        pass.ops().elementwise().gatedForward(activation, gated, raised, inner);
        down.forward(pass, inner, offsets, y);
        if (!pass.saving()) {
            slab.release(start);
        }
    }

    /** @param dx [rows, hidden], written; null when nobody needs it */
    void backward(Pass pass, Tensor dy, Tensor x, Tensor offsets, Tensor dx) {
        Slab slab = pass.slab();
        long start = slab.mark();
        Tensor dInner = slab.floats(inner.shape());
        down.backward(pass, dy, inner, offsets, dInner, false);
        pass.ops().elementwise().gatedBackward(activation, dInner, gated, raised, gated, raised);
        gate.backward(pass, gated, x, offsets, dx, false);
        up.backward(pass, raised, x, offsets, dx, true);
        slab.release(start);
    }
}
