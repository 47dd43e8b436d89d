package dev.loranative.lora;

import dev.loranative.model.LinearModule;
import java.util.Optional;

/**
 * The trained update of one module: {@code scaling · B · A}. For an embedding, whose {@code out} is the vocabulary and
 * {@code in} the width, A and B change places as in PEFT: A is [r, out], B is [in, r].
 *
 * @param name the module's name in the file: its name in the checkpoint or an alias; written back as it was read
 * @param r rank
 * @param alpha numerator of the scaling
 * @param scaling alpha/r, with rsLoRA alpha/sqrt(r)
 * @param a [r, in], row major; the array is not copied
 * @param b [out, r], row major; the array is not copied
 * @param bias [out], with {@code lora_bias}: added to B's result before the scaling
 * @param magnitude [out], with DoRA
 */
public record AdapterModule(
        LinearModule module,
        String name,
        int r,
        double alpha,
        double scaling,
        float[] a,
        float[] b,
        Optional<float[]> bias,
        Optional<float[]> magnitude) {

    public AdapterModule {
        boolean embedding = module.kind() == LinearModule.Kind.EMBEDDING;
        long columns = embedding ? module.out() : module.in();
        long rows = embedding ? module.in() : module.out();
        if (a.length != r * columns || b.length != rows * r) {
            throw new IllegalArgumentException(name + ": A has " + a.length + " and B " + b.length + " numbers; rank "
                    + r + " of " + module.out() + "x" + module.in() + " needs others");
        }
    }

    /** Without bias and magnitude. */
    public AdapterModule(LinearModule module, String name, int r, double alpha, double scaling, float[] a, float[] b) {
        this(module, name, r, alpha, scaling, a, b, Optional.empty(), Optional.empty());
    }

    /** A target with its values, under its name in the checkpoint. */
    public static AdapterModule of(Target target, float[] a, float[] b) {
        return new AdapterModule(
                target.module(), target.module().name(), target.r(), target.alpha(), target.scaling(), a, b);
    }

    /** Trained numbers. */
    public long parameters() {
        return (long) a.length
                + b.length
                + bias.map(values -> values.length).orElse(0)
                + magnitude.map(values -> values.length).orElse(0);
    }
}
