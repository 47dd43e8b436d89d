package dev.loranative.data;

import java.util.Arrays;
import java.util.List;

/**
 * One micro-batch: whole sequences laid end to end, without padding.
 *
 * @param ids [tokens]
 * @param positions [tokens], from 0 in each sequence
 * @param sequenceOffsets [sequences + 1]: sequence s is the tokens from {@code sequenceOffsets[s]} up to the next offset
 * @param labels [tokens], already shifted: the token that position i is to predict, or {@link Sample#IGNORED}; always
 *     ignored at the last token of a sequence
 * @param targets how many labels count
 */
public record Batch(int[] ids, int[] positions, int[] sequenceOffsets, int[] labels, int targets) {

    /** @param samples at least one, each with at least one token */
    public static Batch of(List<Sample> samples) {
        if (samples.isEmpty()) {
            throw new IllegalArgumentException("a batch needs a sample");
        }
        int tokens = 0;
        for (Sample sample : samples) {
            tokens = Math.addExact(tokens, sample.tokens());
        }
        int[] ids = new int[tokens];
        int[] positions = new int[tokens];
        int[] labels = new int[tokens];
        int[] offsets = new int[samples.size() + 1];
        int targets = 0;
        int start = 0;
        for (int s = 0; s < samples.size(); s++) {
            Sample sample = samples.get(s);
            int length = sample.tokens();
            System.arraycopy(sample.ids(), 0, ids, start, length);
            System.arraycopy(sample.labels(), 1, labels, start, length - 1);
            labels[start + length - 1] = Sample.IGNORED;
            for (int i = 0; i < length; i++) {
                positions[start + i] = i;
            }
            targets += sample.targets();
            start += length;
            offsets[s + 1] = start;
        }
        return new Batch(ids, positions, offsets, labels, targets);
    }

    public int tokens() {
        return ids.length;
    }

    public int sequences() {
        return sequenceOffsets.length - 1;
    }

    public int longestSequence() {
        int longest = 0;
        for (int s = 0; s < sequences(); s++) {
            longest = Math.max(longest, sequenceOffsets[s + 1] - sequenceOffsets[s]);
        }
        return longest;
    }

    @Override
    public String toString() {
        return "Batch[" + sequences() + " sequences, " + tokens() + " tokens, " + targets + " targets, offsets "
                + Arrays.toString(sequenceOffsets) + "]";
    }
}
