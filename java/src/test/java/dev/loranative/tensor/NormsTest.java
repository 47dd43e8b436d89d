package dev.loranative.tensor;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.loranative.device.SimdTier;
import dev.loranative.ffi.KernelException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class NormsTest {

    private static final float EPSILON = 1e-5f;

    @ParameterizedTest
    @MethodSource("dev.loranative.tensor.Laws#tiers")
    void rmsNormInPlace(SimdTier tier) {
        Laws.check(tier, (bench, results) -> {
            Tensor x = bench.floats(bench.normal(5 * 33), 5, 33);
            Tensor weight = bench.floats(bench.normal(33), 33);
            Tensor apart = bench.unwritten(5, 33);
            bench.ops().norms().rmsNormForward(x, null, weight, null, apart, null, EPSILON);

            bench.ops().norms().rmsNormForward(x, null, weight, null, x, null, EPSILON);

            results.equal("y", x, bench.read(apart));
        });
    }

    @ParameterizedTest
    @MethodSource("dev.loranative.tensor.Laws#tiers")
    void embeddingRows(SimdTier tier) {
        Laws.check(tier, (bench, results) -> {
            int width = 33;
            int[] ids = {3, 0, 6, 3, 1};
            int[] slots = {-1, 1, -1, 0, -1, -1, -1};
            float[] rows = bench.normal(2 * width);
            float[] y = bench.normal(5 * width);
            float[] gradient = bench.normal(2 * width);
            Tensor tensorY = bench.floats(y, 5, width);
            Tensor dy = bench.floats(y, 5, width);
            Tensor tensorGradient = bench.floats(gradient, 2, width);
            Tensor tensorIds = bench.ints(ids, 5);
            Tensor tensorSlots = bench.ints(slots, 7);

            bench.ops().norms().embeddingRowsForward(bench.floats(rows, 2, width), tensorSlots, tensorIds, tensorY);
            bench.ops().norms().embeddingRowsBackward(dy, tensorSlots, tensorIds, tensorGradient);

            for (int t = 0; t < 5; t++) {
                int slot = slots[ids[t]];
                for (int i = 0; slot >= 0 && i < width; i++) {
                    gradient[slot * width + i] += y[t * width + i];
                    y[t * width + i] = rows[slot * width + i];
                }
            }
            results.equal("y", tensorY, y);
            results.equal("gradient", tensorGradient, gradient);
        });
    }

    @Test
    void theLibraryNamesAnIdOutsideTheVocabulary() {
        try (Bench bench = new Bench(SimdTier.AUTO, 1)) {
            Tensor table = bench.unwritten(7, 3);
            Tensor y = bench.floats(new float[6], 2, 3);

            assertThatThrownBy(() -> bench.ops().norms().embeddingForward(table, bench.ints(new int[] {6, 7}, 2), y))
                    .isInstanceOf(KernelException.class)
                    .hasMessageContaining("ln_embedding_fwd")
                    .hasMessageContaining("7");
            assertThat(bench.read(y)).as("nothing is written").containsOnly(0);
        }
    }

    @Test
    void theLibraryNamesAPositionOutsideTheTables() {
        try (Bench bench = new Bench(SimdTier.AUTO, 1)) {
            Tensor table = bench.unwritten(4, 2);
            Tensor x = bench.unwritten(1, 4);

            assertThatThrownBy(() ->
                            bench.ops().norms().rope(x, table, table, bench.ints(new int[] {4}, 1), 1, 4, false))
                    .isInstanceOf(KernelException.class)
                    .hasMessageContaining("ln_rope")
                    .hasMessageContaining("4");
        }
    }

    @Test
    void refusesShapesByName() {
        try (Bench bench = new Bench(SimdTier.AUTO, 1)) {
            Norms norms = bench.ops().norms();
            Tensor x = bench.unwritten(4, 6);
            Tensor weight = bench.unwritten(6);

            assertThatThrownBy(() -> norms.rmsNormForward(x, null, bench.unwritten(5), null, x, null, EPSILON))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessage("x is F32[4, 6], must have 20 F32 elements");
            assertThatThrownBy(() -> norms.rmsNormForward(x, null, weight, null, x, bench.unwritten(3), EPSILON))
                    .hasMessage("rstd is F32[3], must have 4 F32 elements");
            assertThatThrownBy(() -> norms.rope(
                            x, bench.unwritten(9, 3), bench.unwritten(9, 3), bench.ints(new int[4], 4), 2, 6, false))
                    .hasMessage("x is F32[4, 6], must have 48 F32 elements");
            assertThatThrownBy(() -> norms.embeddingForward(x, bench.ints(new int[2], 2), bench.unwritten(2, 5)))
                    .hasMessage("y is F32[2, 5], must be F32[2, 6]");
        }
    }
}
