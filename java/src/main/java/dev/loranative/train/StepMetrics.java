package dev.loranative.train;

/**
 * What one optimizer step measured: a line of {@code metrics.jsonl}.
 *
 * @param step from 1
 * @param epoch epochs done after the step, a fraction
 * @param loss mean over the step's label tokens before the update, plus the routers' losses where those are on
 * @param auxLoss the auxiliary loss alone, as it entered {@code loss}; NaN where it is off
 * @param zLoss the routers' z-loss alone, as it entered {@code loss}; NaN where it is off
 * @param gradNorm global norm before clipping
 * @param learningRate used by this step
 * @param tokens tokens of the step, labelled or not
 * @param stepMillis wall time of the step
 * @param memoryBytes memory of the process (CPU) or the device
 */
public record StepMetrics(
        int step,
        double epoch,
        double loss,
        double auxLoss,
        double zLoss,
        double gradNorm,
        double learningRate,
        long tokens,
        double stepMillis,
        long memoryBytes) {

    public double tokensPerSecond() {
        return stepMillis > 0 ? tokens / stepMillis * 1000 : 0;
    }

    public boolean hasAuxLoss() {
        return !Double.isNaN(auxLoss);
    }

    public boolean hasZLoss() {
        return !Double.isNaN(zLoss);
    }
}
