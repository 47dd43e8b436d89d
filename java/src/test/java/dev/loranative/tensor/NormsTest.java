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
    void rmsNorm(SimdTier tier) {
        Laws.check(tier, (bench, results) -> {
            for (int width : new int[] {1, 3, 31, 33, 100}) {
                for (DType dtype : new DType[] {DType.F32, DType.BF16, DType.F16}) {
                    rmsNorm(bench, results, 7, width, dtype, false);
                    rmsNorm(bench, results, 7, width, dtype, true);
                }
            }
        });
    }

    private static void rmsNorm(
            Bench bench, Laws.Results results, int rows, int width, DType dtype, boolean withResidual) {
        int n = rows * width;
        float[] x = bench.normal(n);
        float[] residual = bench.normal(n);
        float[] weight = bench.normal(width);
        float[] dy = bench.normal(n);
        float[] dResidual = bench.normal(n);
        float[] gradWeight = bench.normal(width);
        Tensor tensorX = bench.floats(x, rows, width);
        Tensor tensorResidual = withResidual ? bench.floats(residual, rows, width) : null;
        Tensor tensorWeight = bench.weight(dtype, weight, width);
        Tensor sum = withResidual ? bench.unwritten(rows, width) : null;
        Tensor y = bench.unwritten(rows, width);
        Tensor rstd = bench.unwritten(rows);
        // The gradient replaces that of the residual stream, as in DecoderLayer.
        Tensor dx = withResidual ? bench.floats(dResidual, rows, width) : bench.unwritten(rows, width);
        Tensor tensorGrad = bench.floats(gradWeight, width);
        Norms norms = bench.ops().norms();

        norms.rmsNormForward(tensorX, tensorResidual, tensorWeight, sum, y, rstd, EPSILON);
        norms.rmsNormBackward(
                bench.floats(dy, rows, width),
                withResidual ? sum : tensorX,
                tensorWeight,
                rstd,
                withResidual ? dx : null,
                dx,
                tensorGrad);

        double[] z = new double[n];
        double[] expectedY = new double[n];
        double[] expectedRstd = new double[rows];
        double[] expectedDx = new double[n];
        double[] expectedGrad = Matrix.doubles(gradWeight);
        for (int row = 0; row < rows; row++) {
            double squares = 0;
            for (int i = row * width; i < (row + 1) * width; i++) {
                z[i] = (double) x[i] + (withResidual ? residual[i] : 0);
                squares += z[i] * z[i];
            }
            double scale = 1 / Math.sqrt(squares / width + EPSILON);
            expectedRstd[row] = scale;
            double mean = 0;
            for (int i = row * width; i < (row + 1) * width; i++) {
                expectedY[i] = z[i] * scale * weight[i % width];
                mean += (double) dy[i] * weight[i % width] * z[i] * scale / width;
                expectedGrad[i % width] += dy[i] * z[i] * scale;
            }
            for (int i = row * width; i < (row + 1) * width; i++) {
                expectedDx[i] = scale * ((double) dy[i] * weight[i % width] - z[i] * scale * mean)
                        + (withResidual ? dResidual[i] : 0);
            }
        }
        results.close("y", y, expectedY);
        // A row of one small number has a steep gradient.
        results.close("rstd", rstd, expectedRstd);
        results.close("dx", dx, expectedDx, width == 1 ? 1e-3 : 2e-5);
        results.close("grad weight", tensorGrad, expectedGrad);
        if (withResidual) {
            results.close("sum", sum, z, 1e-6);
        }
    }

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
    void rope(SimdTier tier) {
        Laws.check(tier, (bench, results) -> {
            rope(bench, results, 3, 20, 20);
            rope(bench, results, 1, 34, 18);
            rope(bench, results, 5, 2, 2);
        });
    }

    private static void rope(Bench bench, Laws.Results results, int heads, int headDim, int rotaryDim) {
        int half = rotaryDim / 2;
        int[] positions = {0, 1, 2, 0, 9};
        float[] x = bench.normal(positions.length * heads * headDim);
        float[] cosine = new float[10 * half];
        float[] sine = new float[10 * half];
        for (int i = 0; i < cosine.length; i++) {
            cosine[i] = (float) Math.cos(i * 0.37);
            sine[i] = (float) Math.sin(i * 0.37);
        }
        Tensor rotated = bench.floats(x, positions.length, heads * headDim);
        Tensor tensorPositions = bench.ints(positions, positions.length);
        Tensor tensorCosine = bench.floats(cosine, 10, half);
        Tensor tensorSine = bench.floats(sine, 10, half);
        Norms norms = bench.ops().norms();

        norms.rope(rotated, tensorCosine, tensorSine, tensorPositions, heads, headDim, false);
        Tensor back = bench.floats(bench.read(rotated), positions.length, heads * headDim);
        norms.rope(back, tensorCosine, tensorSine, tensorPositions, heads, headDim, true);

        double[] expected = Matrix.doubles(x);
        for (int head = 0; head < positions.length * heads; head++) {
            for (int i = 0; i < half; i++) {
                int table = positions[head / heads] * half + i;
                double first = x[head * headDim + i];
                double second = x[head * headDim + i + half];
                expected[head * headDim + i] = first * cosine[table] - second * sine[table];
                expected[head * headDim + i + half] = second * cosine[table] + first * sine[table];
            }
        }
        results.close("rotated", rotated, expected, 1e-6);
        results.close("rotated back", back, Matrix.doubles(x), 1e-6);
    }

    @ParameterizedTest
    @MethodSource("dev.loranative.tensor.Laws#tiers")
    void embedding(SimdTier tier) {
        Laws.check(tier, (bench, results) -> {
            int width = 33;
            int[] ids = {3, 0, 6, 3, 3};
            for (DType dtype : new DType[] {DType.F32, DType.BF16, DType.F16}) {
                float[] table = bench.normal(7 * width);
                Tensor tensorTable = bench.weight(dtype, table, 7, width);
                Tensor y = bench.unwritten(5, width);

                bench.ops().norms().embeddingForward(tensorTable, bench.ints(ids, 5), y);

                float[] expected = new float[5 * width];
                for (int t = 0; t < 5; t++) {
                    System.arraycopy(table, ids[t] * width, expected, t * width, width);
                }
                results.equal("y", y, expected);
            }
            float[] dy = bench.normal(5 * width);
            float[] gradient = bench.normal(7 * width);
            Tensor tensorGradient = bench.floats(gradient, 7, width);

            bench.ops().norms().embeddingBackward(bench.floats(dy, 5, width), bench.ints(ids, 5), tensorGradient);

            for (int i = 0; i < dy.length; i++) {
                gradient[ids[i / width] * width + i % width] += dy[i];
            }
            results.equal("gradient", tensorGradient, gradient);
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
