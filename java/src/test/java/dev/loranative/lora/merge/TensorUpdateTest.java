package dev.loranative.lora.merge;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.loranative.lora.AdapterModule;
import dev.loranative.lora.FullTensor;
import dev.loranative.lora.TokenRows;
import dev.loranative.model.LinearModule;
import dev.loranative.model.LinearModule.Kind;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;

class TensorUpdateTest {

    private static final LinearModule LINEAR = new LinearModule("q", Kind.ATTENTION, 0, -1, 2, 3, true, List.of());
    private static final LinearModule EMBEDDING = new LinearModule("e", Kind.EMBEDDING, -1, -1, 4, 2, false, List.of());

    private static AdapterModule module(Optional<float[]> magnitude) {
        float[] a = {1, 0, 2, 0, 1, 1};
        float[] b = {1, 2, 3, -1};
        return new AdapterModule(LINEAR, "q", 2, 1, 0.5, a, b, Optional.empty(), magnitude);
    }

    private static void assertSame(TensorUpdate update, int rows, int columns, float[] base, double... expected) {
        float[] whole = base.clone();
        update.apply(0, rows, columns, whole);
        for (int row = 0; row < rows; row++) {
            float[] piece = new float[columns];
            double[] exact = new double[columns];
            for (int column = 0; column < columns; column++) {
                piece[column] = base[row * columns + column];
                exact[column] = piece[column];
            }
            update.apply(row, 1, columns, piece);
            update.exact(row, exact);
            for (int column = 0; column < columns; column++) {
                double wanted = expected[row * columns + column];
                assertThat(whole[row * columns + column]).isCloseTo((float) wanted, within(1e-6f));
                assertThat(piece[column]).isEqualTo(whole[row * columns + column]);
                assertThat(exact[column]).isCloseTo(wanted, within(1e-6));
            }
        }
    }

    @Test
    void lowRankAddsTheScaledProduct() {
        // B·A = [1 2 4; 3 -1 5]
        assertSame(
                new TensorUpdate.LowRank(module(Optional.empty())),
                2,
                3,
                new float[] {1, 1, 1, 2, 2, 2},
                1.5,
                2,
                3,
                3.5,
                1.5,
                4.5);
    }

    @Test
    void doraGivesEveryRowItsMagnitude() {
        double first = 10 / Math.sqrt(1.5 * 1.5 + 4 + 9);
        double second = -2 / Math.sqrt(3.5 * 3.5 + 1.5 * 1.5 + 4.5 * 4.5);
        assertSame(
                new TensorUpdate.LowRank(module(Optional.of(new float[] {10, -2}))),
                2,
                3,
                new float[] {1, 1, 1, 2, 2, 2},
                1.5 * first,
                2 * first,
                3 * first,
                3.5 * second,
                1.5 * second,
                4.5 * second);
    }

    @Test
    void anEmbeddingGetsTheTransposedProduct() {
        // A [1, 4], B [2, 1]: row v of the table gets scaling · A[v] · B.
        AdapterModule module =
                new AdapterModule(EMBEDDING, "e", 1, 2, 2, new float[] {1, 2, 3, 4}, new float[] {10, 100});
        assertSame(new TensorUpdate.LowRank(module), 4, 2, new float[8], 20, 200, 40, 400, 60, 600, 80, 800);
    }

    @Test
    void rowsAndTensorsAreReplaced() {
        assertSame(
                new TensorUpdate.RowReplacement(new TokenRows("e", List.of(2, 0), new float[] {5, 6, 7, 8})),
                3,
                2,
                new float[] {1, 1, 2, 2, 3, 3},
                7,
                8,
                2,
                2,
                5,
                6);
        assertSame(
                new TensorUpdate.Replacement(new FullTensor("n", List.of(3L), new float[] {4, 5, 6})),
                3,
                1,
                new float[3],
                4,
                5,
                6);
        assertSame(new TensorUpdate.BiasShift(new float[] {2, 4}, 0.5), 2, 1, new float[] {1, 1}, 2, 3);
    }
}
