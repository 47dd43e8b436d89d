package dev.loranative.tensor;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.loranative.device.SimdTier;
import dev.loranative.tensor.cases.Matrix;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class ProductsTest {

    @ParameterizedTest
    @MethodSource("dev.loranative.tensor.Laws#tiers")
    void aFrozenAdapterPassesTheGradientOn(SimdTier tier) {
        Laws.check(tier, (bench, results) -> {
            float[] a = bench.normal(2 * 5);
            float[] b = bench.normal(3 * 2);
            float[] weight = bench.normal(3 * 5);
            float[] dy = bench.normal(4 * 3);
            Products.Lora frozen = new Products.Lora(bench.floats(a, 2, 5), bench.floats(b, 3, 2), null, null, 0.5f);
            Tensor x = bench.floats(bench.normal(4 * 5), 4, 5);
            Tensor u = bench.floats(bench.normal(4 * 2), 4, 2);
            Tensor v = bench.unwritten(4, 2);
            Tensor dx = bench.unwritten(4, 5);

            bench.ops()
                    .products()
                    .linearBackward(
                            bench.floats(dy, 4, 3), x, null, bench.floats(weight, 3, 5), frozen, u, v, dx, null, false);

            Matrix gradient = Matrix.of(dy, 4, 3);
            results.close(
                    "dx",
                    dx,
                    gradient.times(Matrix.of(weight, 3, 5))
                            .plus(gradient.times(Matrix.of(b, 3, 2))
                                    .times(Matrix.of(a, 2, 5))
                                    .times(0.5))
                            .values(),
                    1e-5);
        });
    }

    @Test
    void refusesShapesByName() {
        try (Bench bench = new Bench(SimdTier.AUTO, 1)) {
            Products products = bench.ops().products();
            Tensor x = bench.unwritten(4, 5);
            Tensor weight = bench.unwritten(3, 5);

            assertThatThrownBy(() -> products.linearForward(x, null, weight, null, null, null, bench.unwritten(4, 2)))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessage("y is F32[4, 2], must be F32[4, 3]");
            assertThatThrownBy(() -> products.linearForward(
                            x, null, bench.unwritten(3, 6), null, null, null, bench.unwritten(4, 3)))
                    .hasMessage("weight is F32[3, 6], must be [3, 5]");
            assertThatThrownBy(() -> products.linearForward(
                            x, null, weight, bench.unwritten(5), null, null, bench.unwritten(4, 3)))
                    .hasMessage("bias is F32[5], must be [3]");
            assertThatThrownBy(() -> products.linearForward(
                            x, null, bench.ints(new int[15], 3, 5), null, null, null, bench.unwritten(4, 3)))
                    .hasMessageContaining("I32 is not a type that kernels compute with");
            assertThatThrownBy(() -> products.linearBackward(
                            bench.unwritten(4, 3),
                            null,
                            null,
                            weight,
                            null,
                            null,
                            null,
                            bench.unwritten(5, 4),
                            null,
                            false))
                    .hasMessage("dx is F32[5, 4], must be F32[4, 5]");
            assertThatThrownBy(() -> products.matmul(x, false, weight, false, bench.unwritten(4, 3), 1, 0))
                    .hasMessage("b is F32[3, 5], must be [5, 3]");
        }
    }

    @Test
    void refusesAdapterShapesByName() {
        try (Bench bench = new Bench(SimdTier.AUTO, 1)) {
            Products products = bench.ops().products();
            Tensor x = bench.unwritten(4, 5);
            Tensor weight = bench.unwritten(3, 5);
            Tensor y = bench.unwritten(4, 3);
            Tensor a = bench.unwritten(2, 5);
            Tensor b = bench.unwritten(3, 2);

            assertThatThrownBy(() -> products.linearForward(
                            x,
                            null,
                            weight,
                            null,
                            new Products.Lora(bench.unwritten(2, 6), b, null, null, 1),
                            bench.unwritten(4, 2),
                            y))
                    .hasMessage("lora a is F32[2, 6], must be F32[2, 5]");
            assertThatThrownBy(() -> products.linearForward(
                            x,
                            bench.unwritten(4, 4),
                            weight,
                            null,
                            new Products.Lora(a, b, null, null, 1),
                            bench.unwritten(4, 2),
                            y))
                    .hasMessage("loraX is F32[4, 4], must be F32[4, 5]");
            assertThatThrownBy(() -> products.linearBackward(
                            y,
                            x,
                            null,
                            weight,
                            new Products.Lora(a, b, bench.unwritten(5, 2), b, 1),
                            bench.unwritten(4, 2),
                            bench.unwritten(4, 2),
                            null,
                            null,
                            false))
                    .hasMessage("grad a is F32[5, 2], must be F32[2, 5]");
        }
    }

    @Test
    void noRowsAreNoWork() {
        try (Bench bench = new Bench(SimdTier.AUTO, 1)) {
            Tensor y = bench.unwritten(0, 3);

            bench.ops()
                    .products()
                    .linearForward(bench.unwritten(0, 5), null, bench.unwritten(3, 5), null, null, null, y);

            assertThat(bench.read(y)).isEmpty();
        }
    }
}
