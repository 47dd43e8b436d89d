package dev.loranative.model;

import dev.loranative.errors.UserException;
import java.util.List;

/**
 * The mixture of experts of a model.
 *
 * @param experts routed experts of each sparse layer
 * @param topK experts that each token visits
 * @param intermediateSize width of a routed expert
 * @param sharedIntermediateSize width of the expert that every token visits; 0 for none
 * @param renormalise whether the weights of the chosen experts are divided by their sum
 * @param auxLossCoefficient {@code router_aux_loss_coef}: weight of the load-balancing loss
 * @param auxLossOn {@code output_router_logits}: whether transformers adds that loss when it trains this model
 * @param sparse for every layer, whether it has experts or a plain MLP
 */
public record MoeConfig(
        int experts,
        int topK,
        int intermediateSize,
        int sharedIntermediateSize,
        boolean renormalise,
        double auxLossCoefficient,
        boolean auxLossOn,
        List<Boolean> sparse) {

    /** @throws UserException for sizes that make no model */
    public MoeConfig {
        sparse = List.copyOf(sparse);
        ModelConfig.requirePositive(experts, "num_experts");
        ModelConfig.requirePositive(topK, "num_experts_per_tok");
        ModelConfig.requirePositive(intermediateSize, "the intermediate size of the experts");
        if (topK > experts) {
            throw ModelConfig.wrong("num_experts_per_tok is " + topK + ", more than the " + experts + " experts");
        }
        if (sharedIntermediateSize < 0) {
            throw ModelConfig.wrong("shared_expert_intermediate_size is " + sharedIntermediateSize);
        }
        if (!(auxLossCoefficient >= 0) || Double.isInfinite(auxLossCoefficient)) {
            throw ModelConfig.wrong("router_aux_loss_coef is " + auxLossCoefficient + ", but must not be negative");
        }
        // A limit far above any model: beyond it the module tree alone would fill the memory.
        if ((long) experts * sparse.size() > 4_000_000) {
            throw ModelConfig.wrong("num_experts is " + experts + " in " + sparse.size() + " layers, too many");
        }
    }
}
