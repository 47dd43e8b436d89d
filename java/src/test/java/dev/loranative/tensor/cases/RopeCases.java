package dev.loranative.tensor.cases;

import dev.loranative.tensor.DType;
import dev.loranative.tensor.Norms;
import dev.loranative.tensor.Tensor;
import dev.loranative.tensor.cases.OpCase.Use;
import java.util.ArrayList;
import java.util.List;

/** Rotary position embedding. */
final class RopeCases {

    private RopeCases() {}

    static List<OpCase> all() {
        List<OpCase> cases = new ArrayList<>();
        int[] restarting = {0, 1, 2, 0, 9};
        for (boolean transpose : new boolean[] {false, true}) {
            cases.add(rope(Use.CHECK, restarting, 3, 20, 20, transpose));
            cases.add(rope(Use.CHECK, restarting, 1, 34, 18, transpose));
            cases.add(rope(Use.CHECK, restarting, 5, 2, 2, transpose));
            cases.add(rope(Use.TIME, twoSequences(256), 16, 64, 64, transpose));
        }
        return cases;
    }

    private static int[] twoSequences(int length) {
        int[] positions = new int[2 * length];
        for (int i = 0; i < positions.length; i++) {
            positions[i] = i % length;
        }
        return positions;
    }

    private static OpCase rope(Use use, int[] positions, int heads, int headDim, int rotaryDim, boolean transpose) {
        int tokens = positions.length;
        int half = rotaryDim / 2;
        int tableRows = java.util.Arrays.stream(positions).max().orElseThrow() + 1;
        double rotated = (double) tokens * heads * rotaryDim;
        Work work = new Work(3 * rotated, 8 * rotated + 8.0 * tableRows * half + 4.0 * tokens);
        String shape = tokens + "x" + heads + "x" + headDim + (rotaryDim == headDim ? "" : "/" + rotaryDim)
                + (transpose ? " transpose" : "");
        return new OpCase(Family.NORMS, "rope", shape, DType.F32, use, work, bench -> {
            float[] x = bench.normal((long) tokens * heads * headDim);
            float[] cosine = new float[tableRows * half];
            float[] sine = new float[tableRows * half];
            for (int i = 0; i < cosine.length; i++) {
                cosine[i] = (float) Math.cos(i * 0.37);
                sine[i] = (float) Math.sin(i * 0.37);
            }
            Tensor tensorX = bench.floats(x, tokens, (long) heads * headDim);
            Tensor tensorCosine = bench.floats(cosine, tableRows, half);
            Tensor tensorSine = bench.floats(sine, tableRows, half);
            Tensor tensorPositions = bench.ints(positions, tokens);
            Norms norms = bench.ops().norms();
            return OpRun.of(
                    () -> norms.rope(tensorX, tensorCosine, tensorSine, tensorPositions, heads, headDim, transpose),
                    () -> {
                        double[] expected = Matrix.doubles(x);
                        for (int head = 0; head < tokens * heads; head++) {
                            for (int i = 0; i < half; i++) {
                                int table = positions[head / heads] * half + i;
                                double s = transpose ? -sine[table] : sine[table];
                                double first = x[head * headDim + i];
                                double second = x[head * headDim + i + half];
                                expected[head * headDim + i] = first * cosine[table] - second * s;
                                expected[head * headDim + i + half] = second * cosine[table] + first * s;
                            }
                        }
                        return List.of(Output.close("x", tensorX, expected, 1e-6));
                    });
        });
    }
}
