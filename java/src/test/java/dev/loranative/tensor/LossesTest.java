package dev.loranative.tensor;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.loranative.device.SimdTier;
import dev.loranative.ffi.KernelException;
import dev.loranative.tensor.cases.Matrix;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class LossesTest {

    @ParameterizedTest
    @MethodSource("dev.loranative.tensor.Laws#tiers")
    void columnSums(SimdTier tier) {
        Laws.check(tier, (bench, results) -> {
            float[] x = bench.normal(150 * 37);
            float[] before = bench.normal(37);
            Tensor sums = bench.floats(before, 37);
            bench.ops().losses().columnSums(bench.floats(x, 150, 37), sums);
            double[] expected = Matrix.doubles(before);
            for (int i = 0; i < x.length; i++) {
                expected[i % 37] += x[i];
            }
            results.close("sums", sums, expected, 2e-6);
        });
    }

    @Test
    void refusesShapesByName() {
        try (Bench bench = new Bench(SimdTier.AUTO, 1)) {
            Losses losses = bench.ops().losses();
            Tensor logits = bench.unwritten(3, 5);
            Tensor three = bench.unwritten(3);

            assertThatThrownBy(() -> losses.crossEntropy(logits, bench.ints(new int[2], 2), three, 1, true))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessage("labels is I32[2], must be I32[3]");
            assertThatThrownBy(() -> losses.sum(three, bench.unwritten(1)))
                    .hasMessage("result is F32[1], must be F64[1]");
            assertThatThrownBy(() -> losses.adamW(
                            three,
                            bench.unwritten(4),
                            three,
                            three,
                            new Losses.AdamW(null, 1, 0.1, 0.9, 0.99, 1e-8, 0)))
                    .hasMessage("gradients is F32[4], must have 3 F32 elements");
            assertThatThrownBy(() -> losses.adamW(
                            three, three, three, three, new Losses.AdamW(three, 1, 0.1, 0.9, 0.99, 1e-8, 0)))
                    .hasMessage("gradientScale is F32[3], must be F32[1]");
        }
    }

    @Test
    void theLibraryNamesALabelOutsideTheVocabulary() {
        try (Bench bench = new Bench(SimdTier.AUTO, 1)) {
            float[] before = bench.normal(10);
            Tensor logits = bench.floats(before, 2, 5);
            Tensor labels = bench.ints(new int[] {4, 5}, 2);

            assertThatThrownBy(() -> bench.ops().losses().crossEntropy(logits, labels, bench.unwritten(2), 1, true))
                    .isInstanceOf(KernelException.class)
                    .hasMessageContaining("ln_cross_entropy")
                    .hasMessageContaining("5");
            assertThat(bench.read(logits)).as("nothing is written").isEqualTo(before);
        }
    }
}
