package dev.loranative.lora;

import java.util.List;

/**
 * Rows of an embedding that are trained as they are.
 *
 * @param module the embedding's name in the checkpoint, without {@code .weight}
 * @param indices numbers of the rows
 * @param width numbers in a row
 */
public record TokenTarget(String module, List<Integer> indices, long width) {

    public TokenTarget {
        indices = List.copyOf(indices);
    }

    /** Trainable numbers. */
    public long parameters() {
        return indices.size() * width;
    }
}
