package dev.loranative.train;

import dev.loranative.config.ModelOptions;

/**
 * Weights of the routers' losses.
 *
 * @param auxiliary of the load-balancing loss
 * @param z of the z-loss
 */
record RouterCoefficients(double auxiliary, double z) {

    /** Of a whole optimizer step. */
    static RouterCoefficients of(ModelOptions options) {
        return new RouterCoefficients(options.routerAuxLossCoef(), options.routerZLossCoef());
    }

    /** Of one of a step's micro-batches: the step has their mean, however many they are. */
    RouterCoefficients shared(int microBatches) {
        return new RouterCoefficients(auxiliary / microBatches, z / microBatches);
    }

    boolean areOn() {
        return auxiliary > 0 || z > 0;
    }
}
