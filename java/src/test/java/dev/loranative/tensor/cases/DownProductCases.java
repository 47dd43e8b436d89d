package dev.loranative.tensor.cases;

import dev.loranative.tensor.Activation;
import dev.loranative.tensor.Bench;
import dev.loranative.tensor.DType;
import dev.loranative.tensor.Ops;
import dev.loranative.tensor.Tensor;
import dev.loranative.tensor.cases.OpCase.Use;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.function.DoubleUnaryOperator;

/** The backward pass of the experts' down projection and of the sum of tokens' rows. */
final class DownProductCases {

    /** Experts without rows, with one row, with many. */
    private static final int[] OFFSETS = {0, 3, 3, 20, 21, 40};

    private static final int[] RANKS = {4, 2, 0, 7, 3};

    private DownProductCases() {}

    /** @param ranks of the experts' adapters, null for none */
    private record Size(int[] offsets, int topK, int in, int out, int[] ranks, DType dtype) {

        int experts() {
            return offsets.length - 1;
        }

        int rows() {
            return offsets[experts()];
        }

        int tokens() {
            return rows() / topK;
        }

        String text(Activation activation) {
            return experts() + "e " + tokens() + "x" + topK + "x" + out + "x" + in + " "
                    + activation.name().toLowerCase(Locale.ROOT) + " r" + ExpertProjection.maxRank(ranks);
        }

        Work work() {
            double flops = 2.0 * rows() * in * out;
            for (int expert = 0; ranks != null && expert < experts(); expert++) {
                flops += 4.0 * (offsets[expert + 1] - offsets[expert]) * ranks[expert] * (in + out);
            }
            return new Work(
                    flops,
                    4.0 * ((double) tokens() * out + 5.0 * rows() * in)
                            + experts() * Work.weightBytes(dtype, (double) in * out));
        }
    }

    static List<OpCase> all() {
        List<OpCase> cases = new ArrayList<>();
        for (DType dtype : ProductCases.LAYER_WEIGHTS) {
            cases.add(backward(Use.CHECK, Activation.SILU, new Size(OFFSETS, 2, 19, 37, RANKS, dtype)));
        }
        cases.add(backward(Use.CHECK, Activation.GELU_TANH, new Size(OFFSETS, 2, 19, 37, null, DType.BF16)));
        cases.add(backward(Use.CHECK, Activation.GELU_ERF, new Size(OFFSETS, 2, 19, 37, RANKS, DType.F32)));
        timed(cases, 16, 4, 192, 256);
        timed(cases, 64, 8, 256, 768);
        return cases;
    }

    /** 512 tokens: experts without adapters, and in 16 bits with. */
    private static void timed(List<OpCase> cases, int experts, int topK, int in, int out) {
        int[] offsets = GroupedProductCases.uneven(experts, 512 * topK);
        int[] ranks = new int[experts];
        Arrays.fill(ranks, 8);
        for (DType dtype : ProductCases.TIMED_WEIGHTS) {
            cases.add(backward(Use.TIME, Activation.SILU, new Size(offsets, topK, in, out, null, dtype)));
        }
        cases.add(backward(Use.TIME, Activation.SILU, new Size(offsets, topK, in, out, ranks, DType.BF16)));
    }

    private static OpCase backward(Use use, Activation activation, Size size) {
        return new OpCase(
                Family.GROUPED_PRODUCTS,
                "grouped_down_bwd",
                size.text(activation),
                size.dtype(),
                use,
                size.work(),
                bench -> {
                    Experts experts = new Experts(bench, activation, size);
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
        final int count;
        final int tokens;
        final int topK;
        final int in;
        final int out;
        final float[] scores;
        final int[] rowsOfPairs;
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

        Experts(Bench bench, Activation activation, Size size) {
            this.ops = bench.ops();
            this.activation = activation;
            count = size.rows();
            tokens = size.tokens();
            topK = size.topK();
            in = size.in();
            out = size.out();
            scores = new float[count];
            rowsOfPairs = new int[count];
            down = new ExpertProjection(bench, "down", size.dtype(), size.ranks(), size.offsets(), out, in);
            float[] gated = bench.normal(count * in);
            float[] raised = bench.normal(count * in);
            float[] gradient = bench.normal(tokens * out);
            gate = Matrix.of(gated, count, in);
            up = Matrix.of(raised, count, in);
            dy = Matrix.of(gradient, tokens, out);
            for (int pair = 0; pair < count; pair++) {
                rowsOfPairs[pair] = (pair * 7 + 3) % count;
                scores[pair] = 0.125f + 0.75f * pair / count;
            }
            tensorGate = bench.floats(gated, count, in);
            tensorUp = bench.floats(raised, count, in);
            tensorDy = bench.floats(gradient, tokens, out);
            tensorScores = bench.floats(scores, tokens, topK);
            tensorRows = bench.ints(rowsOfPairs, count);
            offsets = bench.ints(size.offsets(), size.offsets().length);
            inner = bench.unwritten(count, in);
            y = bench.unwritten(tokens, out);
            dGate = bench.unwritten(count, in);
            dUp = bench.unwritten(count, in);
            dScores = bench.unwritten(tokens, topK);
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
            Matrix rows = Matrix.zeros(count, out);
            double[] scoreOfRow = new double[count];
            for (int pair = 0; pair < count; pair++) {
                rows.put(rowsOfPairs[pair], dy.part(pair / topK, 1));
                scoreOfRow[rowsOfPairs[pair]] = scores[pair];
            }
            Matrix gradient = down.back(rows);
            double[] expectedGate = new double[count * in];
            double[] expectedUp = new double[count * in];
            double[] expectedInner = new double[count * in];
            double[] dots = new double[count];
            DoubleUnaryOperator function = ActivationCases.function(activation);
            double step = 1e-5;
            for (int i = 0; i < count * in; i++) {
                int row = i / in;
                double at = gate.values()[i];
                double value = function.applyAsDouble(at);
                double slope = (function.applyAsDouble(at + step) - function.applyAsDouble(at - step)) / (2 * step);
                double scored = scoreOfRow[row] * gradient.values()[i];
                expectedGate[i] = scored * up.values()[i] * slope;
                expectedUp[i] = scored * value;
                expectedInner[i] = scoreOfRow[row] * value * up.values()[i];
                dots[row] += gradient.values()[i] * value * up.values()[i];
            }
            double[] expectedScores = new double[count];
            for (int pair = 0; pair < count; pair++) {
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
