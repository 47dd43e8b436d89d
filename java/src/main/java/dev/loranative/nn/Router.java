package dev.loranative.nn;

import dev.loranative.tensor.DType;
import dev.loranative.tensor.Slab;
import dev.loranative.tensor.Tensor;

/** Chooses the experts of every token: softmax over a linear layer, then the top-k. */
public final class Router {

    private final LinearSlot linear;
    private final int topK;
    private final boolean renormalise;

    /** [tokens, experts], I32 [tokens, topK], [tokens, topK] of the last pass. */
    private Tensor probabilities;

    private Tensor ids;
    private Tensor weights;

    /** [tokens], or null without z-loss. */
    private Tensor logSumExp;

    /** @param renormalise whether the weights of the chosen experts are divided by their sum */
    public Router(LinearSlot linear, int topK, boolean renormalise) {
        this.linear = linear;
        this.topK = topK;
        this.renormalise = renormalise;
    }

    boolean isTrainable() {
        return linear.get().isTrainable();
    }

    int topK() {
        return topK;
    }

    Tensor ids() {
        return ids;
    }

    Tensor weights() {
        return weights;
    }

    void forward(Pass pass, Tensor x) {
        Slab slab = pass.slab();
        long tokens = x.dimension(0);
        probabilities = slab.floats(tokens, linear.get().out());
        ids = slab.allocate(DType.I32, tokens, topK);
        weights = slab.floats(tokens, topK);
        linear.get().forward(pass, x, probabilities);
        boolean zLoss =
                pass.routerStatistics() != null && pass.routerStatistics().hasZLoss();
        logSumExp = zLoss ? slab.floats(tokens) : null;
        RouterStatistics statistics = pass.countedStatistics();
        pass.ops()
                .routing()
                .routerForward(
                        probabilities,
                        probabilities,
                        ids,
                        weights,
                        statistics == null ? null : statistics.counts(),
                        statistics == null ? null : statistics.probabilitySums(),
                        logSumExp,
                        zLoss && statistics != null ? statistics.squareSum() : null,
                        renormalise);
        if (statistics != null) {
            statistics.addRows(tokens);
        }
    }

    /**
     * @param dWeights [tokens, topK]
     * @param dx [tokens, hidden], added to; null when nobody needs it
     */
    void backward(Pass pass, Tensor dWeights, Tensor x, Tensor dx) {
        Slab slab = pass.slab();
        long start = slab.mark();
        Tensor dLogits = slab.floats(probabilities.shape());
        RouterStatistics statistics = pass.routerStatistics();
        Tensor dProbabilities = statistics == null ? null : statistics.dProbabilities();
        pass.ops()
                .routing()
                .routerBackward(
                        probabilities,
                        ids,
                        weights,
                        dWeights,
                        dProbabilities,
                        logSumExp,
                        logSumExp == null ? 0 : statistics.zScale(),
                        dLogits,
                        renormalise);
        linear.get().backward(pass, dLogits, x, dx, true);
        slab.release(start);
    }
}
