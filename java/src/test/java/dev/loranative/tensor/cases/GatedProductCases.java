package dev.loranative.tensor.cases;

import dev.loranative.tensor.Activation;
import dev.loranative.tensor.Bench;
import dev.loranative.tensor.DType;
import dev.loranative.tensor.GatedProducts;
import dev.loranative.tensor.Tensor;
import dev.loranative.tensor.cases.OpCase.Use;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.function.DoubleUnaryOperator;

/** The gated half of experts: two grouped products over the same rows and the activation behind them. */
final class GatedProductCases {

    /** Experts without rows, with one row, with many. */
    private static final int[] OFFSETS = {0, 3, 3, 20, 21, 40};

    private static final int[] RANKS = {4, 2, 0, 7, 3};
    private static final int[] OTHER_RANKS = {0, 2, 5, 1, 3};
    private static final int IN = 37;
    private static final int OUT = 19;
    private static final int EXPERTS = RANKS.length;
    private static final int ROWS = OFFSETS[EXPERTS];

    private GatedProductCases() {}

    static List<OpCase> all() {
        List<OpCase> cases = new ArrayList<>();
        for (DType dtype : ProductCases.WEIGHTS) {
            add(cases, Activation.SILU, dtype, RANKS, OTHER_RANKS);
        }
        add(cases, Activation.GELU_TANH, DType.BF16, RANKS, null);
        add(cases, Activation.GELU_ERF, DType.F32, null, OTHER_RANKS);
        return cases;
    }

    private static void add(List<OpCase> cases, Activation activation, DType dtype, int[] gate, int[] up) {
        String shape = EXPERTS + "e " + ROWS + "x" + OUT + "x" + IN + " "
                + activation.name().toLowerCase(Locale.ROOT) + " r" + ExpertProjection.maxRank(gate) + " r"
                + ExpertProjection.maxRank(up);
        double products = 4.0 * ROWS * IN * OUT;
        double bytes = 4.0 * ROWS * (IN + 3 * OUT) + 2 * EXPERTS * Work.weightBytes(dtype, (double) IN * OUT);
        Work forward = new Work(products, bytes);
        cases.add(new OpCase(Family.GROUPED_PRODUCTS, "grouped_gated_fwd", shape, dtype, Use.CHECK, forward, bench -> {
            Experts experts = new Experts(bench, activation, dtype, gate, up);
            return OpRun.of(experts::forward, experts::forwardOutputs);
        }));
        Work backward = new Work(products, bytes + 4.0 * ROWS * (IN + 3 * OUT));
        cases.add(new OpCase(Family.GROUPED_PRODUCTS, "grouped_gated_bwd", shape, dtype, Use.CHECK, backward, bench -> {
            Experts experts = new Experts(bench, activation, dtype, gate, up);
            experts.forward();
            return OpRun.of(experts::backward, experts::backwardOutputs)
                    .derivativeOf(experts::forward, experts.y, experts.tensorDy, experts.inputs());
        }));
    }

    private static final class Experts {

        final GatedProducts products;
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

        Experts(Bench bench, Activation activation, DType dtype, int[] gateRanks, int[] upRanks) {
            this.products = bench.ops().gatedProducts();
            this.activation = activation;
            this.gate = new ExpertProjection(bench, "gate", dtype, gateRanks, OFFSETS, OUT, IN);
            this.up = new ExpertProjection(bench, "up", dtype, upRanks, OFFSETS, OUT, IN);
            float[] input = bench.normal(ROWS * IN);
            float[] gradient = bench.normal(ROWS * OUT);
            x = Matrix.of(input, ROWS, IN);
            dy = Matrix.of(gradient, ROWS, OUT);
            tensorX = bench.floats(input, ROWS, IN);
            tensorDy = bench.floats(gradient, ROWS, OUT);
            offsets = bench.ints(OFFSETS, OFFSETS.length);
            y = bench.unwritten(ROWS, OUT);
            dx = bench.unwritten(ROWS, IN);
        }

        void forward() {
            products.forward(activation, tensorX, offsets, gate.forward(), up.forward(), gate.result, up.result, y);
        }

        void backward() {
            products.backward(
                    activation, tensorDy, tensorX, offsets, gate.backward(), up.backward(), gate.result, up.result, dx);
        }

        List<Output> forwardOutputs() {
            Matrix gated = gate.product(x);
            Matrix raised = up.product(x);
            double[] expected = new double[ROWS * OUT];
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
            Matrix dGate = Matrix.zeros(ROWS, OUT);
            Matrix dUp = Matrix.zeros(ROWS, OUT);
            DoubleUnaryOperator function = ActivationCases.function(activation);
            double step = 1e-5;
            for (int i = 0; i < ROWS * OUT; i++) {
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
