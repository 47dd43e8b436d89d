package dev.loranative.lora;

import dev.loranative.model.LinearModule;

/**
 * One linear module that gets an update {@code scaling · B · A}; for an embedding see {@link AdapterModule}.
 *
 * @param r rank: A is [r, in], B is [out, r]
 * @param alpha numerator of the scaling
 * @param scaling alpha/r, with rsLoRA alpha/sqrt(r)
 * @param dropout probability with which an input of A is dropped in training
 * @param dora whether the length of every weight row is trained too: [out]
 * @param bias whether B has a bias: [out]
 */
public record Target(
        LinearModule module, int r, double alpha, double scaling, double dropout, boolean dora, boolean bias) {

    /** Trainable numbers: r·in + out·r, and out for each of DoRA and the bias. */
    public long parameters() {
        return r * module.in() + module.out() * r + (dora ? module.out() : 0) + (bias ? module.out() : 0);
    }
}
