package dev.loranative.tensor.cases;

import dev.loranative.tensor.DType;
import dev.loranative.tensor.Losses;
import dev.loranative.tensor.Norms;
import dev.loranative.tensor.Routing;
import dev.loranative.tensor.Tensor;
import dev.loranative.tensor.cases.OpCase.Use;
import java.util.ArrayList;
import java.util.List;

/** Some columns of a matrix, sums of all of them, and rows that replace those of an embedding. */
final class RowsAndColumnsCases {

    private static final int VOCABULARY = 11;

    /** The row that stands for an id. */
    private static final int[] SLOTS = {-1, 2, -1, -1, 0, -1, 1, -1, -1, -1, -1};

    private static final int COUNT = 3;

    private RowsAndColumnsCases() {}

    static List<OpCase> all() {
        List<OpCase> cases = new ArrayList<>();
        for (int rows : new int[] {1, 37}) {
            cases.add(gatherColumns(rows, 19, new int[] {18, 0, 0, 7, 3}));
            cases.add(addColumns(rows, 19, new int[] {5, 18, 0, 9}));
        }
        for (int[] size : new int[][] {{1, 1}, {3, 70}, {700, 5}, {129, 64}}) {
            cases.add(columnSums(size[0], size[1]));
        }
        for (int width : new int[] {1, 33, 64}) {
            cases.add(embeddingRows(29, width));
            cases.add(embeddingRowsGradient(29, width));
        }
        return cases;
    }

    private static OpCase gatherColumns(int rows, int width, int[] index) {
        String shape = rows + "x" + index.length + " of " + width;
        Work work = new Work(0, 8.0 * rows * index.length);
        return new OpCase(Family.ROUTING, "gather_columns", shape, DType.F32, Use.CHECK, work, bench -> {
            float[] x = bench.normal((long) rows * width);
            Tensor tensorX = bench.floats(x, rows, width);
            Tensor tensorIndex = bench.ints(index, index.length);
            Tensor y = bench.unwritten(rows, index.length);
            Routing routing = bench.ops().routing();
            return OpRun.of(() -> routing.gatherColumns(tensorX, tensorIndex, y), () -> {
                float[] expected = new float[rows * index.length];
                for (int i = 0; i < expected.length; i++) {
                    expected[i] = x[i / index.length * width + index[i % index.length]];
                }
                return List.of(Output.equal("y", y, expected));
            });
        });
    }

    private static OpCase addColumns(int rows, int width, int[] index) {
        String shape = rows + "x" + index.length + " into " + width;
        Work work = new Work((double) rows * index.length, 12.0 * rows * index.length);
        return new OpCase(Family.ROUTING, "add_columns", shape, DType.F32, Use.CHECK, work, bench -> {
            float[] x = bench.normal((long) rows * index.length);
            float[] before = bench.normal((long) rows * width);
            Tensor tensorX = bench.floats(x, rows, index.length);
            Tensor tensorIndex = bench.ints(index, index.length);
            Tensor y = bench.floats(before, rows, width);
            Routing routing = bench.ops().routing();
            return OpRun.of(() -> routing.addColumns(tensorX, tensorIndex, y), () -> {
                float[] expected = before.clone();
                for (int i = 0; i < x.length; i++) {
                    expected[i / index.length * width + index[i % index.length]] += x[i];
                }
                return List.of(Output.equal("y", y, expected));
            });
        });
    }

    private static OpCase columnSums(int rows, int columns) {
        Work work = new Work((double) rows * columns, 4.0 * rows * columns + 8.0 * columns);
        String shape = rows + "x" + columns;
        return new OpCase(Family.LOSSES, "column_sums", shape, DType.F32, Use.CHECK, work, bench -> {
            float[] x = bench.normal((long) rows * columns);
            float[] before = bench.normal(columns);
            Tensor tensorX = bench.floats(x, rows, columns);
            Tensor sums = bench.floats(before, columns);
            Losses losses = bench.ops().losses();
            return OpRun.of(() -> losses.columnSums(tensorX, sums), () -> {
                double[] expected = Matrix.doubles(before);
                for (int i = 0; i < x.length; i++) {
                    expected[i % columns] += x[i];
                }
                return List.of(Output.close("sums", sums, expected));
            });
        });
    }

    private static int[] ids(int tokens) {
        int[] ids = new int[tokens];
        for (int t = 0; t < tokens; t++) {
            ids[t] = t * 5 % VOCABULARY;
        }
        return ids;
    }

    private static OpCase embeddingRows(int tokens, int width) {
        String shape = tokens + "x" + width;
        Work work = new Work(0, 4.0 * tokens * (width + 2));
        return new OpCase(Family.NORMS, "embedding_rows_fwd", shape, DType.F32, Use.CHECK, work, bench -> {
            int[] ids = ids(tokens);
            float[] rows = bench.normal((long) COUNT * width);
            float[] before = bench.normal((long) tokens * width);
            Tensor tensorRows = bench.floats(rows, COUNT, width);
            Tensor slots = bench.ints(SLOTS, VOCABULARY);
            Tensor tensorIds = bench.ints(ids, tokens);
            Tensor y = bench.floats(before, tokens, width);
            Norms norms = bench.ops().norms();
            return OpRun.of(() -> norms.embeddingRowsForward(tensorRows, slots, tensorIds, y), () -> {
                float[] expected = before.clone();
                for (int t = 0; t < tokens; t++) {
                    if (SLOTS[ids[t]] >= 0) {
                        System.arraycopy(rows, SLOTS[ids[t]] * width, expected, t * width, width);
                    }
                }
                return List.of(Output.equal("y", y, expected));
            });
        });
    }

    private static OpCase embeddingRowsGradient(int tokens, int width) {
        String shape = tokens + "x" + width;
        Work work = new Work((double) tokens * width, 4.0 * tokens * (width + 2));
        return new OpCase(Family.NORMS, "embedding_rows_bwd", shape, DType.F32, Use.CHECK, work, bench -> {
            int[] ids = ids(tokens);
            float[] dy = bench.normal((long) tokens * width);
            float[] before = bench.normal((long) COUNT * width);
            Tensor tensorDy = bench.floats(dy, tokens, width);
            Tensor slots = bench.ints(SLOTS, VOCABULARY);
            Tensor tensorIds = bench.ints(ids, tokens);
            Tensor gradient = bench.floats(before, COUNT, width);
            Norms norms = bench.ops().norms();
            return OpRun.of(() -> norms.embeddingRowsBackward(tensorDy, slots, tensorIds, gradient), () -> {
                double[] expected = Matrix.doubles(before);
                for (int t = 0; t < tokens; t++) {
                    for (int i = 0; SLOTS[ids[t]] >= 0 && i < width; i++) {
                        expected[SLOTS[ids[t]] * width + i] += dy[t * width + i];
                    }
                }
                return List.of(Output.close("gradient of the rows", gradient, expected));
            });
        });
    }
}
