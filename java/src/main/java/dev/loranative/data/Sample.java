package dev.loranative.data;

/**
 * One sequence to train on.
 *
 * @param ids token ids, [tokens]
 * @param labels what each token counts as when it is the one to be predicted, [tokens]: a token id, or {@link #IGNORED};
 *     not shifted, so the first label is never used (nothing comes before it)
 * @param place where it was read
 */
public record Sample(int[] ids, int[] labels, Place place) {

    /** The label that does not count, as in torch's cross-entropy. */
    public static final int IGNORED = -100;

    public Sample {
        if (ids.length != labels.length) {
            throw new IllegalArgumentException(ids.length + " ids but " + labels.length + " labels at " + place);
        }
    }

    public int tokens() {
        return ids.length;
    }

    /** Tokens that are predicted and counted: transformers' {@code (labels[1:] != -100).sum()}. */
    public int targets() {
        int targets = 0;
        for (int i = 1; i < labels.length; i++) {
            if (labels[i] != IGNORED) {
                targets++;
            }
        }
        return targets;
    }

    boolean hasLabels() {
        for (int label : labels) {
            if (label != IGNORED) {
                return true;
            }
        }
        return false;
    }
}
