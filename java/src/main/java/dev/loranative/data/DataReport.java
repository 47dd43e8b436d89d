package dev.loranative.data;

import java.util.List;

/**
 * What reading a data set did, beyond the samples themselves.
 *
 * @param samples samples kept
 * @param tokens tokens of all samples kept
 * @param targets tokens that are predicted and counted
 * @param truncated samples kept that lost their end
 * @param droppedUnlabelled samples left out because no label remained within {@code max_length}
 * @param droppedEmpty samples left out because their text has no tokens
 * @param warnings what the user should know, one line each, with the first place where it happened
 */
public record DataReport(
        int samples,
        long tokens,
        long targets,
        int truncated,
        int droppedUnlabelled,
        int droppedEmpty,
        List<String> warnings) {

    public DataReport {
        warnings = List.copyOf(warnings);
    }
}
