package dev.loranative.nn;

import dev.loranative.tensor.Slab;
import dev.loranative.tensor.Tensor;

/**
 * Rows of a table that stand in for the table's own: a few tokens whose embeddings are trained.
 *
 * @param index I32 [count]: distinct numbers of rows of the table
 * @param slots I32 [vocabulary]: the place of a row in {@code index}, -1 for none
 * @param original [count, width]: the table's own rows
 * @param values [count, width]
 * @param gradient like values, or null when frozen
 */
public record TrainedRows(Tensor index, Tensor slots, Tensor original, Tensor values, Tensor gradient) {

    boolean isTrainable() {
        return gradient != null;
    }

    /**
     * In the embedding: rows take the place of the table's.
     *
     * @param y [tokens, width]
     */
    void embed(Pass pass, Tensor y) {
        pass.ops().norms().embeddingRowsForward(values, slots, pass.tokens().ids(), y);
    }

    /** @param dy [tokens, width] */
    void embedBackward(Pass pass, Tensor dy) {
        if (isTrainable()) {
            pass.ops().norms().embeddingRowsBackward(dy, slots, pass.tokens().ids(), gradient);
        }
    }

    /**
     * In the head: adds what the rows differ by, so that an adapter of the head keeps its share.
     *
     * @param x [rows, width]
     * @param logits [rows, vocabulary]
     */
    void project(Pass pass, Tensor x, Tensor logits) {
        Slab slab = pass.slab();
        long start = slab.mark();
        Tensor change = slab.floats(x.dimension(0), index.size());
        pass.ops().products().matmul(x, false, difference(pass), true, change, 1, 0);
        pass.ops().routing().addColumns(change, index, logits);
        slab.release(start);
    }

    /**
     * @param dLogits [rows, vocabulary]
     * @param x what {@link #project} was given
     * @param dx [rows, width], added to; null when nobody needs it
     */
    void projectBackward(Pass pass, Tensor dLogits, Tensor x, Tensor dx) {
        Slab slab = pass.slab();
        long start = slab.mark();
        Tensor dChange = slab.floats(x.dimension(0), index.size());
        pass.ops().routing().gatherColumns(dLogits, index, dChange);
        if (isTrainable()) {
            pass.ops().products().matmul(dChange, true, x, false, gradient, 1, 1);
        }
        if (dx != null) {
            pass.ops().products().matmul(dChange, false, difference(pass), false, dx, 1, 1);
        }
        slab.release(start);
    }

    /** values - original, in the slab. */
    private Tensor difference(Pass pass) {
        Tensor difference = pass.slab().floats(values.shape());
        pass.ops().elementwise().copy(values, difference);
        pass.ops().elementwise().axpby(-1, original, 1, difference);
        return difference;
    }
}
