package dev.loranative.tensor.cases;

import dev.loranative.tensor.DType;
import dev.loranative.tensor.Products;
import dev.loranative.tensor.Tensor;
import dev.loranative.tensor.cases.OpCase.Use;
import java.util.ArrayList;
import java.util.List;

/** Matrix products and linear layers without adapter. */
final class ProductCases {

    /** Types of frozen norms and embeddings. */
    static final DType[] WEIGHTS = {DType.F32, DType.BF16, DType.F16};

    /** Types of frozen weights of linear layers. */
    static final DType[] LAYER_WEIGHTS = {DType.F32, DType.BF16, DType.F16, DType.NF4, DType.FP4};

    /** Types worth timing: float16 is read like bfloat16, FP4 like NF4. */
    static final DType[] TIMED_WEIGHTS = {DType.F32, DType.BF16, DType.NF4};

    /** rows, out, in: one, odd ones, around tiles of 16, above the blocks of the cache. */
    static final int[][] CHECKED = {{1, 1, 1}, {1, 31, 33}, {3, 5, 100}, {33, 17, 7}, {70, 65, 131}};

    /** rows, out, in: a generated token, a few, and a step of 2 x 256 tokens of the models in bench/shapes.json. */
    static final int[][] TIMED = {
        {1, 1024, 1024},
        {33, 1024, 1024},
        {64, 1024, 1024},
        {512, 256, 256},
        {512, 1376, 512},
        {512, 512, 1376},
        {512, 1024, 1024},
        {512, 2816, 1024},
        {512, 1024, 2816},
        {512, 4096, 4096}
    };

    private ProductCases() {}

    static List<OpCase> all() {
        List<OpCase> cases = new ArrayList<>();
        for (int[] shape : CHECKED) {
            for (int transposes = 0; transposes < 4; transposes++) {
                boolean transposeA = (transposes & 1) != 0;
                boolean transposeB = (transposes & 2) != 0;
                cases.add(matmul(Use.CHECK, shape, transposeA, transposeB, DType.BF16, 1, 0));
                cases.add(matmul(Use.CHECK, shape, transposeA, transposeB, DType.BF16, 0.5f, -2));
                cases.add(matmul(Use.CHECK, shape, transposeA, transposeB, DType.NF4, 0.5f, -2));
            }
            for (DType dtype : LAYER_WEIGHTS) {
                cases.add(forward(Use.CHECK, shape, dtype, false));
                cases.add(forward(Use.CHECK, shape, dtype, true));
                cases.add(backward(Use.CHECK, shape, dtype, false));
                cases.add(backward(Use.CHECK, shape, dtype, true));
            }
        }
        for (int transposes = 0; transposes < 4; transposes++) {
            boolean transposeA = (transposes & 1) != 0;
            boolean transposeB = (transposes & 2) != 0;
            cases.add(matmul(Use.TIME, new int[] {512, 1024, 1024}, transposeA, transposeB, DType.F32, 1, 0));
        }
        for (int[] shape : TIMED) {
            for (DType dtype : TIMED_WEIGHTS) {
                cases.add(forward(Use.TIME, shape, dtype, false));
                cases.add(backward(Use.TIME, shape, dtype, false));
            }
        }
        return cases;
    }

    static String shape(int[] shape) {
        return shape[0] + "x" + shape[1] + "x" + shape[2];
    }

    private static OpCase matmul(
            Use use, int[] shape, boolean transposeA, boolean transposeB, DType dtype, float alpha, float beta) {
        int m = shape[0];
        int n = shape[1];
        int k = shape[2];
        String name = shape(shape)
                + (transposeA ? " a^T" : "")
                + (transposeB ? " b^T" : "")
                + (alpha == 1 && beta == 0 ? "" : " " + alpha + "ab+" + beta + "c");
        Work work = new Work(
                2.0 * m * n * k,
                4.0 * m * k + Work.weightBytes(dtype, (double) n * k) + (beta == 0 ? 4.0 : 8.0) * m * n);
        return new OpCase(Family.PRODUCTS, "matmul", name, dtype, use, work, bench -> {
            float[] a = bench.normal((long) m * k);
            float[] b = bench.normal((long) k * n);
            float[] c = bench.normal((long) m * n);
            Tensor tensorA = transposeA ? bench.floats(a, k, m) : bench.floats(a, m, k);
            Tensor tensorB = transposeB ? bench.weight(dtype, b, n, k) : bench.weight(dtype, b, k, n);
            Tensor result = beta == 0 ? bench.unwritten(m, n) : bench.floats(c, m, n);
            Products products = bench.ops().products();
            return OpRun.of(
                    () -> products.matmul(tensorA, transposeA, tensorB, transposeB, result, alpha, beta), () -> {
                        Matrix left = transposeA ? Matrix.of(a, k, m).transpose() : Matrix.of(a, m, k);
                        Matrix right = transposeB ? Matrix.of(b, n, k).transpose() : Matrix.of(b, k, n);
                        Matrix expected = left.times(right)
                                .times(alpha)
                                .plus(Matrix.of(c, m, n).times(beta));
                        return List.of(Output.close("c", result, expected.values(), 3e-5));
                    });
        });
    }

    private static OpCase forward(Use use, int[] shape, DType dtype, boolean biased) {
        int rows = shape[0];
        int out = shape[1];
        int in = shape[2];
        Work work = new Work(
                2.0 * rows * in * out,
                4.0 * rows * (in + out) + Work.weightBytes(dtype, (double) in * out) + (biased ? 4.0 * out : 0));
        String name = shape(shape) + (biased ? " bias" : "");
        return new OpCase(Family.PRODUCTS, "linear_fwd", name, dtype, use, work, bench -> {
            float[] x = bench.normal((long) rows * in);
            float[] weight = bench.normal((long) out * in);
            float[] bias = bench.normal(out);
            Tensor tensorX = bench.floats(x, rows, in);
            Tensor tensorWeight = bench.weight(dtype, weight, out, in);
            Tensor tensorBias = biased ? bench.weight(dtype.isQuantized() ? DType.BF16 : dtype, bias, out) : null;
            Tensor y = bench.unwritten(rows, out);
            Products products = bench.ops().products();
            return OpRun.of(
                    () -> products.linearForward(tensorX, null, tensorWeight, tensorBias, null, null, y), () -> {
                        Matrix product = Matrix.of(x, rows, in)
                                .times(Matrix.of(weight, out, in).transpose());
                        Matrix expected = biased ? product.plusRow(Matrix.doubles(bias)) : product;
                        return List.of(Output.close("y", y, expected.values(), 3e-5));
                    });
        });
    }

    private static OpCase backward(Use use, int[] shape, DType dtype, boolean accumulate) {
        int rows = shape[0];
        int out = shape[1];
        int in = shape[2];
        Work work = new Work(
                2.0 * rows * in * out,
                4.0 * rows * (in + out)
                        + Work.weightBytes(dtype, (double) in * out)
                        + (accumulate ? 4.0 * rows * in : 0));
        String name = shape(shape) + (accumulate ? " accumulate" : "");
        return new OpCase(Family.PRODUCTS, "linear_bwd", name, dtype, use, work, bench -> {
            float[] dy = bench.normal((long) rows * out);
            float[] weight = bench.normal((long) out * in);
            float[] before = bench.normal((long) rows * in);
            Tensor tensorDy = bench.floats(dy, rows, out);
            Tensor tensorWeight = bench.weight(dtype, weight, out, in);
            Tensor dx = accumulate ? bench.floats(before, rows, in) : bench.unwritten(rows, in);
            Products products = bench.ops().products();
            return OpRun.of(
                    () -> products.linearBackward(
                            tensorDy, null, null, tensorWeight, null, null, null, dx, null, accumulate),
                    () -> {
                        Matrix gradient = Matrix.of(dy, rows, out).times(Matrix.of(weight, out, in));
                        Matrix expected = accumulate ? gradient.plus(Matrix.of(before, rows, in)) : gradient;
                        return List.of(Output.close("dx", dx, expected.values(), 3e-5));
                    });
        });
    }
}
