package dev.loranative.tensor.cases;

import dev.loranative.tensor.Bench;
import dev.loranative.tensor.DType;
import dev.loranative.tensor.JointProducts;
import dev.loranative.tensor.Products;
import dev.loranative.tensor.Tensor;
import dev.loranative.tensor.cases.OpCase.Use;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Collectors;

/** Linear layers that read the same input, each with an adapter or without. */
final class JointProductCases {

    private static final float SCALE = 1.5f;

    private JointProductCases() {}

    static List<OpCase> all() {
        List<OpCase> cases = new ArrayList<>();
        for (DType dtype : ProductCases.LAYER_WEIGHTS) {
            add(cases, Use.CHECK, new Size(33, 37, new int[] {40, 9, 16}, new int[] {4, 0, 9}, dtype));
        }
        add(cases, Use.CHECK, new Size(1, 31, new int[] {33, 17}, new int[] {4, 2}, DType.BF16));
        add(cases, Use.CHECK, new Size(5, 17, new int[] {3}, new int[] {1}, DType.BF16));
        add(cases, Use.CHECK, new Size(70, 65, new int[] {131, 64, 1, 20}, new int[] {8, 8, 8, 8}, DType.BF16));
        for (DType dtype : ProductCases.TIMED_WEIGHTS) {
            add(cases, Use.TIME, new Size(512, 256, new int[] {512, 128, 128}, new int[] {8, 8, 8}, dtype));
            add(cases, Use.TIME, new Size(512, 512, new int[] {512, 512, 512}, new int[] {8, 8, 8}, dtype));
            add(cases, Use.TIME, new Size(512, 1024, new int[] {1024, 512, 512}, new int[] {8, 8, 8}, dtype));
            add(cases, Use.TIME, new Size(512, 1024, new int[] {2816, 2816}, new int[] {8, 8}, dtype));
        }
        return cases;
    }

    /** @param ranks 0 for a layer without adapter */
    private record Size(int rows, int in, int[] outs, int[] ranks, DType dtype) {

        int out() {
            return Arrays.stream(outs).sum();
        }

        int rank() {
            return Arrays.stream(ranks).sum();
        }

        String text() {
            return rows + "x" + joined(outs) + "x" + in + " r" + joined(ranks);
        }

        private static String joined(int[] numbers) {
            return Arrays.stream(numbers).mapToObj(Integer::toString).collect(Collectors.joining("+"));
        }

        private double adapterNumbers() {
            double numbers = 0;
            for (int i = 0; i < outs.length; i++) {
                numbers += (double) ranks[i] * (in + outs[i]);
            }
            return numbers;
        }

        Work forward() {
            return new Work(
                    2.0 * rows * in * out() + 2.0 * rows * adapterNumbers(),
                    4.0 * rows * (in + out() + rank())
                            + Work.weightBytes(dtype, (double) in * out())
                            + 4.0 * adapterNumbers());
        }

        Work backward() {
            return new Work(
                    2.0 * rows * in * out() + 4.0 * rows * adapterNumbers(),
                    4.0 * rows * (2.0 * in + out() + 2.0 * rank())
                            + Work.weightBytes(dtype, (double) in * out())
                            + 12.0 * adapterNumbers());
        }
    }

    private static void add(List<OpCase> cases, Use use, Size size) {
        cases.add(new OpCase(
                Family.PRODUCTS, "joint_linear_fwd", size.text(), size.dtype(), use, size.forward(), bench -> {
                    Layers layers = new Layers(bench, size);
                    return OpRun.of(layers::forward, layers::forwardOutputs);
                }));
        cases.add(new OpCase(
                Family.PRODUCTS, "joint_linear_bwd", size.text(), size.dtype(), use, size.backward(), bench -> {
                    Layers layers = new Layers(bench, size);
                    layers.forward();
                    return OpRun.of(layers::backward, layers::backwardOutputs)
                            .derivativeOf(layers::forward, layers.y, layers.tensorDy, layers.inputs());
                }));
    }

    /** One layer, as numbers and on the device; its parts of y and dy are pieces of those of all. */
    private static final class Layer {

        final int rank;
        final Matrix weight;
        final Matrix a;
        final Matrix b;
        final Matrix gradA;
        final Matrix gradB;
        final Matrix dy;
        final Tensor tensorWeight;
        final Products.Lora lora;
        final Tensor u;
        final Tensor v;
        final Tensor y;
        final Tensor tensorDy;

        Layer(Bench bench, Size size, int number, float[] allDy, Tensor allY, Tensor allTensorDy) {
            int rows = size.rows();
            int in = size.in();
            int out = size.outs()[number];
            rank = size.ranks()[number];
            int first = rows * Arrays.stream(size.outs(), 0, number).sum();
            float[] values = bench.normal((long) out * in);
            float[] down = bench.normal((long) rank * in, 0.3);
            float[] up = bench.normal((long) out * rank, 0.3);
            float[] gradDown = bench.normal((long) rank * in);
            float[] gradUp = bench.normal((long) out * rank);
            a = Matrix.of(down, rank, in);
            b = Matrix.of(up, out, rank);
            gradA = Matrix.of(gradDown, rank, in);
            gradB = Matrix.of(gradUp, out, rank);
            dy = Matrix.of(Arrays.copyOfRange(allDy, first, first + rows * out), rows, out);
            tensorWeight = bench.weight(size.dtype(), values, out, in);
            weight = Matrix.of(values, out, in); // as they are now, rounded
            lora = rank == 0
                    ? null
                    : new Products.Lora(
                            bench.floats(down, rank, in),
                            bench.floats(up, out, rank),
                            bench.floats(gradDown, rank, in),
                            bench.floats(gradUp, out, rank),
                            SCALE);
            u = rank == 0 ? null : bench.unwritten(rows, rank);
            v = rank == 0 ? null : bench.unwritten(rows, rank);
            y = allY.range(first, (long) rows * out).reshape(rows, out);
            tensorDy = allTensorDy.range(first, (long) rows * out).reshape(rows, out);
        }

        Matrix inner(Matrix x) {
            return x.times(a.transpose());
        }

        Matrix output(Matrix x) {
            Matrix base = x.times(weight.transpose());
            return rank == 0 ? base : base.plus(inner(x).times(b.transpose()).times(SCALE));
        }

        Matrix dInner() {
            return dy.times(b).times(SCALE);
        }

        Matrix inputGradient() {
            Matrix base = dy.times(weight);
            return rank == 0 ? base : base.plus(dInner().times(a));
        }
    }

    private static final class Layers {

        final JointProducts products;
        final Matrix x;
        final Tensor tensorX;
        final Tensor y;
        final Tensor tensorDy;
        final Tensor dx;
        final List<Layer> layers = new ArrayList<>();

        Layers(Bench bench, Size size) {
            products = bench.ops().jointProducts();
            int rows = size.rows();
            float[] input = bench.normal((long) rows * size.in());
            float[] dy = bench.normal((long) rows * size.out());
            x = Matrix.of(input, rows, size.in());
            tensorX = bench.floats(input, rows, size.in());
            y = bench.unwritten((long) rows * size.out());
            tensorDy = bench.floats(dy, (long) rows * size.out());
            dx = bench.unwritten(rows, size.in());
            for (int i = 0; i < size.outs().length; i++) {
                layers.add(new Layer(bench, size, i, dy, y, tensorDy));
            }
        }

        void forward() {
            products.forward(
                    tensorX,
                    layers.stream()
                            .map(layer ->
                                    new JointProducts.Forward(layer.tensorWeight, null, layer.lora, layer.u, layer.y))
                            .toList());
        }

        void backward() {
            products.backward(
                    tensorX,
                    layers.stream()
                            .map(layer -> new JointProducts.Backward(
                                    layer.tensorDy, layer.tensorWeight, layer.lora, layer.u, layer.v))
                            .toList(),
                    dx,
                    false);
        }

        List<Output> forwardOutputs() {
            List<Output> outputs = new ArrayList<>();
            for (int i = 0; i < layers.size(); i++) {
                Layer layer = layers.get(i);
                outputs.add(Output.close("y" + i, layer.y, layer.output(x).values(), 5e-5));
                if (layer.rank > 0) {
                    outputs.add(Output.close("u" + i, layer.u, layer.inner(x).values(), 3e-5));
                }
            }
            return outputs;
        }

        List<Output> backwardOutputs() {
            List<Output> outputs = new ArrayList<>();
            Matrix expected = Matrix.zeros(x.rows(), x.columns());
            for (int i = 0; i < layers.size(); i++) {
                Layer layer = layers.get(i);
                expected = expected.plus(layer.inputGradient());
                if (layer.rank > 0) {
                    Matrix gradA = layer.dInner().transpose().times(x).plus(layer.gradA);
                    Matrix gradB = layer.dy
                            .transpose()
                            .times(layer.inner(x))
                            .times(SCALE)
                            .plus(layer.gradB);
                    outputs.add(Output.close("grad a" + i, layer.lora.gradA(), gradA.values(), 1e-4));
                    outputs.add(Output.close("grad b" + i, layer.lora.gradB(), gradB.values(), 1e-4));
                }
            }
            outputs.add(Output.close("dx", dx, expected.values(), 1e-4));
            return outputs;
        }

        List<OpRun.Input> inputs() {
            List<OpRun.Input> inputs = new ArrayList<>();
            inputs.add(OpRun.activation("x", tensorX, dx));
            for (int i = 0; i < layers.size(); i++) {
                Products.Lora lora = layers.get(i).lora;
                if (lora != null) {
                    inputs.add(OpRun.parameter("a" + i, lora.a(), lora.gradA()));
                    inputs.add(OpRun.parameter("b" + i, lora.b(), lora.gradB()));
                }
            }
            return inputs;
        }
    }
}
