package dev.loranative.lora;

import java.util.List;

/**
 * Rows of an embedding that an adapter replaces ({@code trainable_token_indices}).
 *
 * @param module the embedding's name in the checkpoint, without {@code .weight}
 * @param indices numbers of the rows, in the order of the values
 * @param values [indices, width], row major; the array is not copied
 */
public record TokenRows(String module, List<Integer> indices, float[] values) {

    public TokenRows {
        indices = List.copyOf(indices);
    }
}
