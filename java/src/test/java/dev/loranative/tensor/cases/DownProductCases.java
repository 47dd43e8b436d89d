package dev.loranative.tensor.cases;

import dev.loranative.tensor.Activation;
import dev.loranative.tensor.Bench;
import dev.loranative.tensor.DType;
import dev.loranative.tensor.Ops;
import dev.loranative.tensor.Tensor;
import dev.loranative.tensor.cases.OpCase.Use;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.function.DoubleUnaryOperator;

/** The backward pass of the experts' down projection and of the sum of tokens' rows. */
final class DownProductCases {

    /** Experts without rows, with one row, with many. */
    private static final int[] OFFSETS = {0, 3, 3, 20, 21, 40};

    private static final int[] RANKS = {4, 2, 0, 7, 3};
    private static final int EXPERTS = RANKS.length;
    private static final int ROWS = OFFSETS[EXPERTS];
    private static final int TOP_K = 2;
    private static final int TOKENS = ROWS / TOP_K;
    private static final int IN = 19;
    private static final int OUT = 37;

    private DownProductCases() {}

    static List<OpCase> all() {
        List<OpCase> cases = new ArrayList<>();
        for (DType dtype : ProductCases.WEIGHTS) {
            cases.add(backward(Activation.SILU, dtype, RANKS));
        }
        cases.add(backward(Activation.GELU_TANH, DType.BF16, null));
        cases.add(backward(Activation.GELU_ERF, DType.F32, RANKS));
        return cases;
    }

    private static OpCase backward(Activation activation, DType dtype, int[] ranks) {
        String shape = EXPERTS + "e " + TOKENS + "x" + TOP_K + "x" + OUT + "x" + IN + " "
                + activation.name().toLowerCase(Locale.ROOT) + " r" + ExpertProjection.maxRank(ranks);
        Work work = new Work(
                2.0 * ROWS * IN * OUT,
                4.0 * (TOKENS * OUT + 5 * ROWS * IN) + EXPERTS * Work.weightBytes(dtype, (double) IN * OUT));
        return new OpCase(Family.GROUPED_PRODUCTS, "grouped_down_bwd", shape, dtype, Use.CHECK, work, bench -> {
            Experts experts = new Experts(bench, activation, dtype, ranks);
            experts.forward();
            return OpRun.of(experts::backward, experts::outputs)
                    .derivativeOf(experts::forward, experts.y, experts.tensorDy, experts.inputs());
        });
    }

    private static final class Experts {

        final Ops ops;
        final Activation activation;
        final ExpertProjection down;
        final Matrix gate;
        final Matrix up;
        final Matrix dy;
        final float[] scores = new float[ROWS];
        final int[] rowsOfPairs = new int[ROWS];
        final Tensor tensorGate;
        final Tensor tensorUp;
        final Tensor tensorDy;
        final Tensor tensorScores;
        final Tensor tensorRows;
        final Tensor offsets;
        final Tensor inner;
        final Tensor y;
        final Tensor dGate;
        final Tensor dUp;
        final Tensor dScores;

        Experts(Bench bench, Activation activation, DType dtype, int[] ranks) {
            this.ops = bench.ops();
            this.activation = activation;
            this.down = new ExpertProjection(bench, "down", dtype, ranks, OFFSETS, OUT, IN);
            float[] gated = bench.normal(ROWS * IN);
            float[] raised = bench.normal(ROWS * IN);
            float[] gradient = bench.normal(TOKENS * OUT);
            gate = Matrix.of(gated, ROWS, IN);
            up = Matrix.of(raised, ROWS, IN);
            dy = Matrix.of(gradient, TOKENS, OUT);
            for (int pair = 0; pair < ROWS; pair++) {
                rowsOfPairs[pair] = (pair * 7 + 3) % ROWS;
                scores[pair] = 0.125f + 0.75f * pair / ROWS;
            }
            tensorGate = bench.floats(gated, ROWS, IN);
            tensorUp = bench.floats(raised, ROWS, IN);
            tensorDy = bench.floats(gradient, TOKENS, OUT);
            tensorScores = bench.floats(scores, TOKENS, TOP_K);
            tensorRows = bench.ints(rowsOfPairs, ROWS);
            offsets = bench.ints(OFFSETS, OFFSETS.length);
            inner = bench.unwritten(ROWS, IN);
            y = bench.unwritten(TOKENS, OUT);
            dGate = bench.unwritten(ROWS, IN);
            dUp = bench.unwritten(ROWS, IN);
            dScores = bench.unwritten(TOKENS, TOP_K);
        }

        void forward() {
            ops.elementwise().gatedForward(activation, tensorGate, tensorUp, inner);
            ops.products().groupedLinearForward(inner, null, offsets, down.weights, down.lora, down.u, down.result);
            ops.routing().combineForward(down.result, tensorRows, tensorScores, y, false);
        }

        void backward() {
            ops.elementwise().copy(tensorGate, dGate);
            ops.elementwise().copy(tensorUp, dUp);
            ops.gatedProducts()
                    .downBackward(
                            activation,
                            tensorDy,
                            tensorRows,
                            tensorScores,
                            dScores,
                            offsets,
                            down.backward(),
                            dGate,
                            dUp,
                            inner);
        }

        List<Output> outputs() {
            Matrix rows = Matrix.zeros(ROWS, OUT);
            double[] scoreOfRow = new double[ROWS];
            for (int pair = 0; pair < ROWS; pair++) {
                rows.put(rowsOfPairs[pair], dy.part(pair / TOP_K, 1));
                scoreOfRow[rowsOfPairs[pair]] = scores[pair];
            }
            Matrix gradient = down.back(rows);
            double[] expectedGate = new double[ROWS * IN];
            double[] expectedUp = new double[ROWS * IN];
            double[] expectedInner = new double[ROWS * IN];
            double[] dots = new double[ROWS];
            DoubleUnaryOperator function = ActivationCases.function(activation);
            double step = 1e-5;
            for (int i = 0; i < ROWS * IN; i++) {
                int row = i / IN;
                double at = gate.values()[i];
                double value = function.applyAsDouble(at);
                double slope = (function.applyAsDouble(at + step) - function.applyAsDouble(at - step)) / (2 * step);
                double scored = scoreOfRow[row] * gradient.values()[i];
                expectedGate[i] = scored * up.values()[i] * slope;
                expectedUp[i] = scored * value;
                expectedInner[i] = scoreOfRow[row] * value * up.values()[i];
                dots[row] += gradient.values()[i] * value * up.values()[i];
            }
            double[] expectedScores = new double[ROWS];
            for (int pair = 0; pair < ROWS; pair++) {
                expectedScores[pair] = dots[rowsOfPairs[pair]];
            }
            return List.of(
                    Output.close("dScores", dScores, expectedScores, 1e-4),
                    Output.close("dGate", dGate, expectedGate, 1e-4),
                    Output.close("dUp", dUp, expectedUp, 1e-4),
                    Output.close("inner", inner, expectedInner, 1e-5));
        }

        List<OpRun.Input> inputs() {
            List<OpRun.Input> inputs = new ArrayList<>();
            inputs.add(OpRun.activation("gate", tensorGate, dGate));
            inputs.add(OpRun.activation("up", tensorUp, dUp));
            inputs.add(OpRun.activation("scores", tensorScores, dScores));
            down.addInputs(inputs);
            return inputs;
        }
    }
}
