package dev.loranative.tensor.cases;

import dev.loranative.tensor.DType;
import dev.loranative.tensor.Dora;
import dev.loranative.tensor.Products.Lora;
import dev.loranative.tensor.Tensor;
import dev.loranative.tensor.cases.OpCase.Use;
import java.util.ArrayList;
import java.util.List;

/** DoRA: lengths of the adapted weight's rows, and the columns that are scaled by them. */
final class DoraCases {

    private static final float SCALE = 0.75f;

    private DoraCases() {}

    static List<OpCase> all() {
        List<OpCase> cases = new ArrayList<>();
        for (DType dtype : new DType[] {DType.F32, DType.BF16, DType.F16}) {
            cases.add(norms(33, 70, 5, dtype));
            cases.add(norms(64, 128, 16, dtype));
        }
        for (int out : new int[] {1, 31, 64}) {
            cases.add(forward(9, out, false));
            cases.add(forward(9, out, true));
            cases.add(backward(9, out));
        }
        return cases;
    }

    private static OpCase norms(int out, int in, int rank, DType dtype) {
        String shape = out + "x" + in + " rank " + rank;
        Work work = new Work(
                2.0 * out * in * (rank + 1), Work.weightBytes(dtype, (double) out * in) + 4.0 * rank * (in + out));
        return new OpCase(Family.PRODUCTS, "dora_norms", shape, dtype, Use.CHECK, work, bench -> {
            float[] weight = bench.normal((long) out * in);
            Tensor tensorWeight = bench.weight(dtype, weight, out, in);
            float[] a = bench.normal((long) rank * in);
            float[] b = bench.normal((long) out * rank);
            Lora lora = new Lora(bench.floats(a, rank, in), bench.floats(b, out, rank), null, null, SCALE);
            Tensor lengths = bench.unwritten(out);
            Dora dora = bench.ops().dora();
            return OpRun.of(() -> dora.norms(tensorWeight, lora, lengths), () -> {
                Matrix adapted = Matrix.of(b, out, rank)
                        .times(Matrix.of(a, rank, in))
                        .times(SCALE)
                        .plus(Matrix.of(weight, out, in));
                double[] expected = new double[out];
                for (int i = 0; i < out * in; i++) {
                    expected[i / in] += adapted.values()[i] * adapted.values()[i];
                }
                for (int row = 0; row < out; row++) {
                    expected[row] = Math.sqrt(expected[row]);
                }
                return List.of(Output.close("norms", lengths, expected));
            });
        });
    }

    /** Lengths away from 0, as those of weights are. */
    private static float[] lengths(float[] normal) {
        for (int i = 0; i < normal.length; i++) {
            normal[i] = 0.5f + Math.abs(normal[i]);
        }
        return normal;
    }

    private static OpCase forward(int rows, int out, boolean accumulate) {
        String shape = rows + "x" + out + (accumulate ? " accumulate" : "");
        Work work = new Work(2.0 * rows * out, (accumulate ? 12.0 : 8.0) * rows * out + 12.0 * out);
        return new OpCase(Family.ELEMENTWISE, "dora_fwd", shape, DType.F32, Use.CHECK, work, bench -> {
            float[] z = bench.normal((long) rows * out);
            float[] magnitude = bench.normal(out);
            float[] norms = lengths(bench.normal(out));
            float[] bias = bench.normal(out);
            float[] before = bench.normal((long) rows * out);
            Tensor tensorZ = bench.floats(z, rows, out);
            Tensor tensorMagnitude = bench.floats(magnitude, out);
            Tensor tensorNorms = bench.floats(norms, out);
            Tensor tensorBias = bench.floats(bias, out);
            Tensor y = accumulate ? bench.floats(before, rows, out) : bench.unwritten(rows, out);
            Dora dora = bench.ops().dora();
            return OpRun.of(
                    () -> dora.forward(tensorZ, tensorMagnitude, tensorNorms, tensorBias, y, accumulate), () -> {
                        double[] expected = new double[rows * out];
                        for (int i = 0; i < expected.length; i++) {
                            double factor = (double) magnitude[i % out] / norms[i % out];
                            expected[i] = factor * z[i] + bias[i % out] + (accumulate ? before[i] : 0);
                        }
                        return List.of(Output.close("y", y, expected));
                    });
        });
    }

    private static OpCase backward(int rows, int out) {
        Work work = new Work(4.0 * rows * out, 12.0 * rows * out + 16.0 * out);
        String shape = rows + "x" + out;
        return new OpCase(Family.ELEMENTWISE, "dora_bwd", shape, DType.F32, Use.CHECK, work, bench -> {
            float[] dy = bench.normal((long) rows * out);
            float[] z = bench.normal((long) rows * out);
            float[] magnitude = bench.normal(out);
            float[] norms = lengths(bench.normal(out));
            float[] before = bench.normal(out);
            Tensor tensorDy = bench.floats(dy, rows, out);
            Tensor tensorZ = bench.floats(z, rows, out);
            Tensor tensorMagnitude = bench.floats(magnitude, out);
            Tensor tensorNorms = bench.floats(norms, out);
            Tensor dz = bench.unwritten(rows, out);
            Tensor gradient = bench.floats(before, out);
            Dora dora = bench.ops().dora();
            return OpRun.of(() -> dora.backward(tensorDy, tensorZ, tensorMagnitude, tensorNorms, dz, gradient), () -> {
                double[] expectedDz = new double[rows * out];
                double[] expectedGradient = Matrix.doubles(before);
                for (int i = 0; i < expectedDz.length; i++) {
                    int column = i % out;
                    expectedDz[i] = (double) magnitude[column] / norms[column] * dy[i];
                    expectedGradient[column] += (double) dy[i] * z[i] / norms[column];
                }
                return List.of(
                        Output.close("dz", dz, expectedDz),
                        Output.close("gradient of the magnitude", gradient, expectedGradient));
            });
        });
    }
}
