package dev.loranative.tensor.cases;

import dev.loranative.tensor.Bench;
import dev.loranative.tensor.DType;
import dev.loranative.tensor.Products;
import dev.loranative.tensor.Tensor;
import dev.loranative.tensor.cases.OpCase.Use;
import java.util.ArrayList;
import java.util.List;

/** Linear layers with LoRA: fused into one call, and, for comparison, as the separate products that it replaces. */
final class AdapterCases {

    private static final float SCALE = 1.5f;

    private AdapterCases() {}

    static List<OpCase> all() {
        List<OpCase> cases = new ArrayList<>();
        for (int[] shape : ProductCases.CHECKED) {
            for (int rank : new int[] {1, 4, 9}) {
                for (boolean ownInput : new boolean[] {false, true}) {
                    Size size = new Size(shape[0], shape[1], shape[2], rank, DType.BF16, ownInput);
                    cases.add(forward(Use.CHECK, size));
                    cases.add(backward(Use.CHECK, size));
                }
            }
            Size size = new Size(shape[0], shape[1], shape[2], 4, DType.BF16, false);
            cases.add(separateForward(Use.CHECK, size));
            cases.add(separateBackward(Use.CHECK, size));
        }
        for (int[] shape : new int[][] {{512, 256, 256}, {512, 512, 512}, {512, 1024, 1024}, {512, 2816, 1024}}) {
            for (int rank : new int[] {8, 64}) {
                for (DType dtype : ProductCases.TIMED_WEIGHTS) {
                    Size size = new Size(shape[0], shape[1], shape[2], rank, dtype, false);
                    cases.add(forward(Use.TIME, size));
                    cases.add(separateForward(Use.TIME, size));
                    cases.add(backward(Use.TIME, size));
                    cases.add(separateBackward(Use.TIME, size));
                }
            }
        }
        return cases;
    }

    /** @param ownInput whether the adapter sees something else than x, as with dropout */
    private record Size(int rows, int out, int in, int rank, DType dtype, boolean ownInput) {

        String text() {
            return rows + "x" + out + "x" + in + " r" + rank + (ownInput ? " own input" : "");
        }

        Work forward() {
            return new Work(
                    2.0 * rows * in * out + 2.0 * rows * rank * (in + out),
                    4.0 * rows * (in + out + rank + (ownInput ? in : 0))
                            + Work.weightBytes(dtype, (double) in * out)
                            + 4.0 * rank * (in + out));
        }

        /** dx, v, both parameter gradients (read and written), and the way through the adapter. */
        Work backward() {
            return new Work(
                    2.0 * rows * in * out + 4.0 * rows * rank * (in + out),
                    4.0 * rows * (2.0 * in + out + 2.0 * rank + (ownInput ? 2 * in : 0))
                            + Work.weightBytes(dtype, (double) in * out)
                            + 12.0 * rank * (in + out));
        }
    }

    /** Inputs of both passes, as numbers and on the device. */
    private static final class Layer {

        final Size size;
        final Products products;
        final float[] x;
        final float[] loraX;
        final float[] weight;
        final float[] a;
        final float[] b;
        final float[] gradA;
        final float[] gradB;
        final float[] dy;
        final Tensor tensorX;
        final Tensor tensorLoraX;
        final Tensor tensorWeight;
        final Tensor tensorDy;
        final Products.Lora lora;
        final Tensor u;
        final Tensor v;
        final Tensor y;
        final Tensor dx;
        final Tensor dLoraX;

        Layer(Bench bench, Size size) {
            this.size = size;
            int rows = size.rows();
            int in = size.in();
            int out = size.out();
            int rank = size.rank();
            products = bench.ops().products();
            x = bench.normal((long) rows * in);
            loraX = size.ownInput() ? bench.normal((long) rows * in) : x;
            weight = bench.normal((long) out * in);
            a = bench.normal((long) rank * in, 0.3);
            b = bench.normal((long) out * rank, 0.3);
            gradA = bench.normal((long) rank * in);
            gradB = bench.normal((long) out * rank);
            dy = bench.normal((long) rows * out);
            tensorX = bench.floats(x, rows, in);
            tensorLoraX = size.ownInput() ? bench.floats(loraX, rows, in) : null;
            tensorWeight = bench.weight(size.dtype(), weight, out, in);
            tensorDy = bench.floats(dy, rows, out);
            lora = new Products.Lora(
                    bench.floats(a, rank, in),
                    bench.floats(b, out, rank),
                    bench.floats(gradA, rank, in),
                    bench.floats(gradB, out, rank),
                    SCALE);
            u = bench.unwritten(rows, rank);
            v = bench.unwritten(rows, rank);
            y = bench.unwritten(rows, out);
            dx = bench.unwritten(rows, in);
            dLoraX = size.ownInput() ? bench.unwritten(rows, in) : null;
        }

        void forward() {
            products.linearForward(tensorX, tensorLoraX, tensorWeight, null, lora, u, y);
        }

        void backward() {
            products.linearBackward(tensorDy, tensorX, tensorLoraX, tensorWeight, lora, u, v, dx, dLoraX, false);
        }

        /** y = x . weight^T; u = x . a^T; y += scale * u . b^T. */
        void separateForward() {
            products.linearForward(tensorX, null, tensorWeight, null, null, null, y);
            products.matmul(tensorX, false, lora.a(), true, u, 1, 0);
            products.matmul(u, false, lora.b(), true, y, SCALE, 1);
        }

        void separateBackward() {
            products.linearBackward(tensorDy, null, null, tensorWeight, null, null, null, dx, null, false);
            products.matmul(tensorDy, false, lora.b(), false, v, SCALE, 0);
            products.matmul(v, false, lora.a(), false, dx, 1, 1);
            products.matmul(v, true, tensorX, false, lora.gradA(), 1, 1);
            products.matmul(tensorDy, true, u, false, lora.gradB(), SCALE, 1);
        }

        List<Output> forwardOutputs() {
            Matrix inner = inner();
            Matrix expected = Matrix.of(x, size.rows(), size.in())
                    .times(Matrix.of(weight, size.out(), size.in()).transpose())
                    .plus(inner.times(up().transpose()).times(SCALE));
            return List.of(Output.close("u", u, inner.values(), 3e-5), Output.close("y", y, expected.values(), 5e-5));
        }

        List<Output> backwardOutputs() {
            Matrix gradient = Matrix.of(dy, size.rows(), size.out());
            Matrix dInner = gradient.times(up()).times(SCALE);
            Matrix throughBase = gradient.times(Matrix.of(weight, size.out(), size.in()));
            Matrix throughAdapter = dInner.times(Matrix.of(a, size.rank(), size.in()));
            Matrix expectedA = dInner.transpose().times(seen()).plus(Matrix.of(gradA, size.rank(), size.in()));
            Matrix expectedB =
                    gradient.transpose().times(inner()).times(SCALE).plus(Matrix.of(gradB, size.out(), size.rank()));
            List<Output> outputs = new ArrayList<>();
            outputs.add(Output.close("v", v, dInner.values(), 3e-5));
            outputs.add(Output.close("grad a", lora.gradA(), expectedA.values(), 1e-4));
            outputs.add(Output.close("grad b", lora.gradB(), expectedB.values(), 1e-4));
            if (size.ownInput()) {
                outputs.add(Output.close("dx", dx, throughBase.values(), 5e-5));
                outputs.add(Output.close("dLoraX", dLoraX, throughAdapter.values(), 5e-5));
            } else {
                outputs.add(
                        Output.close("dx", dx, throughBase.plus(throughAdapter).values(), 5e-5));
            }
            return outputs;
        }

        private Matrix seen() {
            return Matrix.of(loraX, size.rows(), size.in());
        }

        private Matrix up() {
            return Matrix.of(b, size.out(), size.rank());
        }

        private Matrix inner() {
            return seen().times(Matrix.of(a, size.rank(), size.in()).transpose());
        }

        List<OpRun.Input> inputs() {
            List<OpRun.Input> inputs = new ArrayList<>();
            inputs.add(OpRun.activation("x", tensorX, dx));
            if (size.ownInput()) {
                inputs.add(OpRun.activation("loraX", tensorLoraX, dLoraX));
            }
            inputs.add(OpRun.parameter("a", lora.a(), lora.gradA()));
            inputs.add(OpRun.parameter("b", lora.b(), lora.gradB()));
            return inputs;
        }
    }

    private static OpCase forward(Use use, Size size) {
        return new OpCase(Family.PRODUCTS, "linear_fwd", size.text(), size.dtype(), use, size.forward(), bench -> {
            Layer layer = new Layer(bench, size);
            return OpRun.of(layer::forward, layer::forwardOutputs);
        });
    }

    private static OpCase backward(Use use, Size size) {
        return new OpCase(Family.PRODUCTS, "linear_bwd", size.text(), size.dtype(), use, size.backward(), bench -> {
            Layer layer = new Layer(bench, size);
            layer.forward();
            return OpRun.of(layer::backward, layer::backwardOutputs)
                    .derivativeOf(layer::forward, layer.y, layer.tensorDy, layer.inputs());
        });
    }

    private static OpCase separateForward(Use use, Size size) {
        return new OpCase(Family.PRODUCTS, "separate_fwd", size.text(), size.dtype(), use, size.forward(), bench -> {
            Layer layer = new Layer(bench, size);
            return OpRun.of(layer::separateForward, layer::forwardOutputs);
        });
    }

    private static OpCase separateBackward(Use use, Size size) {
        return new OpCase(Family.PRODUCTS, "separate_bwd", size.text(), size.dtype(), use, size.backward(), bench -> {
            Layer layer = new Layer(bench, size);
            layer.forward();
            return OpRun.of(layer::separateBackward, layer::backwardOutputs);
        });
    }
}
