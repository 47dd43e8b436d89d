package dev.loranative.lora.merge;

import dev.loranative.checkpoint.TensorPlan;
import java.util.List;

/**
 * A tensor of the merged model.
 *
 * @param plan its name, type and shape
 * @param source name of the base model's tensor that it begins as; another one's only for a head that was tied
 * @param updates applied in this order; none for a tensor that stays
 * @param rounded whether its type cannot hold the exact values, so that writing it rounds
 */
record MergedTensor(TensorPlan plan, String source, List<TensorUpdate> updates, boolean rounded) {

    /** Elements that are read, changed and written at a time. */
    private static final int PIECE = 1 << 20;

    MergedTensor {
        updates = List.copyOf(updates);
    }

    String name() {
        return plan.name();
    }

    /** Numbers in a row; 1 for a vector. */
    int columns() {
        return plan.shape().size() < 2 ? 1 : Math.toIntExact(plan.shape().getLast());
    }

    long rows() {
        return plan.elements() == 0 ? 0 : plan.elements() / columns();
    }

    /** Takes rows [first, first + count), which lie at the start of the array. */
    @FunctionalInterface
    interface Rows {
        void take(long first, int count, float[] values);
    }

    /** The values in float32, before they are rounded to the tensor's type, a piece after the other. */
    void forEachPiece(WeightSource base, RowBuffer buffer, Rows rows) {
        pieces(base, buffer, (first, count, values) -> {
            updates.forEach(update -> update.apply(first, count, columns(), values));
            rows.take(first, count, values);
        });
    }

    /** The same pieces before the updates. */
    void pieces(WeightSource base, RowBuffer buffer, Rows rows) {
        int columns = columns();
        int step = (int) Math.min(Math.max(1, PIECE / columns), Math.max(1, rows()));
        float[] values = buffer.atLeast(Math.multiplyExact(step, columns));
        for (long first = 0; first < rows(); first += step) {
            int count = (int) Math.min(step, rows() - first);
            base.read(source, first * columns, values, count * columns);
            rows.take(first, count, values);
        }
    }
}
