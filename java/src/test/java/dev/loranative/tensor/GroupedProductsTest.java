package dev.loranative.tensor;

import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.loranative.device.SimdTier;
import org.junit.jupiter.api.Test;

/** What grouped products refuse; what they compute is in the table. */
class GroupedProductsTest {

    @Test
    void refusesShapesByName() {
        try (Bench bench = new Bench(SimdTier.AUTO, 1)) {
            ExpertWeights weights =
                    new ExpertWeights(bench.device(), new Tensor[] {bench.unwritten(3, 5), bench.unwritten(3, 5)});
            Tensor offsets = bench.ints(new int[] {0, 1, 4}, 3);
            Tensor addresses = Tensor.addresses(bench.device(), new Tensor[2]);
            Products.GroupedLora lora = new Products.GroupedLora(
                    addresses, addresses, addresses, addresses, bench.ints(new int[2], 2), bench.unwritten(2), 7);
            Products products = bench.ops().products();
            Tensor x = bench.unwritten(4, 5);
            Tensor y = bench.unwritten(4, 3);

            assertThatThrownBy(() ->
                            products.groupedLinearForward(x, null, bench.ints(new int[2], 2), weights, null, null, y))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessage("offsets is I32[2], must be I32[3]");
            assertThatThrownBy(() ->
                            products.groupedLinearForward(x, null, offsets, weights, lora, bench.unwritten(4, 3), y))
                    .hasMessage("u is F32[4, 3], must be F32[4, 7]");
        }
    }

    @Test
    void gateAndUpHaveOneShape() {
        try (Bench bench = new Bench(SimdTier.AUTO, 1)) {
            ExpertWeights gate = new ExpertWeights(bench.device(), new Tensor[] {bench.unwritten(3, 5)});
            ExpertWeights up = new ExpertWeights(bench.device(), new Tensor[] {bench.unwritten(4, 5)});
            Tensor offsets = bench.ints(new int[] {0, 4}, 2);
            GatedProducts products = bench.ops().gatedProducts();

            assertThatThrownBy(() -> products.forward(
                            Activation.SILU,
                            bench.unwritten(4, 5),
                            offsets,
                            new GatedProducts.Side(gate, null, null, null),
                            new GatedProducts.Side(up, null, null, null),
                            null,
                            null,
                            bench.unwritten(4, 3)))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessage("gate and up differ: 1 x F32[3, 5] and 1 x F32[4, 5]");
        }
    }

    @Test
    void expertsHaveOneShape() {
        try (Bench bench = new Bench(SimdTier.AUTO, 1)) {
            Tensor[] weights = {bench.unwritten(3, 5), bench.unwritten(5, 3)};

            assertThatThrownBy(() -> new ExpertWeights(bench.device(), weights))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessage("experts differ: F32[3, 5] and F32[5, 3]");
        }
    }
}
