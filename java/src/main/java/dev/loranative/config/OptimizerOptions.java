package dev.loranative.config;

import java.util.OptionalDouble;

/**
 * AdamW with decoupled weight decay.
 *
 * @param learningRate the schedule's highest
 * @param maxGradNorm global norm that gradients are scaled down to; 0: off
 * @param loraplusLrRatio empty: no LoRA+
 * @param loraplusLrEmbedding with LoRA+ the learning rate of low-rank updates of embeddings
 */
public record OptimizerOptions(
        double learningRate,
        double weightDecay,
        double beta1,
        double beta2,
        double epsilon,
        double maxGradNorm,
        OptionalDouble loraplusLrRatio,
        double loraplusLrEmbedding) {

    static OptimizerOptions from(ConfigValues values) {
        Double ratio = values.get(TrainKeys.LORAPLUS_LR_RATIO);
        return new OptimizerOptions(
                values.get(TrainKeys.LEARNING_RATE),
                values.get(TrainKeys.WEIGHT_DECAY),
                values.get(TrainKeys.ADAM_BETA1),
                values.get(TrainKeys.ADAM_BETA2),
                values.get(TrainKeys.ADAM_EPSILON),
                values.get(TrainKeys.MAX_GRAD_NORM),
                ratio == null ? OptionalDouble.empty() : OptionalDouble.of(ratio),
                values.get(TrainKeys.LORAPLUS_LR_EMBEDDING));
    }
}
