package dev.loranative.nn;

import dev.loranative.tensor.Slab;
import dev.loranative.tensor.Tensor;

/** An expert that sees every token, weighted by a sigmoid gate: {@code y += sigmoid(gate(x)) * mlp(x)}. */
public final class SharedExpert {

    private final GatedMlp mlp;
    private final LinearSlot gate;

    /** [tokens, hidden] and [tokens, 1] of the last saving pass. */
    private Tensor output;

    private Tensor gateLogits;

    public SharedExpert(GatedMlp mlp, LinearSlot gate) {
        this.mlp = mlp;
        this.gate = gate;
    }

    boolean isTrainable() {
        return mlp.isTrainable() || gate.get().isTrainable();
    }

    /** @param y [tokens, hidden], added to */
    void forward(Pass pass, Tensor x, Tensor y) {
        Slab slab = pass.slab();
        long start = slab.mark();
        output = slab.floats(x.shape());
        gateLogits = slab.floats(x.dimension(0), 1);
        mlp.forward(pass, x, output);
        gate.get().forward(pass, x, gateLogits);
        pass.ops().elementwise().sigmoidGateForward(output, gateLogits, y, true);
        if (!pass.saving()) {
            slab.release(start);
        }
    }

    /** @param dx [tokens, hidden], added to; null when nobody needs it */
    void backward(Pass pass, Tensor dy, Tensor x, Tensor dx) {
        Slab slab = pass.slab();
        long start = slab.mark();
        Tensor dGate = slab.floats(gateLogits.shape());
        pass.ops().elementwise().sigmoidGateBackward(dy, output, gateLogits, output, dGate);
        mlp.backward(pass, output, x, dx, true);
        gate.get().backward(pass, dGate, x, dx, true);
        slab.release(start);
    }
}
