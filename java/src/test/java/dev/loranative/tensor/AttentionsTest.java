package dev.loranative.tensor;

import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.loranative.device.SimdTier;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class AttentionsTest {

    /** One sequence of three tokens, one key head. */
    private static Attentions.Geometry geometry(Bench bench, int heads, int headDim) {
        Tensor offsets = bench.ints(new int[] {0, 3}, 2);
        return new Attentions.Geometry(offsets, offsets, heads, 1, headDim, 0, (float) (1 / Math.sqrt(headDim)));
    }

    /** Scores far outside the range of exp: only their differences count. */
    @ParameterizedTest
    @MethodSource("dev.loranative.tensor.Laws#tiers")
    void largeScoresDoNotOverflow(SimdTier tier) {
        Laws.check(tier, (bench, results) -> {
            Attentions.Geometry geometry = geometry(bench, 1, 2);
            float[] q = {300, 0, 300, 0, 300, 0};
            float[] k = {300, 0, 300, 0, 299.99f, 0};
            float[] v = {1, 2, 3, 4, 5, 6};
            Tensor o = bench.unwritten(3, 2);
            Tensor lse = bench.unwritten(3, 1);

            bench.ops()
                    .attentions()
                    .forward(geometry, bench.floats(q, 3, 2), bench.floats(k, 3, 2), bench.floats(v, 3, 2), o, lse);

            double third = Math.exp(-300 * (300.0 - 299.99f) * geometry.scale());
            results.close(
                    "o",
                    o,
                    new double[] {1, 2, 2, 3, (1 + 3 + 5 * third) / (2 + third), (2 + 4 + 6 * third) / (2 + third)},
                    1e-3);
        });
    }

    @Test
    void refusesShapesByName() {
        try (Bench bench = new Bench(SimdTier.AUTO, 1)) {
            Attentions.Geometry geometry = geometry(bench, 2, 4);
            Attentions attentions = bench.ops().attentions();
            Tensor q = bench.unwritten(3, 8);
            Tensor k = bench.unwritten(3, 4);

            assertThatThrownBy(() -> attentions.forward(geometry, q, k, q, q, bench.unwritten(3, 2)))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessage("v is F32[3, 8], must have 12 F32 elements");
            assertThatThrownBy(() -> attentions.forward(geometry, q, k, k, q, bench.unwritten(3, 1)))
                    .hasMessage("lse is F32[3, 1], must have 6 F32 elements");
        }
    }
}
