package dev.loranative.train;

import dev.loranative.nn.RouterStatistics;
import dev.loranative.tensor.DType;
import dev.loranative.tensor.Ops;
import dev.loranative.tensor.Slab;
import dev.loranative.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * What the micro-batches of an optimizer step sum up on the device, at the bottom of the slab, where it stays until the
 * step is over. The host reads it once, behind the update: within a step it waits for nothing.
 */
final class StepSums {

    private final Ops ops;
    private final Slab slab;
    private final RouterCoefficients coefficients;
    /**
     * F64, each written before it is read: the sum of the gradients' squares; then of every micro-batch the sum of its
     * losses and, where routing is counted, {@link RouterStatistics}' two.
     */
    private final Tensor values;
    /** I64 [micro-batches, experts], or null where routing is not counted. */
    private final Tensor choices;

    private final int ofMicroBatch;
    private final long bottom;
    private final List<RouterStatistics> routers = new ArrayList<>();
    private int begun;

    /**
     * Empties the slab.
     *
     * @param microBatches of the step
     * @param experts of the model; read where the coefficients are on
     * @param coefficients of one micro-batch
     */
    StepSums(Ops ops, Slab slab, int microBatches, long experts, RouterCoefficients coefficients) {
        this.ops = ops;
        this.slab = slab;
        this.coefficients = coefficients;
        slab.release(0);
        this.ofMicroBatch = coefficients.areOn() ? 3 : 1;
        this.values = slab.allocate(DType.F64, 1 + (long) ofMicroBatch * microBatches);
        this.choices = coefficients.areOn() ? slab.allocate(DType.I64, microBatches, experts) : null;
        this.bottom = slab.mark();
    }

    /**
     * The next micro-batch: what the one before left in the slab is given up.
     *
     * @return null where routing is not counted
     */
    RouterStatistics begin() {
        slab.release(bottom);
        begun++;
        if (choices == null) {
            return null;
        }
        RouterStatistics statistics = new RouterStatistics(
                ops,
                slab,
                choices.rows(begun - 1, 1).reshape(choices.dimension(1)),
                values.range(first(begun - 1) + 1, 2),
                (float) coefficients.auxiliary(),
                (float) coefficients.z());
        routers.add(statistics);
        return statistics;
    }

    /** F64 [1]: the sum of the losses of the micro-batch that was begun last. */
    Tensor lossSum() {
        return values.range(first(begun - 1), 1);
    }

    /** For the optimizer: see {@link dev.loranative.optim.AdamW#step}. */
    Tensor values() {
        return values;
    }

    private long first(int microBatch) {
        return 1 + (long) ofMicroBatch * microBatch;
    }

    /**
     * The sums of a step.
     *
     * @param finite whether the optimizer took the step
     * @param lossSum over all targets
     * @param auxiliaryLoss weighted; 0 where routing is not counted
     * @param zLoss weighted; 0 where routing is not counted
     * @param gradientNorm before clipping
     * @param choices tokens per expert, summed over layers, of each micro-batch; none where routing is not counted
     */
    record Totals(
            boolean finite,
            double lossSum,
            double auxiliaryLoss,
            double zLoss,
            double gradientNorm,
            List<long[]> choices) {}

    /** Waits for the device. */
    Totals read() {
        double[] read = values.toDoubles(ops.device());
        double lossSum = 0;
        double auxiliaryLoss = 0;
        double zLoss = 0;
        for (int i = 0; i < begun; i++) {
            int first = (int) first(i);
            lossSum += read[first];
            if (choices != null) {
                auxiliaryLoss += coefficients.auxiliary() * read[first + 1];
                zLoss += coefficients.z() * routers.get(i).zLoss(read[first + 2]);
            }
        }
        return new Totals(
                Arrays.stream(read).allMatch(Double::isFinite),
                lossSum,
                auxiliaryLoss,
                zLoss,
                Math.sqrt(read[0]),
                readChoices());
    }

    private List<long[]> readChoices() {
        List<long[]> read = new ArrayList<>();
        if (choices != null) {
            long[] all = choices.toLongs(ops.device());
            int experts = (int) choices.dimension(1);
            for (int i = 0; i < begun; i++) {
                read.add(Arrays.copyOfRange(all, i * experts, (i + 1) * experts));
            }
        }
        return read;
    }
}
