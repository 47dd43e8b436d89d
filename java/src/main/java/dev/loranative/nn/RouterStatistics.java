package dev.loranative.nn;

import dev.loranative.device.Device;
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
    private final Tensor loss;
    private final Tensor dProbabilities;
    private final Tensor squareSum;
    private final float coefficient;
    private final float zCoefficient;
    private long rows;

    /**
     * @param coefficient weight of the load-balancing loss in this micro-batch's total
     * @param zCoefficient weight of the z-loss in this micro-batch's total
     */
    public RouterStatistics(Ops ops, Slab slab, long experts, float coefficient, float zCoefficient) {
        this.coefficient = coefficient;
        this.zCoefficient = zCoefficient;
        this.counts = slab.allocate(DType.I64, experts);
        this.probabilitySums = slab.allocate(DType.F64, experts);
        this.loss = slab.allocate(DType.F64, 1);
        this.dProbabilities = slab.floats(experts);
        ops.clear(counts);
        this.squareSum = slab.allocate(DType.F64, 1);
        ops.clear(probabilitySums);
        ops.clear(squareSum);
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
        return squareSum;
    }

    /** Derivative of the weighted z-loss with respect to a square, times 2. */
    float zScale() {
        return 2 * zCoefficient / rows;
    }

    /** The z-loss, not multiplied by its coefficient; 0 where it is not wanted. */
    public double zLoss(Device device) {
        return squareSum.toDoubles(device)[0] / rows;
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
