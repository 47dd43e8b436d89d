package dev.loranative.tensor.cases;

import dev.loranative.tensor.DType;
import dev.loranative.tensor.Elementwise;
import dev.loranative.tensor.Tensor;
import dev.loranative.tensor.cases.OpCase.Use;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/** Linear combinations, conversions, clamping and dropout. */
final class ElementwiseCases {

    static final int[] SIZES = {0, 1, 3, 31, 33, 100, 5000};

    /** In the caches, as a step's activations are; and far outside. */
    private static final int[] TIMED = {512 * 1024, 1 << 24};

    private static final float LIMIT = 0.8f;
    private static final float DROPPED = 0.3f;
    private static final long SEED = 0x1234_5678_9abc_def0L;
    private static final long STREAM = 5L << 32 | 77;

    private ElementwiseCases() {}

    static List<OpCase> all() {
        List<OpCase> cases = new ArrayList<>();
        for (int n : SIZES) {
            cases.add(axpby(Use.CHECK, n, 2.5f, -0.75f, 1e-6));
            cases.add(axpby(Use.CHECK, n, 1, 1, 0));
            cases.add(axpby(Use.CHECK, n, 1, 0, 0));
            cases.add(clampForward(Use.CHECK, n));
            cases.add(clampBackward(Use.CHECK, n));
            cases.add(dropout(Use.CHECK, n, false));
            cases.add(dropout(Use.CHECK, n, true));
            cases.add(cast(Use.CHECK, n, DType.BF16));
            cases.add(cast(Use.CHECK, n, DType.F16));
        }
        for (int n : TIMED) {
            cases.add(axpby(Use.TIME, n, 2.5f, -0.75f, 1e-6));
            cases.add(axpby(Use.TIME, n, 1, 0, 0));
            cases.add(dropout(Use.TIME, n, false));
        }
        cases.add(cast(Use.TIME, TIMED[0], DType.BF16));
        cases.add(clampForward(Use.TIME, TIMED[0]));
        cases.add(clampBackward(Use.TIME, TIMED[0]));
        return cases;
    }

    private static OpCase axpby(Use use, int n, float alpha, float beta, double tolerance) {
        int operations = (alpha == 1 ? 0 : 1) + (beta == 0 ? 0 : 1) + (beta == 0 || beta == 1 ? 0 : 1);
        Work work = new Work((double) operations * n, Math.max(1, (beta == 0 ? 8.0 : 12.0) * n));
        return new OpCase(
                Family.ELEMENTWISE, "axpby", n + " " + alpha + "x+" + beta + "y", DType.F32, use, work, bench -> {
                    float[] x = bench.normal(n);
                    float[] y = bench.normal(n);
                    Tensor tensorX = bench.floats(x, n);
                    Tensor tensorY = beta == 0 ? bench.unwritten(n) : bench.floats(y, n);
                    Elementwise elementwise = bench.ops().elementwise();
                    return OpRun.of(() -> elementwise.axpby(alpha, tensorX, beta, tensorY), () -> {
                        double[] expected = new double[n];
                        for (int i = 0; i < n; i++) {
                            double exact = (double) alpha * x[i] + (double) beta * y[i];
                            expected[i] = tolerance == 0 ? (float) exact : exact;
                        }
                        return List.of(Output.close("y", tensorY, expected, tolerance));
                    });
                });
    }

    private static OpCase clampForward(Use use, int n) {
        Work work = new Work(0, Math.max(1, 8.0 * n));
        return new OpCase(Family.ELEMENTWISE, "clamp_fwd", "" + n, DType.F32, use, work, bench -> {
            float[] x = bench.normal(n);
            Tensor tensor = bench.floats(x, n);
            Elementwise elementwise = bench.ops().elementwise();
            return OpRun.of(() -> elementwise.clampForward(tensor, LIMIT), () -> {
                float[] expected = new float[n];
                for (int i = 0; i < n; i++) {
                    expected[i] = Math.clamp(x[i], -LIMIT, LIMIT);
                }
                return List.of(Output.equal("x", tensor, expected));
            });
        });
    }

    private static OpCase clampBackward(Use use, int n) {
        Work work = new Work(0, Math.max(1, 12.0 * n));
        return new OpCase(Family.ELEMENTWISE, "clamp_bwd", "" + n, DType.F32, use, work, bench -> {
            float[] clamped = bench.normal(n);
            for (int i = 0; i < n; i++) {
                clamped[i] = Math.clamp(clamped[i], -LIMIT, LIMIT);
            }
            float[] dy = bench.normal(n);
            Tensor tensorY = bench.floats(clamped, n);
            Tensor gradient = bench.floats(dy, n);
            Elementwise elementwise = bench.ops().elementwise();
            return OpRun.of(() -> elementwise.clampBackward(tensorY, gradient, LIMIT), () -> {
                float[] expected = new float[n];
                for (int i = 0; i < n; i++) {
                    expected[i] = Math.abs(clamped[i]) >= LIMIT ? 0 : dy[i];
                }
                return List.of(Output.equal("dy", gradient, expected));
            });
        });
    }

    /** To 16 bits, and back in the same call, so that the result can be read. */
    private static OpCase cast(Use use, int n, DType dtype) {
        Work work = new Work(0, Math.max(1, 12.0 * n));
        String shape = n + " there and back";
        return new OpCase(Family.ELEMENTWISE, "cast", shape, dtype, use, work, bench -> {
            float[] x = bench.normal(n, 10);
            Tensor source = bench.floats(x, n);
            Tensor narrow = Tensor.allocate(bench.device(), dtype, n);
            Tensor back = bench.unwritten(n);
            Elementwise elementwise = bench.ops().elementwise();
            Runnable call = () -> {
                elementwise.cast(source, narrow);
                elementwise.cast(narrow, back);
            };
            return OpRun.of(call, () -> {
                float[] expected = new float[n];
                for (int i = 0; i < n; i++) {
                    expected[i] = rounded(dtype, x[i]);
                }
                return List.of(Output.equal("back", back, expected));
            });
        });
    }

    /** Round to nearest, ties to even. */
    private static float rounded(DType dtype, float x) {
        if (dtype == DType.F16) {
            return Float.float16ToFloat(Float.floatToFloat16(x));
        }
        if (dtype != DType.BF16) {
            throw new IllegalArgumentException(dtype.name().toLowerCase(Locale.ROOT) + " is no 16-bit type");
        }
        int bits = Float.floatToRawIntBits(x);
        return Float.intBitsToFloat((bits + 0x7fff + (bits >>> 16 & 1)) & 0xffff0000);
    }

    private static OpCase dropout(Use use, int n, boolean accumulate) {
        // Ten rounds of Philox make four numbers; what they cost is the kernel's matter, not the formula's.
        Work work = new Work((accumulate ? 2.0 : 1.0) * n, Math.max(1, (accumulate ? 12.0 : 8.0) * n));
        String shape = n + (accumulate ? " accumulate" : "");
        return new OpCase(Family.ELEMENTWISE, "dropout", shape, DType.F32, use, work, bench -> {
            float[] x = bench.normal(n);
            float[] before = bench.normal(n);
            Tensor tensorX = bench.floats(x, n);
            Tensor y = accumulate ? bench.floats(before, n) : bench.unwritten(n);
            Elementwise elementwise = bench.ops().elementwise();
            return OpRun.of(() -> elementwise.dropout(tensorX, y, DROPPED, SEED, STREAM, accumulate), () -> {
                long threshold = (long) Math.floor(DROPPED * 0x1p32);
                double[] expected = new double[n];
                for (int i = 0; i < n; i++) {
                    boolean keep = Integer.toUnsignedLong(Philox.word(SEED, STREAM, i)) >= threshold;
                    expected[i] = (keep ? x[i] / (1.0 - DROPPED) : 0) + (accumulate ? before[i] : 0);
                }
                return List.of(Output.close("y", y, expected, 1e-6));
            });
        });
    }
}
