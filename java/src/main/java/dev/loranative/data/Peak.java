package dev.loranative.data;

import java.util.Arrays;

/**
 * The most that any micro-batch of a run needs, each value on its own: they may come from different micro-batches.
 *
 * @param tokens most tokens
 * @param targets most labels that count
 * @param longestSequence most tokens of one sequence
 * @param sequences most sequences
 */
public record Peak(int tokens, int targets, int longestSequence, int sequences) {

    /**
     * A made-up micro-batch that is at least as large in every respect, for planning memory without running. Ids are 0.
     */
    public Batch batch() {
        // The maxima may be of different micro-batches: one long sequence and many short ones must still fit together.
        int total = Math.max(tokens, longestSequence + sequences - 1);
        int[] positions = new int[total];
        int[] offsets = new int[sequences + 1];
        int start = 0;
        for (int s = 0; s < sequences; s++) {
            int length = Math.min(longestSequence, total - start - (sequences - 1 - s));
            for (int i = 0; i < length; i++) {
                positions[start + i] = i;
            }
            start += length;
            offsets[s + 1] = start;
        }
        if (start != total) {
            throw new IllegalStateException(
                    this + " cannot be one batch: " + start + " of " + total + " tokens placed");
        }
        int[] labels = new int[total];
        Arrays.fill(labels, Math.min(targets, total), total, Sample.IGNORED);
        return new Batch(new int[total], positions, offsets, labels, Math.min(targets, total));
    }
}
