package dev.loranative.tensor.cases;

import dev.loranative.tensor.Activation;
import dev.loranative.tensor.Bench;
import dev.loranative.tensor.DType;
import dev.loranative.tensor.ExpertWeights;
import dev.loranative.tensor.GatedProducts;
import dev.loranative.tensor.Products;
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
                + activation.name().toLowerCase(Locale.ROOT) + " r" + maxRank(gate) + " r" + maxRank(up);
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

    private static int maxRank(int[] ranks) {
        return ranks == null ? 0 : Arrays.stream(ranks).max().orElseThrow();
    }

    /** One projection, as tensors and as matrices. */
    private static final class Side {

        final String name;
        final int[] ranks;
        final ExpertWeights weights;
        final Matrix[] w = new Matrix[EXPERTS];
        final Matrix[] a = new Matrix[EXPERTS];
        final Matrix[] b = new Matrix[EXPERTS];
        final Tensor[] tensorsA = new Tensor[EXPERTS];
        final Tensor[] tensorsB = new Tensor[EXPERTS];
        final Tensor[] gradA = new Tensor[EXPERTS];
        final Tensor[] gradB = new Tensor[EXPERTS];
        final Products.GroupedLora lora;
        final Tensor u;
        final Tensor v;
        final Tensor result;

        Side(Bench bench, String name, DType dtype, int[] ranks) {
            this.name = name;
            this.ranks = ranks;
            Tensor[] tensors = new Tensor[EXPERTS];
            for (int expert = 0; expert < EXPERTS; expert++) {
                float[] weight = bench.normal(OUT * IN, 0.3);
                tensors[expert] = bench.weight(dtype, weight, OUT, IN);
                w[expert] = Matrix.of(weight, OUT, IN);
                if (rank(expert) > 0) {
                    float[] down = bench.normal(rank(expert) * IN, 0.3);
                    float[] back = bench.normal(OUT * rank(expert), 0.3);
                    a[expert] = Matrix.of(down, rank(expert), IN);
                    b[expert] = Matrix.of(back, OUT, rank(expert));
                    tensorsA[expert] = bench.floats(down, rank(expert), IN);
                    tensorsB[expert] = bench.floats(back, OUT, rank(expert));
                    gradA[expert] = bench.floats(new float[rank(expert) * IN], rank(expert), IN);
                    gradB[expert] = bench.floats(new float[OUT * rank(expert)], OUT, rank(expert));
                }
            }
            weights = new ExpertWeights(bench.device(), tensors);
            int maxRank = maxRank(ranks);
            u = ranks == null ? null : bench.unwritten(ROWS, maxRank);
            v = ranks == null ? null : bench.unwritten(ROWS, maxRank);
            result = bench.unwritten(ROWS, OUT);
            float[] scales = new float[EXPERTS];
            for (int expert = 0; expert < EXPERTS; expert++) {
                scales[expert] = 0.5f + 0.25f * expert;
            }
            lora = ranks == null
                    ? null
                    : new Products.GroupedLora(
                            Tensor.addresses(bench.device(), tensorsA),
                            Tensor.addresses(bench.device(), tensorsB),
                            Tensor.addresses(bench.device(), gradA),
                            Tensor.addresses(bench.device(), gradB),
                            bench.ints(ranks, EXPERTS),
                            bench.floats(scales, EXPERTS),
                            maxRank);
        }

        private int rank(int expert) {
            return ranks == null ? 0 : ranks[expert];
        }

        GatedProducts.Side forward() {
            return new GatedProducts.Side(weights, lora, u, null);
        }

        GatedProducts.Side backward() {
            return new GatedProducts.Side(weights, lora, u, v);
        }

        /** The expert's weight with its adapter. */
        Matrix adapted(int expert) {
            return rank(expert) == 0
                    ? w[expert]
                    : w[expert].plus(b[expert].times(a[expert]).times(0.5 + 0.25 * expert));
        }

        Matrix product(Matrix x) {
            Matrix product = Matrix.zeros(ROWS, OUT);
            for (int expert = 0; expert < EXPERTS; expert++) {
                int count = OFFSETS[expert + 1] - OFFSETS[expert];
                product.put(
                        OFFSETS[expert],
                        x.part(OFFSETS[expert], count).times(adapted(expert).transpose()));
            }
            return product;
        }

        /** What goes to x. */
        Matrix back(Matrix gradient) {
            Matrix dx = Matrix.zeros(ROWS, IN);
            for (int expert = 0; expert < EXPERTS; expert++) {
                int count = OFFSETS[expert + 1] - OFFSETS[expert];
                dx.put(OFFSETS[expert], gradient.part(OFFSETS[expert], count).times(adapted(expert)));
            }
            return dx;
        }

        void addInputs(List<OpRun.Input> inputs) {
            for (int expert = 0; expert < EXPERTS; expert++) {
                if (rank(expert) > 0 && OFFSETS[expert + 1] > OFFSETS[expert]) {
                    inputs.add(OpRun.parameter(name + " a of " + expert, tensorsA[expert], gradA[expert]));
                    inputs.add(OpRun.parameter(name + " b of " + expert, tensorsB[expert], gradB[expert]));
                }
            }
        }
    }

    private static final class Experts {

        final GatedProducts products;
        final Activation activation;
        final Side gate;
        final Side up;
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
            this.gate = new Side(bench, "gate", dtype, gateRanks);
            this.up = new Side(bench, "up", dtype, upRanks);
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
