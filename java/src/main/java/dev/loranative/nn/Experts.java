package dev.loranative.nn;

import dev.loranative.tensor.Activation;
import dev.loranative.tensor.GatedProducts;
import dev.loranative.tensor.Routing;
import dev.loranative.tensor.Slab;
import dev.loranative.tensor.Tensor;

/**
 * The gated MLPs of all experts, as grouped products over rows sorted by expert, and the sum of what a token's experts
 * give.
 *
 * <p>Where every adapter sees its layer's input itself, the gate and up products are one op each way, and so is the
 * backward pass from the sum to the gradients of gate and up; it needs neither the experts' outputs nor the inputs of
 * their down projections, which are then not kept.
 */
public final class Experts {

    private final Activation activation;
    private final GroupedLinear gate;
    private final GroupedLinear up;
    private final GroupedLinear down;

    /** Kept by a saving pass: [rows, intermediate] each. */
    private Tensor gated;

    private Tensor raised;

    /** Kept by a saving pass only where the down projection's backward pass is an op of its own. */
    private Tensor inner;

    /** As inner, [rows, hidden]. */
    private Tensor outputs;

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
     * @param y [tokens, hidden], written: the sums of the tokens' rows
     */
    void forward(Pass pass, Tensor x, Routes routes, Tensor y) {
        Slab slab = pass.slab();
        long start = slab.mark();
        long rows = x.dimension(0);
        boolean together = gate.joins(pass, up);
        gated = pass.saving() || !together ? slab.floats(rows, gate.out()) : null;
        raised = pass.saving() || !together ? slab.floats(rows, gate.out()) : null;
        gate.reserve(pass, rows);
        up.reserve(pass, rows);
        down.reserve(pass, rows);
        long temporary = slab.mark();
        inner = pass.saving() || together ? slab.floats(rows, gate.out()) : gated;
        outputs = slab.floats(rows, down.out());
        if (together) {
            GatedProducts.Side gateSide = gate.forwardSide();
            GatedProducts.Side upSide = up.forwardSide();
            pass.ops().gatedProducts().forward(activation, x, routes.offsets(), gateSide, upSide, gated, raised, inner);
        } else {
            gate.project(pass, x, routes.offsets(), gated);
            up.project(pass, x, routes.offsets(), raised);
            pass.ops().elementwise().gatedForward(activation, gated, raised, inner);
        }
        down.project(pass, inner, routes.offsets(), outputs);
        pass.ops().routing().combineForward(outputs, routes.rowsOfPairs(), routes.scores(), y, false);
        if (!pass.saving()) {
            slab.release(start);
        } else if (down.joinsScores(pass)) {
            slab.release(temporary);
        }
    }

    /**
     * @param dy [tokens, hidden]
     * @param x as in the forward pass
     * @param dScores [tokens, topK], written
     * @param dx [rows, hidden], written; null when nobody needs it
     */
    void backward(Pass pass, Tensor dy, Tensor x, Routes routes, Tensor dScores, Tensor dx) {
        Slab slab = pass.slab();
        long start = slab.mark();
        Tensor dInner = null;
        if (down.joinsScores(pass)) {
            down.backwardWithScores(pass, activation, dy, routes, dScores, gated, raised);
        } else {
            dInner = gradientOfInner(pass, dy, routes, dScores);
        }
        if (gate.joins(pass, up)) {
            lowerTogether(pass, dInner, x, routes, dx);
        } else {
            if (dInner != null) {
                pass.ops().elementwise().gatedBackward(activation, dInner, gated, raised, gated, raised);
            }
            gate.backward(pass, gated, x, routes.offsets(), dx, false);
            up.backward(pass, raised, x, routes.offsets(), dx, true);
        }
        slab.release(start);
    }

    private Tensor gradientOfInner(Pass pass, Tensor dy, Routes routes, Tensor dScores) {
        Routing routing = pass.ops().routing();
        Tensor dInner = pass.slab().floats(inner.shape());
        // The gradient of every expert's output takes the place of that output.
        routing.combineBackward(dy, outputs, routes.rowsOfPairs(), routes.scores(), outputs, dScores);
        down.backward(pass, outputs, inner, routes.offsets(), dInner, false);
        return dInner;
    }

    /** @param dInner null when gated and raised are their gradients already */
    private void lowerTogether(Pass pass, Tensor dInner, Tensor x, Routes routes, Tensor dx) {
        if (dx == null && !gate.isTrainable() && !up.isTrainable()) {
            return;
        }
        long rows = x.dimension(0);
        GatedProducts.Side gateSide = gate.backwardSide(pass, rows);
        GatedProducts.Side upSide = up.backwardSide(pass, rows);
        pass.ops()
                .gatedProducts()
                .backward(activation, dInner, x, routes.offsets(), gateSide, upSide, gated, raised, dx);
        gate.finishBackward(pass, gated, x, gateSide.v());
        up.finishBackward(pass, raised, x, upSide.v());
    }
}
