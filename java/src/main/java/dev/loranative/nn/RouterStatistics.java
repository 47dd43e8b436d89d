package dev.loranative.nn;

import dev.loranative.tensor.DType;
import dev.loranative.tensor.Ops;
import dev.loranative.tensor.Slab;
import dev.loranative.tensor.Tensor;

/**
 * What the routers of all layers counted in a forward pass, and the load-balancing loss made of it: memory proportional
 * to the number of experts (transformers' definition, all layers together).
 */
public final class RouterStatistics {

    private final Tensor counts;
    private final Tensor probabilitySums;
    private final Tensor loss;
    private final Tensor dProbabilities;
    private final float coefficient;
    private long rows;

    /** @param coefficient weight of the loss in this micro-batch's total */
    public RouterStatistics(Ops ops, Slab slab, long experts, float coefficient) {
        this.coefficient = coefficient;
        this.counts = slab.allocate(DType.I64, experts);
        this.probabilitySums = slab.allocate(DType.F64, experts);
        this.loss = slab.allocate(DType.F64, 1);
        this.dProbabilities = slab.floats(experts);
        ops.clear(counts);
        ops.clear(probabilitySums);
    }

    Tensor counts() {
        return counts;
    }

    Tensor probabilitySums() {
        return probabilitySums;
    }

    /** One router has seen that many tokens. */
    void addRows(long tokens) {
        rows += tokens;
    }

    /** Between forward and backward: the loss and its gradient. */
    public void finish(Ops ops) {
        ops.routing().loadBalancingLoss(counts, probabilitySums, rows, coefficient, loss, dProbabilities);
    }

    /** [experts]: gradient of the weighted loss with respect to any token's probabilities. */
    Tensor dProbabilities() {
        return dProbabilities;
    }

    /** F64 [1], not multiplied by the coefficient. */
    public Tensor loss() {
        return loss;
    }

    /** Tokens per expert, I64 [experts], summed over layers. */
    public Tensor tokensPerExpert() {
        return counts;
    }
}
