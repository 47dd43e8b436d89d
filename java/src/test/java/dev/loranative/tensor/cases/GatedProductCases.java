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

/** The gated half of experts: two grouped products over the same rows and the activation behind them. */
final class GatedProductCases {

    /** Experts without rows, with one row, with many. */
    private static final int[] OFFSETS = {0, 3, 3, 20, 21, 40};

    private static final int[] RANKS = {4, 2, 0, 7, 3};
    private static final int[] OTHER_RANKS = {0, 2, 5, 1, 3};

    private GatedProductCases() {}

    /**
     * Experts that a batch visits.
     *
     * @param gate ranks of the adapters of each expert's gate, null for none
     * @param up like gate
     */
    private record Size(int[] offsets, int in, int out, int[] gate, int[] up, DType dtype) {

        int experts() {
            return offsets.length - 1;
        }

        int rows() {
            return offsets[experts()];
        }

        String text(Activation activation) {
            return experts() + "e " + rows() + "x" + out + "x" + in + " "
                    + activation.name().toLowerCase(Locale.ROOT) + " r" + ExpertProjection.maxRank(gate) + " r"
                    + ExpertProjection.maxRank(up);
        }

        /** Both products, and those of the adapters; backward has the parameters' gradients too. */
        double flops(boolean backward) {
            double flops = 4.0 * rows() * in * out;
            for (int expert = 0; expert < experts(); expert++) {
                int ranks = (gate == null ? 0 : gate[expert]) + (up == null ? 0 : up[expert]);
                flops += (backward ? 4.0 : 2.0) * (offsets[expert + 1] - offsets[expert]) * ranks * (in + out);
            }
            return flops;
        }

        /** Every expert's weights and adapters, x and the three results. */
        double bytes() {
            return 4.0 * rows() * (in + 3 * out) + 2 * experts() * Work.weightBytes(dtype, (double) in * out);
        }
    }

    static List<OpCase> all() {
        List<OpCase> cases = new ArrayList<>();
        for (DType dtype : ProductCases.LAYER_WEIGHTS) {
            add(cases, Use.CHECK, Activation.SILU, new Size(OFFSETS, 37, 19, RANKS, OTHER_RANKS, dtype));
        }
        add(cases, Use.CHECK, Activation.GELU_TANH, new Size(OFFSETS, 37, 19, RANKS, null, DType.BF16));
        add(cases, Use.CHECK, Activation.GELU_ERF, new Size(OFFSETS, 37, 19, null, OTHER_RANKS, DType.F32));
        timed(cases, 16, 2048, 256, 192);
        timed(cases, 64, 4096, 768, 256);
        return cases;
    }

    /** A layer's experts without adapters, and in 16 bits with. */
    private static void timed(List<OpCase> cases, int experts, int rows, int in, int out) {
        int[] offsets = GroupedProductCases.uneven(experts, rows);
        int[] ranks = new int[experts];
        Arrays.fill(ranks, 8);
        for (DType dtype : ProductCases.TIMED_WEIGHTS) {
            add(cases, Use.TIME, Activation.SILU, new Size(offsets, in, out, null, null, dtype));
        }
        add(cases, Use.TIME, Activation.SILU, new Size(offsets, in, out, ranks, ranks, DType.BF16));
    }

    private static void add(List<OpCase> cases, Use use, Activation activation, Size size) {
        String shape = size.text(activation);
        DType dtype = size.dtype();
        Work forward = new Work(size.flops(false), size.bytes());
        cases.add(new OpCase(Family.GROUPED_PRODUCTS, "grouped_gated_fwd", shape, dtype, use, forward, bench -> {
            Experts experts = new Experts(bench, activation, size);
            return OpRun.of(experts::forward, experts::forwardOutputs);
        }));
        Work backward = new Work(size.flops(true), size.bytes() + 4.0 * size.rows() * (size.in() + 3 * size.out()));
        cases.add(new OpCase(Family.GROUPED_PRODUCTS, "grouped_gated_bwd", shape, dtype, use, backward, bench -> {
            Experts experts = new Experts(bench, activation, size);
            experts.forward();
            experts.keep();
            return OpRun.of(experts::backward, experts::backwardOutputs)
                    .derivativeOf(experts::forward, experts.y, experts.tensorDy, experts.inputs());
        }));
    }

    private static final class Experts {

        final Ops ops;
        final Activation activation;
        final ExpertProjection gate;
        final ExpertProjection up;
        final Matrix x;
        final Matrix dy;
        final Tensor tensorX;
        final Tensor tensorDy;
        final Tensor offsets;
        final Tensor y;
        final Tensor dx;
        final Tensor keptGate;
        final Tensor keptUp;
        final int rows;
        final int in;
        final int out;

        Experts(Bench bench, Activation activation, Size size) {
            this.ops = bench.ops();
            this.activation = activation;
            rows = size.rows();
            in = size.in();
            out = size.out();
            gate = new ExpertProjection(bench, "gate", size.dtype(), size.gate(), size.offsets(), out, in);
            up = new ExpertProjection(bench, "up", size.dtype(), size.up(), size.offsets(), out, in);
            float[] input = bench.normal((long) rows * in);
            float[] gradient = bench.normal((long) rows * out);
            x = Matrix.of(input, rows, in);
            dy = Matrix.of(gradient, rows, out);
            tensorX = bench.floats(input, rows, in);
            tensorDy = bench.floats(gradient, rows, out);
            offsets = bench.ints(size.offsets(), size.offsets().length);
            y = bench.unwritten(rows, out);
            dx = bench.unwritten(rows, in);
            keptGate = bench.unwritten(rows, out);
            keptUp = bench.unwritten(rows, out);
        }

        /** What forward left, before gradients take its place. */
        void keep() {
            ops.elementwise().copy(gate.result, keptGate);
            ops.elementwise().copy(up.result, keptUp);
        }

        void forward() {
            ops.gatedProducts()
                    .forward(activation, tensorX, offsets, gate.forward(), up.forward(), gate.result, up.result, y);
        }

        void backward() {
            ops.elementwise().copy(keptGate, gate.result);
            ops.elementwise().copy(keptUp, up.result);
            ops.gatedProducts()
                    .backward(
                            activation,
                            tensorDy,
                            tensorX,
                            offsets,
                            gate.backward(),
                            up.backward(),
                            gate.result,
                            up.result,
                            dx);
        }

        List<Output> forwardOutputs() {
            Matrix gated = gate.product(x);
            Matrix raised = up.product(x);
            double[] expected = new double[rows * out];
            DoubleUnaryOperator function = ActivationCases.function(activation);
            for (int i = 0; i < expected.length; i++) {
                expected[i] = function.applyAsDouble(gated.values()[i]) * raised.values()[i];
            }
            return List.of(
                    Output.close("gate", gate.result, gated.values(), 5e-5),
                    Output.close("up", up.result, raised.values(), 5e-5),
                    Output.close("y", y, expected, 1e-4));
        }

        List<Output> backwardOutputs() {
            Matrix gated = gate.product(x);
            Matrix raised = up.product(x);
            Matrix dGate = Matrix.zeros(rows, out);
            Matrix dUp = Matrix.zeros(rows, out);
            DoubleUnaryOperator function = ActivationCases.function(activation);
            double step = 1e-5;
            for (int i = 0; i < rows * out; i++) {
                double at = gated.values()[i];
                double slope = (function.applyAsDouble(at + step) - function.applyAsDouble(at - step)) / (2 * step);
                dGate.values()[i] = dy.values()[i] * raised.values()[i] * slope;
                dUp.values()[i] = dy.values()[i] * function.applyAsDouble(at);
            }
            return List.of(
                    Output.close("dGate", gate.result, dGate.values(), 1e-4),
                    Output.close("dUp", up.result, dUp.values(), 1e-4),
                    Output.close("dx", dx, gate.back(dGate).plus(up.back(dUp)).values(), 2e-4));
        }

        List<OpRun.Input> inputs() {
            List<OpRun.Input> inputs = new ArrayList<>();
            inputs.add(OpRun.activation("x", tensorX, dx));
            gate.addInputs(inputs);
            up.addInputs(inputs);
            return inputs;
        }
    }
}
