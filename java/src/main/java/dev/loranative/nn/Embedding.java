package dev.loranative.nn;

import dev.loranative.tensor.Products;
import dev.loranative.tensor.Slab;
import dev.loranative.tensor.Tensor;

/**
 * The token embedding, with what may be trained of it: the table itself, a few of its rows, or a low-rank update
 * {@code y[t] += scale * b . a[ids[t]]}.
 */
public final class Embedding {

    private Tensor table;
    private Tensor gradTable;
    private TrainedRows rows;
    private Products.Lora lora;

    /** @param table [vocabulary, width] */
    public Embedding(Tensor table) {
        this.table = table;
    }

    /** [vocabulary, width]. */
    public Tensor table() {
        return table;
    }

    public long width() {
        return table.dimension(1);
    }

    /**
     * Puts another table into the place of this one.
     *
     * @param gradient like the table, or null when frozen
     */
    public void replaceTable(Tensor newTable, Tensor gradient) {
        this.table = newTable;
        this.gradTable = gradient;
    }

    public void replaceRows(TrainedRows trained) {
        this.rows = trained;
    }

    /** @param adapter its a is [vocabulary, rank], the transpose of PEFT's, its b [width, rank] */
    public void adapt(Products.Lora adapter) {
        this.lora = adapter;
    }

    public boolean isTrainable() {
        return gradTable != null || (rows != null && rows.isTrainable()) || (lora != null && lora.gradA() != null);
    }

    /** @param y [tokens, width], written */
    public void forward(Pass pass, Tensor y) {
        pass.ops().norms().embeddingForward(table, pass.tokens().ids(), y);
        if (rows != null) {
            rows.embed(pass, y);
        }
        if (lora != null) {
            Slab slab = pass.slab();
            long start = slab.mark();
            pass.ops().products().matmul(lowRank(pass), false, lora.b(), true, y, lora.scale(), 1);
            slab.release(start);
        }
    }

    /** @param dy [tokens, width] */
    public void backward(Pass pass, Tensor dy) {
        if (gradTable != null) {
            pass.ops().norms().embeddingBackward(dy, pass.tokens().ids(), gradTable);
        }
        if (rows != null) {
            rows.embedBackward(pass, dy);
        }
        if (lora != null && lora.gradA() != null) {
            Slab slab = pass.slab();
            long start = slab.mark();
            pass.ops().products().matmul(dy, true, lowRank(pass), false, lora.gradB(), lora.scale(), 1);
            Tensor v = slab.floats(pass.count(), lora.b().dimension(1));
            pass.ops().products().matmul(dy, false, lora.b(), false, v, lora.scale(), 0);
            pass.ops().norms().embeddingBackward(v, pass.tokens().ids(), lora.gradA());
            slab.release(start);
        }
    }

    /** a[ids[t]], [tokens, rank]. */
    private Tensor lowRank(Pass pass) {
        Tensor u = pass.slab().floats(pass.count(), lora.b().dimension(1));
        pass.ops().norms().embeddingForward(lora.a(), pass.tokens().ids(), u);
        return u;
    }
}
