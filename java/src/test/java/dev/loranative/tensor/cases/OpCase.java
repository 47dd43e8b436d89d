package dev.loranative.tensor.cases;

import dev.loranative.tensor.Bench;
import dev.loranative.tensor.DType;
import java.util.Locale;
import java.util.function.Function;

/**
 * One op at one shape.
 *
 * @param op the function of {@code lora_native.h} without its prefix, or what is compared with it
 * @param shape for people, as {@code 33x17x7}; what distinguishes it from other cases of the op is in here
 * @param dtype of the weights, F32 for ops without
 * @param use what the shape is good for
 * @param prepare puts the case onto a bench
 */
public record OpCase(
        Family family, String op, String shape, DType dtype, Use use, Work work, Function<Bench, OpRun> prepare) {

    /** Shapes to check are small and at the edges of tiles; those to time are what models have. */
    public enum Use {
        CHECK,
        TIME
    }

    /** Unique in the table. */
    public String name() {
        return op + " " + shape + (dtype == DType.F32 ? "" : " " + dtype.name().toLowerCase(Locale.ROOT));
    }

    public OpRun on(Bench bench) {
        return prepare.apply(bench);
    }

    @Override
    public String toString() {
        return name();
    }
}
