package dev.loranative.data;

import java.util.OptionalInt;

/**
 * How rows become samples.
 *
 * @param maxLength {@code max_length}: longer samples lose their end; empty for no limit but the model's
 * @param modelMaximum the model's {@code max_position_embeddings}, the longest sequence it can take
 * @param vocabularySize the model's {@code vocab_size}; ids and labels lie below it
 * @param completionOnlyLoss {@code completion_only_loss}: of prompt and completion, only the latter is learnt
 */
public record SampleOptions(OptionalInt maxLength, int modelMaximum, int vocabularySize, boolean completionOnlyLoss) {

    public SampleOptions {
        if (maxLength.isPresent() && maxLength.getAsInt() < 1) {
            throw new IllegalArgumentException("max_length " + maxLength.getAsInt() + " is below 1");
        }
        if (modelMaximum < 1 || vocabularySize < 1) {
            throw new IllegalArgumentException(
                    "model maximum " + modelMaximum + " and vocabulary " + vocabularySize + " must be positive");
        }
    }

    /** The longest text, in tokens. */
    int textLimit() {
        return Math.min(maxLength.orElse(modelMaximum), modelMaximum);
    }
}
