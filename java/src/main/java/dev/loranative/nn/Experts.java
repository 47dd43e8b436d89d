package dev.loranative.nn;

import dev.loranative.tensor.Activation;
import dev.loranative.tensor.GatedProducts;
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
        if (gate.joins(pass, up)) {
            raiseTogether(pass, x, offsets);
        } else {
            raiseApart(pass, x, offsets);
        }
        down.forward(pass, inner, offsets, y);
        if (!pass.saving()) {
            slab.release(start);
        }
    }

    private void raiseTogether(Pass pass, Tensor x, Tensor offsets) {
        Slab slab = pass.slab();
        long rows = x.dimension(0);
        gated = pass.saving() ? slab.floats(rows, gate.out()) : null;
        raised = pass.saving() ? slab.floats(rows, gate.out()) : null;
        inner = slab.floats(rows, gate.out());
        GatedProducts.Side gateSide = gate.forwardSide(pass, rows);
        GatedProducts.Side upSide = up.forwardSide(pass, rows);
        pass.ops().gatedProducts().forward(activation, x, offsets, gateSide, upSide, gated, raised, inner);
    }

    private void raiseApart(Pass pass, Tensor x, Tensor offsets) {
        Slab slab = pass.slab();
        long rows = x.dimension(0);
        gated = slab.floats(rows, gate.out());
        raised = slab.floats(rows, gate.out());
        inner = pass.saving() ? slab.floats(rows, gate.out()) : gated;
        gate.forward(pass, x, offsets, gated);
        up.forward(pass, x, offsets, raised);
        pass.ops().elementwise().gatedForward(activation, gated, raised, inner);
    }

    /** @param dx [rows, hidden], written; null when nobody needs it */
    void backward(Pass pass, Tensor dy, Tensor x, Tensor offsets, Tensor dx) {
        Slab slab = pass.slab();
        long start = slab.mark();
        Tensor dInner = slab.floats(inner.shape());
        down.backward(pass, dy, inner, offsets, dInner, false);
        if (gate.joins(pass, up)) {
            lowerTogether(pass, dInner, x, offsets, dx);
        } else {
            pass.ops().elementwise().gatedBackward(activation, dInner, gated, raised, gated, raised);
            gate.backward(pass, gated, x, offsets, dx, false);
            up.backward(pass, raised, x, offsets, dx, true);
        }
        slab.release(start);
    }

    private void lowerTogether(Pass pass, Tensor dInner, Tensor x, Tensor offsets, Tensor dx) {
        if (dx == null && !gate.isTrainable() && !up.isTrainable()) {
            return;
        }
        long rows = x.dimension(0);
        GatedProducts.Side gateSide = gate.backwardSide(pass, rows);
        GatedProducts.Side upSide = up.backwardSide(pass, rows);
        pass.ops().gatedProducts().backward(activation, dInner, x, offsets, gateSide, upSide, gated, raised, dx);
        gate.finishBackward(pass, gated, x, gateSide.v());
        up.finishBackward(pass, raised, x, upSide.v());
    }
}
