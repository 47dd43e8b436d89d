package dev.loranative.tensor.cases;

import dev.loranative.tensor.DType;
import dev.loranative.tensor.Dora;
import dev.loranative.tensor.Products;
import dev.loranative.tensor.Tensor;
import dev.loranative.tensor.cases.OpCase.Use;
import java.util.ArrayList;
import java.util.List;

/** What weight-decomposed adapters have beside their products: lengths of rows, and columns scaled by them. */
final class DoraCases {

    private static final float SCALE = 1.5f;

    private DoraCases() {}

    static List<OpCase> all() {
        List<OpCase> cases = new ArrayList<>();
        for (int[] shape : ProductCases.CHECKED) {
            for (DType dtype : ProductCases.LAYER_WEIGHTS) {
                cases.add(norms(Use.CHECK, shape[1], shape[2], 4, dtype));
            }
            cases.add(forward(Use.CHECK, shape[0], shape[1], false));
            cases.add(forward(Use.CHECK, shape[0], shape[1], true));
            cases.add(backward(Use.CHECK, shape[0], shape[1]));
        }
        cases.add(norms(Use.CHECK, 17, 33, 0, DType.BF16));
        cases.add(norms(Use.CHECK, 64, 128, 16, DType.F32));
        cases.add(norms(Use.TIME, 1024, 1024, 8, DType.BF16));
        cases.add(forward(Use.TIME, 512, 1024, false));
        cases.add(backward(Use.TIME, 512, 1024));
        return cases;
    }

    private static OpCase norms(Use use, int out, int in, int rank, DType dtype) {
        Work work = new Work(
                (2.0 * rank + 2) * out * in,
                Work.weightBytes(dtype, (double) out * in) + 4.0 * rank * (out + in) + 4.0 * out);
        return new OpCase(Family.DORA, "dora_norms", out + "x" + in + " r" + rank, dtype, use, work, bench -> {
            float[] weight = bench.normal((long) out * in);
            float[] a = bench.normal((long) rank * in);
            float[] b = bench.normal((long) out * rank);
            Tensor tensor = bench.weight(dtype, weight, out, in);
            Products.Lora lora =
                    new Products.Lora(bench.floats(a, rank, in), bench.floats(b, out, rank), null, null, SCALE);
            Tensor norms = bench.unwritten(out);
            Dora dora = bench.ops().dora();
            return OpRun.of(() -> dora.norms(tensor, lora, norms), () -> {
                double[] expected = new double[out];
                for (int row = 0; row < out; row++) {
                    for (int column = 0; column < in; column++) {
                        double value = weight[row * in + column];
                        for (int i = 0; i < rank; i++) {
                            value += (double) SCALE * b[row * rank + i] * a[i * in + column];
                        }
                        expected[row] += value * value;
                    }
                    expected[row] = Math.sqrt(expected[row]);
                }
                return List.of(Output.close("norms", norms, expected, 3e-5));
            });
        });
    }

    /** With a row of length 0, whose column is 0. */
    private static final class Columns {

        final int rows;
        final int out;
        final float[] z;
        final float[] dy;
        final float[] before;
        final float[] magnitude;
        final float[] norms;
        final float[] bias;
        final Tensor tensorZ;
        final Tensor tensorDy;
        final Tensor tensorMagnitude;
        final Tensor tensorNorms;
        final Tensor tensorBias;

        Columns(dev.loranative.tensor.Bench bench, int rows, int out) {
            this.rows = rows;
            this.out = out;
            z = bench.normal((long) rows * out);
            dy = bench.normal((long) rows * out);
            before = bench.normal((long) rows * out);
            magnitude = bench.normal(out);
            norms = bench.normal(out);
            bias = bench.normal(out);
            for (int column = 0; column < out; column++) {
                norms[column] = 0.5f + Math.abs(norms[column]);
            }
            if (out > 2) {
                norms[1] = 0;
                for (int row = 0; row < rows; row++) {
                    z[row * out + 1] = 0;
                }
            }
            tensorZ = bench.floats(z, rows, out);
            tensorDy = bench.floats(dy, rows, out);
            tensorMagnitude = bench.floats(magnitude, out);
            tensorNorms = bench.floats(norms, out);
            tensorBias = bench.floats(bias, out);
        }

        double factor(int column) {
            return norms[column] == 0 ? 0 : (double) magnitude[column] / norms[column];
        }
    }

    private static OpCase forward(Use use, int rows, int out, boolean accumulate) {
        double elements = (double) rows * out;
        Work work = new Work((accumulate ? 3 : 2) * elements, (accumulate ? 12 : 8) * elements + 12.0 * out);
        String shape = rows + "x" + out + (accumulate ? " accumulate" : "");
        return new OpCase(Family.DORA, "dora_fwd", shape, DType.F32, use, work, bench -> {
            Columns columns = new Columns(bench, rows, out);
            Tensor y = accumulate ? bench.floats(columns.before, rows, out) : bench.unwritten(rows, out);
            Dora dora = bench.ops().dora();
            Runnable call = () -> dora.forward(
                    columns.tensorZ, columns.tensorMagnitude, columns.tensorNorms, columns.tensorBias, y, accumulate);
            return OpRun.of(call, () -> {
                double[] expected = new double[rows * out];
                for (int i = 0; i < expected.length; i++) {
                    expected[i] = columns.factor(i % out) * columns.z[i]
                            + columns.bias[i % out]
                            + (accumulate ? columns.before[i] : 0);
                }
                return List.of(Output.close("y", y, expected));
            });
        });
    }

    private static OpCase backward(Use use, int rows, int out) {
        double elements = (double) rows * out;
        Work work = new Work(3 * elements, 12 * elements + 16.0 * out);
        return new OpCase(Family.DORA, "dora_bwd", rows + "x" + out, DType.F32, use, work, bench -> {
            Columns columns = new Columns(bench, rows, out);
            float[] gradient = bench.normal(out);
            Tensor gradMagnitude = bench.floats(gradient, out);
            Tensor dz = bench.unwritten(rows, out);
            Tensor y = bench.unwritten(rows, out);
            Dora dora = bench.ops().dora();
            Runnable call = () -> dora.backward(
                    columns.tensorDy, columns.tensorZ, columns.tensorMagnitude, columns.tensorNorms, dz, gradMagnitude);
            return OpRun.of(call, () -> {
                        double[] expected = new double[rows * out];
                        double[] magnitudes = Matrix.doubles(gradient);
                        for (int i = 0; i < expected.length; i++) {
                            int column = i % out;
                            expected[i] = columns.factor(column) * columns.dy[i];
                            if (columns.norms[column] != 0) {
                                magnitudes[column] += (double) columns.dy[i] * columns.z[i] / columns.norms[column];
                            }
                        }
                        return List.of(
                                Output.close("dz", dz, expected),
                                Output.close("gradMagnitude", gradMagnitude, magnitudes, 3e-5));
                    })
                    .derivativeOf(
                            () -> dora.forward(
                                    columns.tensorZ,
                                    columns.tensorMagnitude,
                                    columns.tensorNorms,
                                    columns.tensorBias,
                                    y,
                                    false),
                            y,
                            columns.tensorDy,
                            List.of(
                                    OpRun.activation("z", columns.tensorZ, dz),
                                    OpRun.parameter("magnitude", columns.tensorMagnitude, gradMagnitude)));
        });
    }
}
