package dev.loranative.tensor.cases;

import dev.loranative.tensor.Bench;
import dev.loranative.tensor.DType;
import dev.loranative.tensor.Losses;
import dev.loranative.tensor.Tensor;
import dev.loranative.tensor.cases.OpCase.Use;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/** Cross-entropy, sums, AdamW. */
final class LossCases {

    private static final int IGNORED = -100;
    private static final float GRADIENT_SCALE = 0.25f;

    private LossCases() {}

    static List<OpCase> all() {
        List<OpCase> cases = new ArrayList<>();
        for (int vocabulary : new int[] {1, 33, 1001}) {
            cases.add(crossEntropy(Use.CHECK, 9, vocabulary, false));
            cases.add(crossEntropy(Use.CHECK, 9, vocabulary, true));
        }
        for (int n : new int[] {0, 1, 33, 100_003}) {
            cases.add(sum(Use.CHECK, n, false));
            cases.add(sum(Use.CHECK, n, true));
        }
        for (int[] size : new int[][] {{1, 1}, {3, 70}, {9, 1001}, {129, 64}, {700, 5}}) {
            cases.add(columnSums(Use.CHECK, size[0], size[1]));
        }
        for (int count : new int[] {1, 4, 97}) {
            cases.add(gradientScale(Use.CHECK, count, 0));
            cases.add(gradientScale(Use.CHECK, count, 1));
            cases.add(gradientScale(Use.CHECK, count, 1e9));
        }
        for (int n : new int[] {1, 33, 2003}) {
            cases.add(adamW(Use.CHECK, n, 1));
            cases.add(adamW(Use.CHECK, n, 4));
            cases.add(adamWFromBytes(Use.CHECK, n));
        }
        cases.add(crossEntropy(Use.TIME, 512, 4096, true));
        cases.add(crossEntropy(Use.TIME, 128, 16384, true));
        cases.add(crossEntropy(Use.TIME, 16, 151936, true));
        cases.add(sum(Use.TIME, 1 << 20, false));
        cases.add(sum(Use.TIME, 1 << 20, true));
        cases.add(columnSums(Use.TIME, 512, 1024));
        cases.add(gradientScale(Use.TIME, 64, 1));
        cases.add(adamW(Use.TIME, 1 << 20, 4));
        cases.add(adamWFromBytes(Use.TIME, 1 << 20));
        return cases;
    }

    private static OpCase crossEntropy(Use use, int rows, int vocabulary, boolean wantGradient) {
        double elements = (double) rows * vocabulary;
        Work work = new Work((wantGradient ? 5 : 3) * elements, (wantGradient ? 8 : 4) * elements + 8.0 * rows);
        String shape = rows + "x" + vocabulary + (wantGradient ? " gradient" : "");
        return new OpCase(Family.LOSSES, "cross_entropy", shape, DType.F32, use, work, bench -> {
            float[] logits = bench.normal((long) rows * vocabulary, 5);
            logits[0] = 1000;
            int[] labels = new int[rows];
            for (int row = 0; row < rows; row++) {
                labels[row] = row % 4 == 3 ? IGNORED : bench.random().nextInt(vocabulary);
            }
            Tensor tensorLogits = bench.floats(logits, rows, vocabulary);
            Tensor tensorLabels = bench.ints(labels, rows);
            Tensor losses = bench.unwritten(rows);
            Losses ops = bench.ops().losses();
            return OpRun.of(
                    () -> ops.crossEntropy(
                            tensorLogits, tensorLabels, losses, wantGradient ? GRADIENT_SCALE : 0, wantGradient),
                    () -> expectedEntropy(logits, labels, vocabulary, tensorLogits, losses, wantGradient));
        });
    }

    private static List<Output> expectedEntropy(
            float[] logits, int[] labels, int vocabulary, Tensor tensorLogits, Tensor losses, boolean wantGradient) {
        double[] expected = new double[labels.length];
        double[] gradient = new double[logits.length];
        for (int row = 0; row < labels.length; row++) {
            if (labels[row] == IGNORED) {
                continue;
            }
            int first = row * vocabulary;
            double largest = Double.NEGATIVE_INFINITY;
            for (int i = first; i < first + vocabulary; i++) {
                largest = Math.max(largest, logits[i]);
            }
            double sum = 0;
            for (int i = first; i < first + vocabulary; i++) {
                sum += Math.exp(logits[i] - largest);
            }
            expected[row] = largest + Math.log(sum) - logits[first + labels[row]];
            for (int i = 0; i < vocabulary; i++) {
                double softmax = Math.exp(logits[first + i] - largest) / sum;
                gradient[first + i] = GRADIENT_SCALE * (softmax - (i == labels[row] ? 1 : 0));
            }
        }
        return List.of(
                Output.close("losses", losses, expected),
                wantGradient
                        ? Output.close("gradient", tensorLogits, gradient, 1e-6)
                        : Output.equal("logits", tensorLogits, logits));
    }

    private static OpCase sum(Use use, int n, boolean ofSquares) {
        Work work = new Work((ofSquares ? 2.0 : 1.0) * n, 4.0 * n + 8);
        String op = ofSquares ? "sum_of_squares" : "sum";
        return new OpCase(Family.LOSSES, op, "" + n, DType.F32, use, work, bench -> {
            float[] x = bench.normal(n, 100);
            Tensor tensor = bench.floats(x, n);
            Tensor result = Tensor.allocate(bench.device(), DType.F64, 1);
            Losses losses = bench.ops().losses();
            Runnable call = ofSquares ? () -> losses.sumOfSquares(tensor, result) : () -> losses.sum(tensor, result);
            return OpRun.of(call, () -> {
                double expected = 0;
                double magnitude = 0;
                for (float value : x) {
                    expected += ofSquares ? (double) value * value : value;
                    magnitude += ofSquares ? (double) value * value : Math.abs(value);
                }
                // Doubles are added: what they lose is relative to the largest partial sum.
                double tolerance = (ofSquares ? 1e-12 : 1e-13) * (1 + magnitude) / (1 + Math.abs(expected));
                return List.of(Output.close("result", result, new double[] {expected}, tolerance));
            });
        });
    }

    private static OpCase columnSums(Use use, int rows, int columns) {
        Work work = new Work((double) rows * columns, 4.0 * rows * columns + 8.0 * columns);
        return new OpCase(Family.LOSSES, "column_sums", rows + "x" + columns, DType.F32, use, work, bench -> {
            float[] x = bench.normal((long) rows * columns);
            float[] before = bench.normal(columns);
            Tensor tensor = bench.floats(x, rows, columns);
            Tensor result = bench.floats(before, columns);
            Losses losses = bench.ops().losses();
            return OpRun.of(() -> losses.columnSums(tensor, result), () -> {
                double[] expected = Matrix.doubles(before);
                for (int i = 0; i < x.length; i++) {
                    expected[i % columns] += x[i];
                }
                return List.of(Output.close("result", result, expected, 3e-5));
            });
        });
    }

    /** With numbers; and with one that is none, behind which AdamW takes no step. */
    private static OpCase gradientScale(Use use, int count, double maxNorm) {
        Work work = new Work(0, 8.0 * count + 4);
        String shape = count + " to " + (maxNorm == 0 ? "any" : String.format(Locale.ROOT, "%.0e", maxNorm));
        return new OpCase(Family.LOSSES, "gradient_scale", shape, DType.F32, use, work, bench -> {
            double[] values = Matrix.doubles(bench.normal(count, 100));
            values[0] = 1e4 + Math.abs(values[0]);
            double limited = maxNorm == 0 ? 1 : Math.min(1, maxNorm / (Math.sqrt(values[0]) + 1e-6));
            Tensor sums = doubles(bench, values);
            Tensor scale = bench.unwritten(1);
            values[count - 1] = Double.POSITIVE_INFINITY;
            Tensor brokenSums = doubles(bench, values);
            Tensor none = bench.unwritten(1);
            float[] initial = bench.normal(33);
            Tensor parameters = bench.floats(initial, 33);
            Tensor gradients = bench.floats(bench.normal(33), 33);
            Tensor moments = bench.floats(new float[33], 33);
            Losses losses = bench.ops().losses();
            return OpRun.of(
                    () -> {
                        losses.gradientScale(sums, maxNorm, scale);
                        losses.gradientScale(brokenSums, maxNorm, none);
                        losses.adamW(
                                parameters,
                                gradients,
                                moments,
                                moments,
                                new Losses.AdamW(none, 1, 0.01, 0.9, 0.99, 1e-8, 0.1));
                    },
                    () -> List.of(
                            Output.equal("scale", scale, new float[] {(float) limited}),
                            Output.equal("parameters behind a sum that is infinite", parameters, initial)));
        });
    }

    private static Tensor doubles(Bench bench, double[] values) {
        Tensor tensor = Tensor.allocate(bench.device(), DType.F64, values.length);
        tensor.copyFrom(bench.device(), MemorySegment.ofArray(values));
        return tensor;
    }

    /** @param step the last of so many steps, the others taken before */
    private static OpCase adamW(Use use, int n, int step) {
        Work work = new Work(14.0 * n, 28.0 * n);
        return new OpCase(Family.LOSSES, "adamw", n + " step " + step, DType.F32, use, work, bench -> {
            Optimizer optimizer = new Optimizer(bench, n, step);
            return OpRun.of(() -> optimizer.step(step), optimizer::outputs);
        });
    }

    /** The first step with moments in 8 bits: from 0, which they hold exactly. */
    private static OpCase adamWFromBytes(Use use, int n) {
        Work work = new Work(20.0 * n, 16.0 * n + 16.0 * Math.ceilDiv(n, Losses.MOMENT_BLOCK));
        return new OpCase(Family.LOSSES, "adamw_8bit", n + " step 1", DType.F32, use, work, bench -> {
            float[] initial = bench.normal(n);
            float[] gradients = bench.normal(n);
            Tensor parameters = bench.floats(initial, n);
            Tensor tensor = bench.floats(gradients, n);
            int blocks = Math.ceilDiv(n, Losses.MOMENT_BLOCK);
            Losses.EightBits moments = new Losses.EightBits(
                    Tensor.allocate(bench.ops().device(), DType.U8, n),
                    bench.floats(new float[blocks], blocks),
                    Tensor.allocate(bench.ops().device(), DType.U8, n),
                    bench.floats(new float[blocks], blocks));
            Losses losses = bench.ops().losses();
            Losses.AdamW step = new Losses.AdamW(bench.floats(new float[] {0.5f}, 1), 1, 0.01, 0.9, 0.99, 1e-8, 0.1);
            return OpRun.of(() -> losses.adamW(parameters, tensor, moments, step), () -> {
                double[] expected = new double[n];
                double[] first = new double[blocks];
                double[] second = new double[blocks];
                for (int i = 0; i < n; i++) {
                    double g = 0.5 * gradients[i];
                    expected[i] = initial[i] * (1 - 0.01 * 0.1) - 0.01 * g / (Math.abs(g) + 1e-8);
                    int block = i / Losses.MOMENT_BLOCK;
                    first[block] = Math.max(first[block], 0.1 * Math.abs(g));
                    second[block] = Math.max(second[block], 0.01 * g * g);
                }
                return List.of(
                        Output.close("parameters", parameters, expected, 2e-6),
                        Output.close("scales of first moments", moments.firstScales(), first, 1e-6),
                        Output.close("scales of second moments", moments.secondScales(), second, 1e-6));
            });
        });
    }

    private static final class Optimizer {

        final int n;
        final int steps;
        final Losses losses;
        final float[] initial;
        final float[][] gradients;
        final Tensor parameters;
        final Tensor first;
        final Tensor second;
        final Tensor scale;
        final Tensor[] tensors;

        Optimizer(Bench bench, int n, int steps) {
            this.n = n;
            this.steps = steps;
            losses = bench.ops().losses();
            initial = bench.normal(n);
            parameters = bench.floats(initial, n);
            first = bench.floats(new float[n], n);
            second = bench.floats(new float[n], n);
            scale = bench.floats(new float[] {0.5f}, 1);
            gradients = new float[steps][];
            tensors = new Tensor[steps];
            for (int step = 1; step <= steps; step++) {
                gradients[step - 1] = bench.normal(n);
                tensors[step - 1] = bench.floats(gradients[step - 1], n);
                if (step < steps) {
                    step(step);
                }
            }
        }

        void step(int step) {
            losses.adamW(
                    parameters,
                    tensors[step - 1],
                    first,
                    second,
                    new Losses.AdamW(scale, step, 0.01, 0.9, 0.99, 1e-8, 0.1));
        }

        List<Output> outputs() {
            double[] expected = Matrix.doubles(initial);
            double[] m = new double[n];
            double[] v = new double[n];
            for (int step = 1; step <= steps; step++) {
                for (int i = 0; i < n; i++) {
                    double g = 0.5 * gradients[step - 1][i];
                    expected[i] -= 0.01 * 0.1 * expected[i];
                    m[i] = 0.9 * m[i] + 0.1 * g;
                    v[i] = 0.99 * v[i] + 0.01 * g * g;
                    double corrected = Math.sqrt(v[i]) / Math.sqrt(1 - Math.pow(0.99, step));
                    expected[i] -= 0.01 / (1 - Math.pow(0.9, step)) * m[i] / (corrected + 1e-8);
                }
            }
            return List.of(
                    Output.close("parameters", parameters, expected, 2e-6),
                    Output.close("first moments", first, m, 1e-6),
                    Output.close("second moments", second, v, 1e-6));
        }
    }
}
