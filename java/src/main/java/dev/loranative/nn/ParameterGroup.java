package dev.loranative.nn;

import java.util.Comparator;

/**
 * Parameters that the optimizer treats alike.
 *
 * @param decays whether weight decay shrinks them
 */
public record ParameterGroup(Rate rate, boolean decays) implements Comparable<ParameterGroup> {

    /** Which learning rate holds. */
    public enum Rate {
        /** The run's. */
        COMMON,
        /** That of LoRA+ for matrices B and for vectors. */
        LORA_B,
        /** That of LoRA+ for low-rank updates of embeddings. */
        EMBEDDING
    }

    /** Where nothing is set apart. */
    public static final ParameterGroup ALL = new ParameterGroup(Rate.COMMON, true);

    @Override
    public int compareTo(ParameterGroup other) {
        return Comparator.comparing(ParameterGroup::rate)
                .thenComparing(group -> !group.decays())
                .compare(this, other);
    }
}
