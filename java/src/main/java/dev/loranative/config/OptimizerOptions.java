package dev.loranative.config;

import java.util.OptionalDouble;
import java.util.Set;

/**
 * AdamW with decoupled weight decay.
 *
 * @param learningRate the schedule's highest
 * @param maxGradNorm global norm that gradients are scaled down to; 0: off
 * @param loraplusLrRatio empty: no LoRA+
 * @param loraplusLrEmbedding with LoRA+ the learning rate of low-rank updates of embeddings
 * @param eightBit whether the moments are kept in 8 bits
 */
public record OptimizerOptions(
        double learningRate,
        double weightDecay,
        double beta1,
        double beta2,
        double epsilon,
        double maxGradNorm,
        OptionalDouble loraplusLrRatio,
        double loraplusLrEmbedding,
        boolean eightBit) {

    /** Values of {@code optim}: AdamW with moments in float32. */
    static final Set<String> FLOAT_MOMENTS = Set.of("adamw", "adamw_torch", "adamw_torch_fused", "adamw_hf");

    /** With moments in 8 bits; transformers' names of the paged one too, as paging changes no number. */
    static final Set<String> EIGHT_BIT_MOMENTS = Set.of("adamw_8bit", "adamw_bnb_8bit", "paged_adamw_8bit");

    public static OptimizerOptions from(ConfigValues values) {
        Double ratio = values.get(TrainKeys.LORAPLUS_LR_RATIO);
        return new OptimizerOptions(
                values.get(TrainKeys.LEARNING_RATE),
                values.get(TrainKeys.WEIGHT_DECAY),
                values.get(TrainKeys.ADAM_BETA1),
                values.get(TrainKeys.ADAM_BETA2),
                values.get(TrainKeys.ADAM_EPSILON),
                values.get(TrainKeys.MAX_GRAD_NORM),
                ratio == null ? OptionalDouble.empty() : OptionalDouble.of(ratio),
                values.get(TrainKeys.LORAPLUS_LR_EMBEDDING),
                EIGHT_BIT_MOMENTS.contains(values.get(TrainKeys.OPTIM)));
    }
}
