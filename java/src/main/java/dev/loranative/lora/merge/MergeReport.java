package dev.loranative.lora.merge;

import java.nio.file.Path;

/**
 * What a merge wrote, and how equal it is.
 *
 * @param dtype of the weights, as config.json names it; {@code mixed} if there are several
 * @param tensors in all files
 * @param bytes of all tensors
 * @param files that hold them
 * @param untied whether the head got values of its own
 * @param changed tensors that the adapter changed
 * @param worst of these the one with the largest difference to base + update
 * @param worstDifference that difference, as a share of the tensor's largest number
 * @param weightBound what rounding explains
 * @param logits comparison with base + adapter
 */
public record MergeReport(
        Path output,
        String dtype,
        int tensors,
        long bytes,
        int files,
        boolean untied,
        int changed,
        String worst,
        double worstDifference,
        double weightBound,
        LogitDifference logits) {}
