package dev.loranative.lora;

import dev.loranative.model.LinearModule;

/**
 * The trained update of one module: {@code scaling · B · A}.
 *
 * @param name the module's name in the file: its name in the checkpoint or an alias; written back as it was read
 * @param r rank
 * @param alpha numerator of the scaling
 * @param scaling alpha/r, with rsLoRA alpha/sqrt(r)
 * @param a [r, in], row major; the array is not copied
 * @param b [out, r], row major; the array is not copied
 */
public record AdapterModule(
        LinearModule module, String name, int r, double alpha, double scaling, float[] a, float[] b) {

    public AdapterModule {
        if (a.length != r * module.in() || b.length != module.out() * r) {
            throw new IllegalArgumentException(name + ": A has " + a.length + " and B " + b.length + " numbers; rank "
                    + r + " of " + module.out() + "x" + module.in() + " needs others");
        }
    }

    /** A target with its values, under its name in the checkpoint. */
    public static AdapterModule of(Target target, float[] a, float[] b) {
        return new AdapterModule(
                target.module(), target.module().name(), target.r(), target.alpha(), target.scaling(), a, b);
    }
}
