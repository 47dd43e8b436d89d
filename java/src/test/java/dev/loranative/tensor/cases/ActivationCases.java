package dev.loranative.tensor.cases;

import dev.loranative.tensor.Activation;
import dev.loranative.tensor.Bench;
import dev.loranative.tensor.DType;
import dev.loranative.tensor.Elementwise;
import dev.loranative.tensor.Tensor;
import dev.loranative.tensor.cases.OpCase.Use;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.function.DoubleUnaryOperator;

/** Gated activations and the sigmoid gate of shared experts. */
final class ActivationCases {

    private ActivationCases() {}

    static List<OpCase> all() {
        List<OpCase> cases = new ArrayList<>();
        for (Activation activation : Activation.values()) {
            for (int n : ElementwiseCases.SIZES) {
                cases.add(gatedForward(Use.CHECK, activation, n));
                cases.add(gatedBackward(Use.CHECK, activation, n));
            }
        }
        cases.add(sigmoidForward(Use.CHECK, 5, 33, false));
        cases.add(sigmoidForward(Use.CHECK, 5, 33, true));
        cases.add(sigmoidBackward(Use.CHECK, 5, 33));
        // A step's rows of llama-medium's MLP, and of moe-medium's experts.
        cases.add(gatedForward(Use.TIME, Activation.SILU, 512 * 2816));
        cases.add(gatedBackward(Use.TIME, Activation.SILU, 512 * 2816));
        cases.add(gatedForward(Use.TIME, Activation.SILU, 4096 * 256));
        cases.add(gatedBackward(Use.TIME, Activation.SILU, 4096 * 256));
        cases.add(gatedForward(Use.TIME, Activation.GELU_TANH, 512 * 2816));
        cases.add(sigmoidForward(Use.TIME, 512, 1024, true));
        cases.add(sigmoidBackward(Use.TIME, 512, 1024));
        return cases;
    }

    /** Ordinary numbers, and where there is room those at which exponentials overflow and vanish. */
    private static float[] gates(Bench bench, int n) {
        float[] gate = bench.normal(n, 3);
        if (n >= 31) {
            gate[0] = 0;
            gate[1] = 60;
            gate[2] = -60;
            gate[30] = -200;
        }
        return gate;
    }

    private static String shape(Activation activation, int n) {
        return activation.name().toLowerCase(Locale.ROOT) + " " + n;
    }

    private static OpCase gatedForward(Use use, Activation activation, int n) {
        Work work = new Work(4.0 * n, Math.max(1, 12.0 * n));
        String shape = shape(activation, n);
        return new OpCase(Family.ELEMENTWISE, "gated_activation_fwd", shape, DType.F32, use, work, bench -> {
            float[] gate = gates(bench, n);
            float[] up = bench.normal(n);
            Tensor tensorGate = bench.floats(gate, n);
            Tensor tensorUp = bench.floats(up, n);
            Tensor y = bench.unwritten(n);
            Elementwise elementwise = bench.ops().elementwise();
            return OpRun.of(() -> elementwise.gatedForward(activation, tensorGate, tensorUp, y), () -> {
                double[] expected = new double[n];
                for (int i = 0; i < n; i++) {
                    expected[i] = function(activation).applyAsDouble(gate[i]) * up[i];
                }
                return List.of(Output.close("y", y, expected));
            });
        });
    }

    private static OpCase gatedBackward(Use use, Activation activation, int n) {
        Work work = new Work(9.0 * n, Math.max(1, 20.0 * n));
        String shape = shape(activation, n);
        return new OpCase(Family.ELEMENTWISE, "gated_activation_bwd", shape, DType.F32, use, work, bench -> {
            float[] gate = gates(bench, n);
            float[] up = bench.normal(n);
            float[] dy = bench.normal(n);
            Tensor tensorGate = bench.floats(gate, n);
            Tensor tensorUp = bench.floats(up, n);
            Tensor tensorDy = bench.floats(dy, n);
            Tensor y = bench.unwritten(n);
            // The gradient takes the gate's place, as in GatedMlp.
            Tensor dUp = bench.unwritten(n);
            Elementwise elementwise = bench.ops().elementwise();
            OpRun run = OpRun.of(
                    () -> elementwise.gatedBackward(activation, tensorDy, tensorGate, tensorUp, tensorGate, dUp),
                    () -> {
                        double[] expectedGate = new double[n];
                        double[] expectedUp = new double[n];
                        DoubleUnaryOperator function = function(activation);
                        double step = 1e-5;
                        for (int i = 0; i < n; i++) {
                            double slope =
                                    (function.applyAsDouble(gate[i] + step) - function.applyAsDouble(gate[i] - step))
                                            / (2 * step);
                            expectedGate[i] = dy[i] * up[i] * slope;
                            expectedUp[i] = dy[i] * function.applyAsDouble(gate[i]);
                        }
                        return List.of(
                                Output.close("dGate", tensorGate, expectedGate), Output.close("dUp", dUp, expectedUp));
                    });
            return n == 0
                    ? run
                    : run.derivativeOf(
                            () -> elementwise.gatedForward(activation, tensorGate, tensorUp, y),
                            y,
                            tensorDy,
                            List.of(
                                    OpRun.activation("gate", tensorGate, tensorGate),
                                    OpRun.activation("up", tensorUp, dUp)));
        });
    }

    private static OpCase sigmoidForward(Use use, int rows, int width, boolean accumulate) {
        double elements = (double) rows * width;
        Work work = new Work((accumulate ? 2 : 1) * elements, (accumulate ? 12 : 8) * elements + 4.0 * rows);
        String shape = rows + "x" + width + (accumulate ? " accumulate" : "");
        return new OpCase(Family.ELEMENTWISE, "sigmoid_gate_fwd", shape, DType.F32, use, work, bench -> {
            float[] x = bench.normal((long) rows * width);
            float[] gate = sigmoidGates(bench, rows);
            float[] before = bench.normal((long) rows * width);
            Tensor tensorX = bench.floats(x, rows, width);
            Tensor tensorGate = bench.floats(gate, rows, 1);
            Tensor y = accumulate ? bench.floats(before, rows, width) : bench.unwritten(rows, width);
            Elementwise elementwise = bench.ops().elementwise();
            return OpRun.of(() -> elementwise.sigmoidGateForward(tensorX, tensorGate, y, accumulate), () -> {
                double[] expected = new double[rows * width];
                for (int i = 0; i < expected.length; i++) {
                    expected[i] = sigmoid(gate[i / width]) * x[i] + (accumulate ? before[i] : 0);
                }
                return List.of(Output.close("y", y, expected));
            });
        });
    }

    private static OpCase sigmoidBackward(Use use, int rows, int width) {
        double elements = (double) rows * width;
        Work work = new Work(3 * elements, 12 * elements + 8.0 * rows);
        String shape = rows + "x" + width;
        return new OpCase(Family.ELEMENTWISE, "sigmoid_gate_bwd", shape, DType.F32, use, work, bench -> {
            float[] x = bench.normal((long) rows * width);
            float[] gate = sigmoidGates(bench, rows);
            float[] dy = bench.normal((long) rows * width);
            Tensor tensorX = bench.floats(x, rows, width);
            Tensor tensorGate = bench.floats(gate, rows, 1);
            Tensor tensorDy = bench.floats(dy, rows, width);
            Tensor y = bench.unwritten(rows, width);
            Tensor dGate = bench.unwritten(rows);
            Elementwise elementwise = bench.ops().elementwise();
            // dx takes the place of x, as in SharedExpert.
            return OpRun.of(
                            () -> elementwise.sigmoidGateBackward(tensorDy, tensorX, tensorGate, tensorX, dGate),
                            () -> {
                                double[] expectedX = new double[rows * width];
                                double[] expectedGate = new double[rows];
                                for (int i = 0; i < expectedX.length; i++) {
                                    double sigmoid = sigmoid(gate[i / width]);
                                    expectedX[i] = sigmoid * dy[i];
                                    expectedGate[i / width] += sigmoid * (1 - sigmoid) * dy[i] * x[i];
                                }
                                return List.of(
                                        Output.close("dx", tensorX, expectedX),
                                        Output.close("dGate", dGate, expectedGate));
                            })
                    .derivativeOf(
                            () -> elementwise.sigmoidGateForward(tensorX, tensorGate, y, false),
                            y,
                            tensorDy,
                            List.of(
                                    OpRun.activation("x", tensorX, tensorX),
                                    OpRun.activation("gate", tensorGate, dGate)));
        });
    }

    private static float[] sigmoidGates(Bench bench, int rows) {
        float[] gate = bench.normal(rows, 2);
        float[] special = {0, 1.5f, -2, 90, -90};
        System.arraycopy(special, 0, gate, 0, Math.min(rows, special.length));
        return gate;
    }

    private static double sigmoid(double x) {
        return 1 / (1 + Math.exp(-x));
    }

    static DoubleUnaryOperator function(Activation activation) {
        return switch (activation) {
            case SILU -> x -> x / (1 + Math.exp(-x));
            case GELU_TANH -> x -> 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x * x * x)));
            case GELU_ERF -> x -> 0.5 * x * (1 + erf(x / Math.sqrt(2)));
        };
    }

    /** Taylor series near 0; farther out, where that cancels, the continued fraction of the complement. */
    private static double erf(double x) {
        if (Math.abs(x) > 2) {
            double fraction = 0;
            for (int n = 100; n > 0; n--) {
                fraction = n / 2.0 / (Math.abs(x) + fraction);
            }
            double complement = Math.exp(-x * x) / Math.sqrt(Math.PI) / (Math.abs(x) + fraction);
            return Math.signum(x) * (1 - complement);
        }
        double term = x;
        double sum = x;
        for (int n = 1; n < 60; n++) {
            term *= -x * x / n;
            sum += term / (2 * n + 1);
        }
        return 2 / Math.sqrt(Math.PI) * sum;
    }
}
