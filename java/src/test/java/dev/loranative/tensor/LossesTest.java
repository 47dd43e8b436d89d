package dev.loranative.tensor;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.loranative.device.SimdTier;
import dev.loranative.ffi.KernelException;
import org.junit.jupiter.api.Test;

class LossesTest {

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
                            three, bench.unwritten(4), three, three, new Losses.AdamW(1, 0.1, 0.9, 0.99, 1e-8, 0, 1)))
                    .hasMessage("gradients is F32[4], must have 3 F32 elements");
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
