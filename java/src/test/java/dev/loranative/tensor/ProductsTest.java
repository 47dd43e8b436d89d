package dev.loranative.tensor;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.loranative.device.SimdTier;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class ProductsTest {

    private static final int[][] SHAPES = {{1, 1, 1}, {1, 31, 33}, {3, 5, 100}, {33, 17, 7}, {70, 65, 131}};
    private static final DType[] WEIGHTS = {DType.F32, DType.BF16, DType.F16};

    @ParameterizedTest
    @MethodSource("dev.loranative.tensor.Laws#tiers")
    void matmul(SimdTier tier) {
        Laws.check(tier, (bench, results) -> {
            for (int[] shape : SHAPES) {
                for (int transposes = 0; transposes < 4; transposes++) {
                    matmul(bench, results, shape, (transposes & 1) != 0, (transposes & 2) != 0);
                }
            }
        });
    }

    private static void matmul(Bench bench, Laws.Results results, int[] shape, boolean transposeA, boolean transposeB) {
        int m = shape[0];
        int n = shape[1];
        int k = shape[2];
        float[] a = bench.normal(m * k);
        float[] b = bench.normal(k * n);
        float[] c = bench.normal(m * n);
        Tensor tensorA = transposeA ? bench.floats(a, k, m) : bench.floats(a, m, k);
        Tensor tensorB = transposeB ? bench.weight(DType.BF16, b, n, k) : bench.weight(DType.BF16, b, k, n);
        Tensor written = bench.unwritten(m, n);
        Tensor added = bench.floats(c, m, n);

        bench.ops().products().matmul(tensorA, transposeA, tensorB, transposeB, written, 1, 0);
        bench.ops().products().matmul(tensorA, transposeA, tensorB, transposeB, added, 0.5f, -2);

        Matrix left = transposeA ? Matrix.of(a, k, m).transpose() : Matrix.of(a, m, k);
        Matrix right = transposeB ? Matrix.of(b, n, k).transpose() : Matrix.of(b, k, n);
        Matrix product = left.times(right);
        results.close("product", written, product.values(), 3e-5);
        results.close(
                "sum",
                added,
                product.times(0.5).plus(Matrix.of(c, m, n).times(-2)).values(),
                3e-5);
    }

    @ParameterizedTest
    @MethodSource("dev.loranative.tensor.Laws#tiers")
    void linear(SimdTier tier) {
        Laws.check(tier, (bench, results) -> {
            for (int[] shape : SHAPES) {
                for (DType dtype : WEIGHTS) {
                    linear(bench, results, shape[0], shape[1], shape[2], dtype);
                }
            }
        });
    }

    private static void linear(Bench bench, Laws.Results results, int rows, int out, int in, DType dtype) {
        float[] x = bench.normal(rows * in);
        float[] weight = bench.normal(out * in);
        float[] bias = bench.normal(out);
        float[] dy = bench.normal(rows * out);
        float[] before = bench.normal(rows * in);
        Tensor tensorX = bench.floats(x, rows, in);
        Tensor tensorWeight = bench.weight(dtype, weight, out, in);
        Tensor tensorBias = bench.weight(dtype, bias, out);
        Tensor tensorDy = bench.floats(dy, rows, out);
        Tensor plain = bench.unwritten(rows, out);
        Tensor biased = bench.unwritten(rows, out);
        Tensor dx = bench.unwritten(rows, in);
        Tensor dxAdded = bench.floats(before, rows, in);
        Products products = bench.ops().products();

        products.linearForward(tensorX, null, tensorWeight, null, null, null, plain);
        products.linearForward(tensorX, null, tensorWeight, tensorBias, null, null, biased);
        products.linearBackward(tensorDy, null, null, tensorWeight, null, null, null, dx, null, false);
        products.linearBackward(tensorDy, null, null, tensorWeight, null, null, null, dxAdded, null, true);

        Matrix w = Matrix.of(weight, out, in);
        Matrix y = Matrix.of(x, rows, in).times(w.transpose());
        Matrix gradient = Matrix.of(dy, rows, out).times(w);
        results.close("y", plain, y.values(), 3e-5);
        results.close("y with bias", biased, y.plusRow(Matrix.doubles(bias)).values(), 3e-5);
        results.close("dx", dx, gradient.values(), 3e-5);
        results.close(
                "dx added", dxAdded, gradient.plus(Matrix.of(before, rows, in)).values(), 3e-5);
    }

    @ParameterizedTest
    @MethodSource("dev.loranative.tensor.Laws#tiers")
    void linearWithAdapter(SimdTier tier) {
        Laws.check(tier, (bench, results) -> {
            for (int[] shape : SHAPES) {
                for (int rank : new int[] {1, 4, 9}) {
                    adapter(bench, results, shape[0], shape[1], shape[2], rank, false);
                    adapter(bench, results, shape[0], shape[1], shape[2], rank, true);
                }
            }
        });
    }

    /** @param ownInput whether the adapter sees something else than x, as with dropout */
    private static void adapter(
            Bench bench, Laws.Results results, int rows, int out, int in, int rank, boolean ownInput) {
        float scale = 1.5f;
        float[] x = bench.normal(rows * in);
        float[] loraX = ownInput ? bench.normal(rows * in) : x;
        float[] weight = bench.normal(out * in);
        float[] a = bench.normal(rank * in, 0.3);
        float[] b = bench.normal(out * rank, 0.3);
        float[] gradA = bench.normal(rank * in);
        float[] gradB = bench.normal(out * rank);
        float[] dy = bench.normal(rows * out);
        Tensor tensorX = bench.floats(x, rows, in);
        Tensor tensorLoraX = ownInput ? bench.floats(loraX, rows, in) : null;
        Tensor tensorWeight = bench.weight(DType.BF16, weight, out, in);
        Products.Lora lora = new Products.Lora(
                bench.floats(a, rank, in),
                bench.floats(b, out, rank),
                bench.floats(gradA, rank, in),
                bench.floats(gradB, out, rank),
                scale);
        Tensor u = bench.unwritten(rows, rank);
        Tensor v = bench.unwritten(rows, rank);
        Tensor y = bench.unwritten(rows, out);
        Tensor dx = bench.unwritten(rows, in);
        Tensor dLoraX = ownInput ? bench.unwritten(rows, in) : null;
        Products products = bench.ops().products();

        products.linearForward(tensorX, tensorLoraX, tensorWeight, null, lora, u, y);
        products.linearBackward(
                bench.floats(dy, rows, out), tensorX, tensorLoraX, tensorWeight, lora, u, v, dx, dLoraX, false);

        Matrix w = Matrix.of(weight, out, in);
        Matrix seen = Matrix.of(loraX, rows, in);
        Matrix down = Matrix.of(a, rank, in);
        Matrix up = Matrix.of(b, out, rank);
        Matrix gradient = Matrix.of(dy, rows, out);
        Matrix inner = seen.times(down.transpose());
        Matrix dInner = gradient.times(up).times(scale);
        Matrix throughBase = gradient.times(w);
        Matrix throughAdapter = dInner.times(down);
        results.close("u", u, inner.values(), 3e-5);
        results.close(
                "y",
                y,
                Matrix.of(x, rows, in)
                        .times(w.transpose())
                        .plus(inner.times(up.transpose()).times(scale))
                        .values(),
                5e-5);
        results.close("v", v, dInner.values(), 3e-5);
        results.close(
                "grad a",
                lora.gradA(),
                dInner.transpose().times(seen).plus(Matrix.of(gradA, rank, in)).values(),
                1e-4);
        results.close(
                "grad b",
                lora.gradB(),
                gradient.transpose()
                        .times(inner)
                        .times(scale)
                        .plus(Matrix.of(gradB, out, rank))
                        .values(),
                1e-4);
        if (ownInput) {
            results.close("dx", dx, throughBase.values(), 5e-5);
            results.close("dLoraX", dLoraX, throughAdapter.values(), 5e-5);
        } else {
            results.close("dx", dx, throughBase.plus(throughAdapter).values(), 5e-5);
        }
    }

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
                            .values());
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
