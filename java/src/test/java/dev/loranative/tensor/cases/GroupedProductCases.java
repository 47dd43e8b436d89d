package dev.loranative.tensor.cases;

import dev.loranative.tensor.Bench;
import dev.loranative.tensor.DType;
import dev.loranative.tensor.ExpertWeights;
import dev.loranative.tensor.Products;
import dev.loranative.tensor.Tensor;
import dev.loranative.tensor.cases.OpCase.Use;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** Grouped products: experts without rows, without adapter, of differing ranks; and the experts of real models. */
final class GroupedProductCases {

    /** Experts without rows, with one row, with many; without adapter and with adapters of differing ranks. */
    private static final int[] OFFSETS = {0, 3, 3, 20, 21, 54};

    private static final int[] RANKS = {4, 2, 0, 7, 3};
    private static final float[] SCALES = {0.5f, 1, 3, 2, 1.25f};

    private GroupedProductCases() {}

    static List<OpCase> all() {
        List<OpCase> cases = new ArrayList<>();
        for (DType dtype : ProductCases.LAYER_WEIGHTS) {
            Size plain = new Size(OFFSETS, 37, 19, null, dtype, false);
            cases.add(forward(Use.CHECK, plain));
            cases.add(backward(Use.CHECK, plain, false));
            cases.add(backward(Use.CHECK, plain, true));
        }
        for (boolean ownInput : new boolean[] {false, true}) {
            Size adapted = new Size(OFFSETS, 37, 19, RANKS, DType.BF16, ownInput);
            cases.add(forward(Use.CHECK, adapted));
            cases.add(backward(Use.CHECK, adapted, false));
        }
        // 512 tokens: 16 experts of which each token takes 4, then 64 of which it takes 8.
        for (DType dtype : ProductCases.TIMED_WEIGHTS) {
            timed(cases, uneven(16, 2048), 256, 192, dtype);
            timed(cases, uneven(16, 2048), 192, 256, dtype);
            timed(cases, uneven(64, 4096), 768, 256, dtype);
            timed(cases, uneven(64, 4096), 256, 768, dtype);
        }
        return cases;
    }

    private static void timed(List<OpCase> cases, int[] offsets, int in, int out, DType dtype) {
        int[] ranks = new int[offsets.length - 1];
        Arrays.fill(ranks, 8);
        for (int[] adapters : new int[][] {null, ranks}) {
            Size size = new Size(offsets, in, out, adapters, dtype, false);
            cases.add(forward(Use.TIME, size));
            cases.add(backward(Use.TIME, size, false));
        }
    }

    /** Offsets whose experts get from half to one and a half times the mean, as routers do. */
    static int[] uneven(int experts, int rows) {
        int[] offsets = new int[experts + 1];
        double total = 0;
        for (int expert = 0; expert < experts; expert++) {
            total += share(expert, experts);
        }
        double sum = 0;
        for (int expert = 0; expert < experts; expert++) {
            sum += share(expert, experts);
            offsets[expert + 1] = (int) Math.round(sum / total * rows);
        }
        return offsets;
    }

    private static double share(int expert, int experts) {
        return 0.5 + (expert * 7 % experts) / (double) (experts - 1);
    }

    /** @param ranks of the experts' adapters, 0 for none; null for a layer without adapters */
    private record Size(int[] offsets, int in, int out, int[] ranks, DType dtype, boolean ownInput) {

        int experts() {
            return offsets.length - 1;
        }

        int rows() {
            return offsets[experts()];
        }

        int first(int expert) {
            return offsets[expert];
        }

        int count(int expert) {
            return offsets[expert + 1] - offsets[expert];
        }

        int rank(int expert) {
            return ranks == null ? 0 : ranks[expert];
        }

        int maxRank() {
            return ranks == null ? 0 : Arrays.stream(ranks).max().orElseThrow();
        }

        float scale(int expert) {
            return SCALES[expert % SCALES.length];
        }

        String text() {
            return experts() + "e " + rows() + "x" + out + "x" + in + (ranks == null ? "" : " r" + maxRank())
                    + (ownInput ? " own input" : "");
        }

        /** Only the weights of experts that have rows are read. */
        private double weightBytes() {
            double bytes = 0;
            for (int expert = 0; expert < experts(); expert++) {
                bytes += count(expert) == 0
                        ? 0
                        : Work.weightBytes(dtype, (double) in * out) + 4.0 * rank(expert) * (in + out);
            }
            return bytes;
        }

        private double rankFlops() {
            double flops = 0;
            for (int expert = 0; expert < experts(); expert++) {
                flops += 2.0 * count(expert) * rank(expert) * (in + out);
            }
            return flops;
        }

        Work forward() {
            return new Work(
                    2.0 * rows() * in * out + rankFlops(),
                    4.0 * rows() * (in + out + maxRank() + (ownInput ? in : 0)) + weightBytes());
        }

        Work backward(boolean accumulate) {
            double adapters = 0;
            for (int expert = 0; expert < experts(); expert++) {
                adapters += count(expert) == 0 ? 0 : 8.0 * rank(expert) * (in + out);
            }
            int inputs = (accumulate ? 2 : 1) + (ranks == null ? 0 : 1) + (ownInput ? 2 : 0);
            return new Work(
                    2.0 * rows() * in * out + 2 * rankFlops(),
                    4.0 * rows() * (inputs * in + out + 2.0 * maxRank()) + weightBytes() + adapters);
        }
    }

    /** The same things as tensors and as matrices. */
    private static final class Layer {

        final Size size;
        final Products products;
        final ExpertWeights weights;
        final float[][] w;
        final Matrix[] a;
        final Matrix[] b;
        final Tensor[] tensorsA;
        final Tensor[] tensorsB;
        final Tensor[] gradA;
        final Tensor[] gradB;
        final Products.GroupedLora lora;
        final Tensor offsets;
        final float[] x;
        final float[] loraX;
        final float[] dy;
        final float[] before;
        final Tensor tensorX;
        final Tensor tensorLoraX;
        final Tensor tensorDy;
        final Tensor u;
        final Tensor v;
        final Tensor y;
        final Tensor dx;
        final Tensor dLoraX;

        Layer(Bench bench, Size size, boolean accumulate) {
            this.size = size;
            int experts = size.experts();
            int rows = size.rows();
            products = bench.ops().products();
            w = new float[experts][];
            a = new Matrix[experts];
            b = new Matrix[experts];
            tensorsA = new Tensor[experts];
            tensorsB = new Tensor[experts];
            gradA = new Tensor[experts];
            gradB = new Tensor[experts];
            Tensor[] tensors = new Tensor[experts];
            for (int expert = 0; expert < experts; expert++) {
                float[] weight = bench.normal((long) size.out() * size.in());
                tensors[expert] = bench.weight(size.dtype(), weight, size.out(), size.in());
                w[expert] = weight;
                if (size.rank(expert) > 0) {
                    adapt(bench, expert);
                }
            }
            weights = new ExpertWeights(bench.device(), tensors);
            offsets = bench.ints(size.offsets(), experts + 1);
            lora = size.ranks() == null ? null : table(bench);
            x = bench.normal((long) rows * size.in());
            loraX = size.ownInput() ? bench.normal((long) rows * size.in()) : x;
            dy = bench.normal((long) rows * size.out());
            before = bench.normal((long) rows * size.in());
            tensorX = bench.floats(x, rows, size.in());
            tensorLoraX = size.ownInput() ? bench.floats(loraX, rows, size.in()) : null;
            tensorDy = bench.floats(dy, rows, size.out());
            u = lora == null ? null : bench.unwritten(rows, size.maxRank());
            v = lora == null ? null : bench.unwritten(rows, size.maxRank());
            y = bench.unwritten(rows, size.out());
            dx = accumulate ? bench.floats(before, rows, size.in()) : bench.unwritten(rows, size.in());
            dLoraX = size.ownInput() ? bench.unwritten(rows, size.in()) : null;
        }

        private void adapt(Bench bench, int expert) {
            int rank = size.rank(expert);
            float[] down = bench.normal((long) rank * size.in(), 0.3);
            float[] up = bench.normal((long) size.out() * rank, 0.3);
            tensorsA[expert] = bench.floats(down, rank, size.in());
            tensorsB[expert] = bench.floats(up, size.out(), rank);
            a[expert] = Matrix.of(down, rank, size.in());
            b[expert] = Matrix.of(up, size.out(), rank);
            gradA[expert] = bench.floats(filled(rank * size.in(), 1), rank, size.in());
            gradB[expert] = bench.floats(filled(size.out() * rank, -1), size.out(), rank);
        }

        private Products.GroupedLora table(Bench bench) {
            float[] scales = new float[size.experts()];
            for (int expert = 0; expert < scales.length; expert++) {
                scales[expert] = size.scale(expert);
            }
            return new Products.GroupedLora(
                    Tensor.addresses(bench.device(), tensorsA),
                    Tensor.addresses(bench.device(), tensorsB),
                    Tensor.addresses(bench.device(), gradA),
                    Tensor.addresses(bench.device(), gradB),
                    bench.ints(size.ranks(), scales.length),
                    bench.floats(scales, scales.length),
                    size.maxRank());
        }

        void forward() {
            products.groupedLinearForward(tensorX, tensorLoraX, offsets, weights, lora, u, y);
        }

        void backward(boolean accumulate) {
            products.groupedLinearBackward(
                    tensorDy, tensorX, tensorLoraX, offsets, weights, lora, u, v, dx, dLoraX, accumulate);
        }

        private Matrix part(float[] values, int width, int expert) {
            return Matrix.of(values, size.rows(), width).part(size.first(expert), size.count(expert));
        }

        private Matrix base(int expert) {
            return Matrix.of(w[expert], size.out(), size.in());
        }

        private Matrix inner(int expert) {
            return part(loraX, size.in(), expert).times(a[expert].transpose());
        }

        List<Output> forwardOutputs() {
            Matrix expectedU = Matrix.zeros(size.rows(), size.maxRank());
            Matrix expectedY = Matrix.zeros(size.rows(), size.out());
            for (int expert = 0; expert < size.experts(); expert++) {
                Matrix output = part(x, size.in(), expert).times(base(expert).transpose());
                int rank = size.rank(expert);
                if (rank > 0) {
                    Matrix inner = inner(expert);
                    for (int row = 0; row < size.count(expert); row++) {
                        int to = (size.first(expert) + row) * size.maxRank();
                        System.arraycopy(inner.values(), row * rank, expectedU.values(), to, rank);
                    }
                    output = output.plus(inner.times(b[expert].transpose()).times(size.scale(expert)));
                }
                expectedY.put(size.first(expert), output);
            }
            List<Output> outputs = new ArrayList<>();
            outputs.add(Output.close("y", y, expectedY.values(), 5e-5));
            if (lora != null) {
                outputs.add(Output.close("u", u, expectedU.values(), 3e-5));
            }
            return outputs;
        }

        List<Output> backwardOutputs(boolean accumulate) {
            List<Output> outputs = new ArrayList<>();
            Matrix throughBase = Matrix.zeros(size.rows(), size.in());
            Matrix throughAdapter = Matrix.zeros(size.rows(), size.in());
            for (int expert = 0; expert < size.experts(); expert++) {
                Matrix gradient = part(dy, size.out(), expert);
                throughBase.put(size.first(expert), gradient.times(base(expert)));
                int rank = size.rank(expert);
                if (rank > 0) {
                    Matrix dInner = gradient.times(b[expert]).times(size.scale(expert));
                    throughAdapter.put(size.first(expert), dInner.times(a[expert]));
                    Matrix expectedA = dInner.transpose()
                            .times(part(loraX, size.in(), expert))
                            .plus(Matrix.of(filled(rank * size.in(), 1), rank, size.in()));
                    Matrix expectedB = gradient.transpose()
                            .times(inner(expert))
                            .times(size.scale(expert))
                            .plus(Matrix.of(filled(size.out() * rank, -1), size.out(), rank));
                    outputs.add(Output.close("grad a of expert " + expert, gradA[expert], expectedA.values(), 1e-4));
                    outputs.add(Output.close("grad b of expert " + expert, gradB[expert], expectedB.values(), 1e-4));
                }
            }
            Matrix expected = size.ownInput() ? throughBase : throughBase.plus(throughAdapter);
            if (accumulate) {
                expected = expected.plus(Matrix.of(before, size.rows(), size.in()));
            }
            outputs.add(Output.close("dx", dx, expected.values(), 5e-5));
            if (size.ownInput()) {
                outputs.add(Output.close("dLoraX", dLoraX, throughAdapter.values(), 5e-5));
            }
            return outputs;
        }

        List<OpRun.Input> inputs() {
            List<OpRun.Input> inputs = new ArrayList<>();
            inputs.add(OpRun.activation("x", tensorX, dx));
            if (size.ownInput()) {
                inputs.add(OpRun.activation("loraX", tensorLoraX, dLoraX));
            }
            for (int expert = 0; expert < size.experts(); expert++) {
                // An expert without rows has no gradient, which a difference quotient cannot tell from rounding.
                if (size.rank(expert) > 0 && size.count(expert) > 0) {
                    inputs.add(OpRun.parameter("a of expert " + expert, tensorsA[expert], gradA[expert]));
                    inputs.add(OpRun.parameter("b of expert " + expert, tensorsB[expert], gradB[expert]));
                }
            }
            return inputs;
        }
    }

    private static OpCase forward(Use use, Size size) {
        return new OpCase(
                Family.GROUPED_PRODUCTS,
                "grouped_linear_fwd",
                size.text(),
                size.dtype(),
                use,
                size.forward(),
                bench -> {
                    Layer layer = new Layer(bench, size, false);
                    return OpRun.of(layer::forward, layer::forwardOutputs);
                });
    }

    private static OpCase backward(Use use, Size size, boolean accumulate) {
        return new OpCase(
                Family.GROUPED_PRODUCTS,
                "grouped_linear_bwd",
                size.text() + (accumulate ? " accumulate" : ""),
                size.dtype(),
                use,
                size.backward(accumulate),
                bench -> {
                    Layer layer = new Layer(bench, size, accumulate);
                    layer.forward();
                    OpRun run = OpRun.of(() -> layer.backward(accumulate), () -> layer.backwardOutputs(accumulate));
                    return accumulate ? run : run.derivativeOf(layer::forward, layer.y, layer.tensorDy, layer.inputs());
                });
    }

    static float[] filled(int count, float value) {
        float[] values = new float[count];
        Arrays.fill(values, value);
        return values;
    }
}
