package dev.loranative.tensor;

import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.loranative.device.SimdTier;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Grouped products: experts without rows, without adapter, of differing ranks. */
class GroupedProductsTest {

    private static final int[] OFFSETS = {0, 3, 3, 20, 21, 54};
    private static final int[] RANKS = {4, 2, 0, 7, 3};
    private static final float[] SCALES = {0.5f, 1, 3, 2, 1.25f};
    private static final int EXPERTS = RANKS.length;
    private static final int ROWS = 54;
    private static final int IN = 37;
    private static final int OUT = 19;
    private static final int MAX_RANK = 7;

    /** The same things as tensors and as matrices. */
    private static final class Layer {

        final ExpertWeights weights;
        final Matrix[] w = new Matrix[EXPERTS];
        final Matrix[] a = new Matrix[EXPERTS];
        final Matrix[] b = new Matrix[EXPERTS];
        final Tensor[] gradA = new Tensor[EXPERTS];
        final Tensor[] gradB = new Tensor[EXPERTS];
        final Products.GroupedLora lora;
        final Tensor offsets;

        Layer(Bench bench, DType dtype) {
            Tensor[] tensors = new Tensor[EXPERTS];
            Tensor[] tensorsA = new Tensor[EXPERTS];
            Tensor[] tensorsB = new Tensor[EXPERTS];
            for (int expert = 0; expert < EXPERTS; expert++) {
                float[] weight = bench.normal(OUT * IN);
                tensors[expert] = bench.weight(dtype, weight, OUT, IN);
                w[expert] = Matrix.of(weight, OUT, IN);
                int rank = RANKS[expert];
                if (rank > 0) {
                    float[] down = bench.normal(rank * IN, 0.3);
                    float[] up = bench.normal(OUT * rank, 0.3);
                    tensorsA[expert] = bench.floats(down, rank, IN);
                    tensorsB[expert] = bench.floats(up, OUT, rank);
                    a[expert] = Matrix.of(down, rank, IN);
                    b[expert] = Matrix.of(up, OUT, rank);
                    gradA[expert] = bench.floats(filled(rank * IN, 1), rank, IN);
                    gradB[expert] = bench.floats(filled(OUT * rank, -1), OUT, rank);
                }
            }
            weights = new ExpertWeights(bench.device(), tensors);
            offsets = bench.ints(OFFSETS, EXPERTS + 1);
            lora = new Products.GroupedLora(
                    Tensor.addresses(bench.device(), tensorsA),
                    Tensor.addresses(bench.device(), tensorsB),
                    Tensor.addresses(bench.device(), gradA),
                    Tensor.addresses(bench.device(), gradB),
                    bench.ints(RANKS, EXPERTS),
                    bench.floats(SCALES, EXPERTS),
                    MAX_RANK);
        }
    }

    @ParameterizedTest
    @MethodSource("dev.loranative.tensor.Laws#tiers")
    void withoutAdapters(SimdTier tier) {
        Laws.check(tier, (bench, results) -> {
            for (DType dtype : new DType[] {DType.F32, DType.BF16, DType.F16}) {
                Layer layer = new Layer(bench, dtype);
                float[] x = bench.normal(ROWS * IN);
                float[] dy = bench.normal(ROWS * OUT);
                float[] before = bench.normal(ROWS * IN);
                Tensor y = bench.unwritten(ROWS, OUT);
                Tensor dx = bench.floats(before, ROWS, IN);
                Tensor tensorX = bench.floats(x, ROWS, IN);
                Products products = bench.ops().products();

                products.groupedLinearForward(tensorX, null, layer.offsets, layer.weights, null, null, y);
                products.groupedLinearBackward(
                        bench.floats(dy, ROWS, OUT),
                        tensorX,
                        null,
                        layer.offsets,
                        layer.weights,
                        null,
                        null,
                        null,
                        dx,
                        null,
                        true);

                Matrix expectedY = new Matrix(ROWS, OUT, new double[ROWS * OUT]);
                Matrix expectedDx = new Matrix(ROWS, IN, new double[ROWS * IN]);
                for (int expert = 0; expert < EXPERTS; expert++) {
                    int first = OFFSETS[expert];
                    int count = OFFSETS[expert + 1] - first;
                    expectedY.put(
                            first, Matrix.of(x, ROWS, IN).part(first, count).times(layer.w[expert].transpose()));
                    expectedDx.put(
                            first, Matrix.of(dy, ROWS, OUT).part(first, count).times(layer.w[expert]));
                }
                results.close("y", y, expectedY.values(), 3e-5);
                results.close(
                        "dx", dx, expectedDx.plus(Matrix.of(before, ROWS, IN)).values(), 3e-5);
            }
        });
    }

    @ParameterizedTest
    @MethodSource("dev.loranative.tensor.Laws#tiers")
    void withAdapters(SimdTier tier) {
        Laws.check(tier, (bench, results) -> {
            adapters(bench, results, false);
            adapters(bench, results, true);
        });
    }

    private static void adapters(Bench bench, Laws.Results results, boolean ownInput) {
        Layer layer = new Layer(bench, DType.BF16);
        float[] x = bench.normal(ROWS * IN);
        float[] loraX = ownInput ? bench.normal(ROWS * IN) : x;
        float[] dy = bench.normal(ROWS * OUT);
        Tensor tensorX = bench.floats(x, ROWS, IN);
        Tensor tensorLoraX = ownInput ? bench.floats(loraX, ROWS, IN) : null;
        Tensor u = bench.unwritten(ROWS, MAX_RANK);
        Tensor v = bench.unwritten(ROWS, MAX_RANK);
        Tensor y = bench.unwritten(ROWS, OUT);
        Tensor dx = bench.unwritten(ROWS, IN);
        Tensor dLoraX = ownInput ? bench.unwritten(ROWS, IN) : null;
        Products products = bench.ops().products();

        products.groupedLinearForward(tensorX, tensorLoraX, layer.offsets, layer.weights, layer.lora, u, y);
        products.groupedLinearBackward(
                bench.floats(dy, ROWS, OUT),
                tensorX,
                tensorLoraX,
                layer.offsets,
                layer.weights,
                layer.lora,
                u,
                v,
                dx,
                dLoraX,
                false);

        Matrix expectedU = new Matrix(ROWS, MAX_RANK, new double[ROWS * MAX_RANK]);
        Matrix expectedY = new Matrix(ROWS, OUT, new double[ROWS * OUT]);
        Matrix throughBase = new Matrix(ROWS, IN, new double[ROWS * IN]);
        Matrix throughAdapter = new Matrix(ROWS, IN, new double[ROWS * IN]);
        for (int expert = 0; expert < EXPERTS; expert++) {
            int first = OFFSETS[expert];
            int count = OFFSETS[expert + 1] - first;
            int rank = RANKS[expert];
            Matrix seen = Matrix.of(loraX, ROWS, IN).part(first, count);
            Matrix gradient = Matrix.of(dy, ROWS, OUT).part(first, count);
            Matrix output = Matrix.of(x, ROWS, IN).part(first, count).times(layer.w[expert].transpose());
            throughBase.put(first, gradient.times(layer.w[expert]));
            if (rank > 0) {
                Matrix inner = seen.times(layer.a[expert].transpose());
                for (int row = 0; row < count; row++) {
                    System.arraycopy(inner.values(), row * rank, expectedU.values(), (first + row) * MAX_RANK, rank);
                }
                output = output.plus(inner.times(layer.b[expert].transpose()).times(SCALES[expert]));
                Matrix dInner = gradient.times(layer.b[expert]).times(SCALES[expert]);
                throughAdapter.put(first, dInner.times(layer.a[expert]));
                Matrix gradA = dInner.transpose().times(seen);
                Matrix gradB = gradient.transpose().times(inner).times(SCALES[expert]);
                results.close(
                        "grad a of expert " + expert,
                        layer.gradA[expert],
                        gradA.plus(Matrix.of(filled(rank * IN, 1), rank, IN)).values(),
                        1e-4);
                results.close(
                        "grad b of expert " + expert,
                        layer.gradB[expert],
                        gradB.plus(Matrix.of(filled(OUT * rank, -1), OUT, rank)).values(),
                        1e-4);
            }
            expectedY.put(first, output);
        }
        results.close("u", u, expectedU.values(), 3e-5);
        results.close("y", y, expectedY.values(), 5e-5);
        if (ownInput) {
            results.close("dx", dx, throughBase.values(), 5e-5);
            results.close("dLoraX", dLoraX, throughAdapter.values(), 5e-5);
        } else {
            results.close("dx", dx, throughBase.plus(throughAdapter).values(), 5e-5);
        }
    }

    @Test
    void refusesShapesByName() {
        try (Bench bench = new Bench(SimdTier.AUTO, 1)) {
            Layer layer = new Layer(bench, DType.F32);
            Products products = bench.ops().products();
            Tensor x = bench.unwritten(ROWS, IN);
            Tensor y = bench.unwritten(ROWS, OUT);

            assertThatThrownBy(() -> products.groupedLinearForward(
                            x, null, bench.ints(new int[EXPERTS], EXPERTS), layer.weights, null, null, y))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessage("offsets is I32[5], must be I32[6]");
            assertThatThrownBy(() -> products.groupedLinearForward(
                            x, null, layer.offsets, layer.weights, layer.lora, bench.unwritten(ROWS, 3), y))
                    .hasMessage("u is F32[54, 3], must be F32[54, 7]");
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

    private static float[] filled(int count, float value) {
        float[] values = new float[count];
        java.util.Arrays.fill(values, value);
        return values;
    }
}
