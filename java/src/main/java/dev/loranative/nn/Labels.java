package dev.loranative.nn;

import dev.loranative.tensor.DType;
import dev.loranative.tensor.Ops;
import dev.loranative.tensor.Slab;
import dev.loranative.tensor.Tensor;

/**
 * The positions of a micro-batch whose next token counts, and those tokens: rows without a label never reach the head.
 *
 * @param rows I32 [targets]: token positions in the batch, rising
 * @param ids I32 [targets]: the tokens to predict there
 */
public record Labels(Tensor rows, Tensor ids) {

    /** A label that does not count, as in PyTorch. */
    public static final int IGNORED = -100;

    /**
     * Allocates in the slab and copies from the host.
     *
     * @param targets for every position the token to predict there, or {@link #IGNORED}
     */
    public static Labels upload(Ops ops, Slab slab, int[] targets) {
        int[] rows = new int[targets.length];
        int[] ids = new int[targets.length];
        int count = 0;
        for (int position = 0; position < targets.length; position++) {
            if (targets[position] != IGNORED) {
                rows[count] = position;
                ids[count++] = targets[position];
            }
        }
        Labels labels = new Labels(slab.allocate(DType.I32, count), slab.allocate(DType.I32, count));
        ops.upload(java.util.Arrays.copyOf(rows, count), labels.rows);
        ops.upload(java.util.Arrays.copyOf(ids, count), labels.ids);
        return labels;
    }

    public long count() {
        return rows.size();
    }
}
