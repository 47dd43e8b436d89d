package dev.loranative.tensor.cases;

import dev.loranative.tensor.Bench;
import dev.loranative.tensor.DType;
import dev.loranative.tensor.Norms;
import dev.loranative.tensor.Tensor;
import dev.loranative.tensor.cases.OpCase.Use;
import java.util.ArrayList;
import java.util.List;

/** RMSNorm, with and without the addition of the residual stream. */
final class NormCases {

    private static final float EPSILON = 1e-5f;

    private NormCases() {}

    static List<OpCase> all() {
        List<OpCase> cases = new ArrayList<>();
        for (int width : new int[] {1, 3, 31, 33, 100}) {
            for (DType dtype : ProductCases.WEIGHTS) {
                for (boolean withResidual : new boolean[] {false, true}) {
                    cases.add(forward(Use.CHECK, 7, width, dtype, withResidual));
                    cases.add(backward(Use.CHECK, 7, width, dtype, withResidual));
                }
            }
        }
        // The residual stream of llama-medium; the per-head norms of moe-medium.
        cases.add(forward(Use.TIME, 512, 1024, DType.BF16, true));
        cases.add(backward(Use.TIME, 512, 1024, DType.BF16, true));
        cases.add(forward(Use.TIME, 512 * 12, 64, DType.BF16, false));
        cases.add(backward(Use.TIME, 512 * 12, 64, DType.BF16, false));
        return cases;
    }

    private static String shape(int rows, int width, boolean withResidual) {
        return rows + "x" + width + (withResidual ? " residual" : "");
    }

    private static final class Rows {

        final int rows;
        final int width;
        final Norms norms;
        final float[] x;
        final float[] residual;
        final float[] weight;
        final float[] dy;
        final float[] dResidual;
        final float[] gradWeight;
        final Tensor tensorX;
        final Tensor tensorResidual;
        final Tensor tensorWeight;
        final Tensor tensorDy;
        final Tensor sum;
        final Tensor y;
        final Tensor rstd;
        final Tensor dx;
        final Tensor tensorGrad;

        Rows(Bench bench, int rows, int width, DType dtype, boolean withResidual) {
            this.rows = rows;
            this.width = width;
            norms = bench.ops().norms();
            int n = rows * width;
            x = bench.normal(n);
            residual = withResidual ? bench.normal(n) : null;
            weight = bench.normal(width);
            dy = bench.normal(n);
            dResidual = bench.normal(n);
            gradWeight = bench.normal(width);
            tensorX = bench.floats(x, rows, width);
            tensorResidual = withResidual ? bench.floats(residual, rows, width) : null;
            tensorWeight = bench.weight(dtype, weight, width);
            tensorDy = bench.floats(dy, rows, width);
            sum = withResidual ? bench.unwritten(rows, width) : null;
            y = bench.unwritten(rows, width);
            rstd = bench.unwritten(rows);
            // The gradient replaces that of the residual stream, as in DecoderLayer.
            dx = withResidual ? bench.floats(dResidual, rows, width) : bench.unwritten(rows, width);
            tensorGrad = bench.floats(gradWeight, width);
        }

        void forward() {
            norms.rmsNormForward(tensorX, tensorResidual, tensorWeight, sum, y, rstd, EPSILON);
        }

        void backward() {
            norms.rmsNormBackward(
                    tensorDy, sum == null ? tensorX : sum, tensorWeight, rstd, sum == null ? null : dx, dx, tensorGrad);
        }

        private double[] normalised() {
            double[] z = Matrix.doubles(x);
            for (int i = 0; residual != null && i < z.length; i++) {
                z[i] += residual[i];
            }
            return z;
        }

        private double scale(double[] z, int row) {
            double squares = 0;
            for (int i = row * width; i < (row + 1) * width; i++) {
                squares += z[i] * z[i];
            }
            return 1 / Math.sqrt(squares / width + EPSILON);
        }

        List<Output> forwardOutputs() {
            double[] z = normalised();
            double[] expectedY = new double[z.length];
            double[] expectedRstd = new double[rows];
            for (int row = 0; row < rows; row++) {
                expectedRstd[row] = scale(z, row);
                for (int i = row * width; i < (row + 1) * width; i++) {
                    expectedY[i] = z[i] * expectedRstd[row] * weight[i % width];
                }
            }
            List<Output> outputs = new ArrayList<>();
            outputs.add(Output.close("y", y, expectedY));
            outputs.add(Output.close("rstd", rstd, expectedRstd));
            if (sum != null) {
                outputs.add(Output.close("sum", sum, z, 1e-6));
            }
            return outputs;
        }

        List<Output> backwardOutputs() {
            double[] z = normalised();
            double[] expectedDx = new double[z.length];
            double[] expectedGrad = Matrix.doubles(gradWeight);
            for (int row = 0; row < rows; row++) {
                double scale = scale(z, row);
                double mean = 0;
                for (int i = row * width; i < (row + 1) * width; i++) {
                    mean += (double) dy[i] * weight[i % width] * z[i] * scale / width;
                    expectedGrad[i % width] += dy[i] * z[i] * scale;
                }
                for (int i = row * width; i < (row + 1) * width; i++) {
                    expectedDx[i] = scale * ((double) dy[i] * weight[i % width] - z[i] * scale * mean)
                            + (sum == null ? 0 : dResidual[i]);
                }
            }
            return List.of(
                    // A row of one small number has a steep gradient.
                    Output.close("dx", dx, expectedDx, width == 1 ? 1e-3 : 2e-5),
                    Output.close("grad weight", tensorGrad, expectedGrad));
        }
    }

    private static OpCase forward(Use use, int rows, int width, DType dtype, boolean withResidual) {
        double elements = (double) rows * width;
        Work work = new Work(
                (withResidual ? 5 : 4) * elements,
                4 * elements * (withResidual ? 4 : 2) + 4.0 * rows + Work.weightBytes(dtype, width));
        String shape = shape(rows, width, withResidual);
        return new OpCase(Family.NORMS, "rmsnorm_fwd", shape, dtype, use, work, bench -> {
            Rows data = new Rows(bench, rows, width, dtype, withResidual);
            return OpRun.of(data::forward, data::forwardOutputs);
        });
    }

    private static OpCase backward(Use use, int rows, int width, DType dtype, boolean withResidual) {
        double elements = (double) rows * width;
        Work work = new Work(
                (withResidual ? 9 : 8) * elements,
                4 * elements * (withResidual ? 4 : 3) + 4.0 * rows + 8.0 * width + Work.weightBytes(dtype, width));
        String shape = shape(rows, width, withResidual);
        return new OpCase(Family.NORMS, "rmsnorm_bwd", shape, dtype, use, work, bench -> {
            Rows data = new Rows(bench, rows, width, dtype, withResidual);
            data.forward();
            OpRun run = OpRun.of(data::backward, data::backwardOutputs);
            // Of one element only the sign is left, whose derivative nearly vanishes: differences show rounding.
            if (width == 1) {
                return run;
            }
            List<OpRun.Input> inputs = new ArrayList<>();
            inputs.add(
                    withResidual
                            ? OpRun.parameter("x", data.tensorX, data.dx)
                            : OpRun.activation("x", data.tensorX, data.dx));
            if (dtype == DType.F32) {
                inputs.add(OpRun.parameter("weight", data.tensorWeight, data.tensorGrad));
            }
            return run.derivativeOf(data::forward, data.y, data.tensorDy, inputs);
        });
    }
}
