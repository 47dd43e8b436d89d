package dev.loranative.nn;

import dev.loranative.tensor.DType;
import dev.loranative.tensor.Ops;
import dev.loranative.tensor.Slab;
import dev.loranative.tensor.Tensor;

/**
 * What the routers of all layers counted in a forward pass, and the losses made of it: memory proportional to the number
 * of experts.
 *
 * <p>The load-balancing loss is transformers' (all layers together). The z-loss is the mean, over the tokens of all layers
 * together, of the squared logarithm of the sum of the exponentials of a router's logits (ST-MoE, Zoph et al. 2022,
 * arXiv:2202.08906).
 */
public final class RouterStatistics {

    private final Tensor counts;
    private final Tensor probabilitySums;
    private final Tensor losses;
    private final Tensor dProbabilities;
    private final float coefficient;
    private final float zCoefficient;
    private long rows;

    /**
     * @param counts I64 [experts], filled: tokens per expert, summed over layers
     * @param losses F64 [2], filled: the load-balancing loss, not multiplied by its coefficient, and the sum that
     *     {@link #zLoss} is made of
     * @param coefficient weight of the load-balancing loss in this micro-batch's total
     * @param zCoefficient weight of the z-loss in this micro-batch's total
     */
    public RouterStatistics(Ops ops, Slab slab, Tensor counts, Tensor losses, float coefficient, float zCoefficient) {
        this.coefficient = coefficient;
        this.zCoefficient = zCoefficient;
        this.counts = counts;
        this.losses = losses;
        this.probabilitySums = slab.allocate(DType.F64, counts.size());
        this.dProbabilities = slab.floats(counts.size());
        ops.clear(counts);
        ops.clear(losses);
        ops.clear(probabilitySums);
    }

    Tensor counts() {
        return counts;
    }

    Tensor probabilitySums() {
        return probabilitySums;
    }

    /** Whether the z-loss is wanted: routers then keep the logarithms of their sums. */
    boolean hasZLoss() {
        return zCoefficient != 0;
    }

    /** F64 [1]: sum of the squared logarithms. */
    Tensor squareSum() {
        return losses.range(1, 1);
    }

    /** Derivative of the weighted z-loss with respect to a square, times 2. */
    float zScale() {
        return 2 * zCoefficient / rows;
    }

    /**
     * The z-loss, not multiplied by its coefficient; 0 where it is not wanted.
     *
     * @param squareSum the second of the losses
     */
    public double zLoss(double squareSum) {
        return squareSum / rows;
    }

    /** One router has seen that many tokens. */
    void addRows(long tokens) {
        rows += tokens;
    }

    /** Between forward and backward: the loss and its gradient. */
    public void finish(Ops ops) {
        ops.routing().loadBalancingLoss(counts, probabilitySums, rows, coefficient, losses.range(0, 1), dProbabilities);
    }

    /** [experts]: gradient of the weighted loss with respect to any token's probabilities. */
    Tensor dProbabilities() {
        return dProbabilities;
    }
}
