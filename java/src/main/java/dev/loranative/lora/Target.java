package dev.loranative.lora;

import dev.loranative.model.LinearModule;

/**
 * One linear module that gets an update {@code scaling · B · A}.
 *
 * @param r rank: A is [r, in], B is [out, r]
 * @param alpha numerator of the scaling
 * @param scaling alpha/r, with rsLoRA alpha/sqrt(r)
 * @param dropout probability with which an input of A is dropped in training
 */
public record Target(LinearModule module, int r, double alpha, double scaling, double dropout) {

    /** Trainable numbers: r·in + out·r. */
    public long parameters() {
        return r * module.in() + module.out() * r;
    }
}
