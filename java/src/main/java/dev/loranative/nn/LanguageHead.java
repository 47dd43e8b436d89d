package dev.loranative.nn;

import dev.loranative.tensor.Ops;
import dev.loranative.tensor.Slab;
import dev.loranative.tensor.Tensor;

/**
 * The output layer and its loss. Logits exist for a chunk of rows at a time, never for a whole batch; the gradient of a
 * chunk is computed while its logits are there.
 */
public final class LanguageHead {

    /** Logits of a chunk take about this much, so that they stay near the caches and out of the memory plan. */
    private static final long CHUNK_BYTES = 32L << 20;

    private static final long SMALLEST_CHUNK = 64;
    private static final long LARGEST_CHUNK = 1024;

    private final LinearSlot linear;
    private TrainedRows trainedRows;

    public LanguageHead(LinearSlot linear) {
        this.linear = linear;
    }

    /** Rows of the weight that stand in for its own; those of the embedding where the two are tied. */
    public void replaceRows(TrainedRows trained) {
        this.trainedRows = trained;
    }

    public boolean isTrainable() {
        return linear.get().isTrainable() || (trainedRows != null && trainedRows.isTrainable());
    }

    public long vocabulary() {
        return linear.get().out();
    }

    /**
     * @param x [rows, hidden]
     * @param logits [rows, vocabulary], written
     */
    public void logits(Pass pass, Tensor x, Tensor logits) {
        linear.get().forward(pass, x, logits);
        if (trainedRows != null) {
            trainedRows.project(pass, x, logits);
        }
    }

    /**
     * Cross-entropy of every labelled row, and its gradient.
     *
     * @param x [tokens, hidden]
     * @param losses [labels.count()], written
     * @param gradientScale factor of the gradient, such as 1 / number of targets of the optimizer step
     * @param dx [tokens, hidden], written; null when nobody needs it
     * @param backward whether gradients are wanted at all
     */
    public void loss(
            Pass pass, Tensor x, Labels labels, Tensor losses, float gradientScale, Tensor dx, boolean backward) {
        Ops ops = pass.ops();
        Slab slab = pass.slab();
        if (dx != null) {
            ops.clear(dx);
        }
        long chunk = chunkRows();
        for (long first = 0; first < labels.count(); first += chunk) {
            long rows = Math.min(chunk, labels.count() - first);
            long start = slab.mark();
            pass.setChunk((int) (first / chunk));
            Tensor index = labels.rows().range(first, rows);
            Tensor selected = slab.floats(rows, x.dimension(1));
            Tensor logits = slab.floats(rows, vocabulary());
            ops.routing().gatherRows(x, index, selected);
            logits(pass, selected, logits);
            ops.losses()
                    .crossEntropy(
                            logits,
                            labels.ids().range(first, rows),
                            losses.range(first, rows),
                            gradientScale,
                            backward);
            if (backward) {
                Tensor dSelected = dx == null ? null : slab.floats(selected.shape());
                linear.get().backward(pass, logits, selected, dSelected, false);
                if (trainedRows != null) {
                    trainedRows.projectBackward(pass, logits, selected, dSelected);
                }
                if (dx != null) {
                    ops.routing().scatterRows(dSelected, index, dx);
                }
            }
            slab.release(start);
        }
        pass.setChunk(0);
    }

    private long chunkRows() {
        return Math.clamp(CHUNK_BYTES / (4 * vocabulary()), SMALLEST_CHUNK, LARGEST_CHUNK);
    }
}
