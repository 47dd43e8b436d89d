package dev.loranative.config;

/**
 * AdamW with decoupled weight decay.
 *
 * @param learningRate the schedule's highest
 * @param maxGradNorm global norm that gradients are scaled down to; 0: off
 */
public record OptimizerOptions(
        double learningRate, double weightDecay, double beta1, double beta2, double epsilon, double maxGradNorm) {

    static OptimizerOptions from(ConfigValues values) {
        return new OptimizerOptions(
                values.get(TrainKeys.LEARNING_RATE),
                values.get(TrainKeys.WEIGHT_DECAY),
                values.get(TrainKeys.ADAM_BETA1),
                values.get(TrainKeys.ADAM_BETA2),
                values.get(TrainKeys.ADAM_EPSILON),
                values.get(TrainKeys.MAX_GRAD_NORM));
    }
}
