package dev.loranative.nn;

import dev.loranative.tensor.Tensor;

/**
 * Dropout between a layer's input and its adapter.
 *
 * @param probability of an element to be dropped
 * @param module unique number, names the random stream
 */
public record AdapterDropout(float probability, int module) {

    /** Whether the adapter sees something else than x in this pass. */
    boolean drops(Pass pass) {
        return probability != 0 && pass.usesDropout();
    }

    /** x after dropout in the slab, or null when the pass has none and the adapter sees x itself. */
    Tensor apply(Pass pass, Tensor x) {
        if (!drops(pass)) {
            return null;
        }
        Tensor dropped = pass.slab().floats(x.shape());
        run(pass, x, dropped, false);
        return dropped;
    }

    /** Adds the gradient that came back through the mask. */
    void backward(Pass pass, Tensor dDropped, Tensor dx) {
        run(pass, dDropped, dx, true);
    }

    private void run(Pass pass, Tensor from, Tensor to, boolean accumulate) {
        DropoutStreams streams = pass.dropoutStreams();
        pass.ops()
                .elementwise()
                .dropout(from, to, probability, streams.seed(pass.chunk()), streams.stream(module), accumulate);
    }
}
