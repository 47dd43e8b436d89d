package dev.loranative.tensor.cases;

import dev.loranative.tensor.DType;
import dev.loranative.tensor.Norms;
import dev.loranative.tensor.Tensor;
import dev.loranative.tensor.cases.OpCase.Use;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** Rows of the token embedding, and those that are trained in the place of some. */
final class EmbeddingCases {

    private EmbeddingCases() {}

    static List<OpCase> all() {
        List<OpCase> cases = new ArrayList<>();
        int[] ids = {3, 0, 6, 3, 3};
        for (DType dtype : ProductCases.LAYER_WEIGHTS) {
            cases.add(embeddingForward(Use.CHECK, ids, 7, 33, dtype));
        }
        cases.add(embeddingBackward(Use.CHECK, ids, 7, 33));
        int[] replaced = {6, 3};
        for (int width : new int[] {1, 33, 64}) {
            cases.add(rowsForward(Use.CHECK, ids, replaced, 7, width));
            cases.add(rowsBackward(Use.CHECK, ids, replaced, 7, width));
        }
        int[] many = new int[512];
        for (int i = 0; i < many.length; i++) {
            many[i] = i * 7919 % 16384;
        }
        cases.add(embeddingForward(Use.TIME, many, 16384, 1024, DType.BF16));
        cases.add(embeddingBackward(Use.TIME, many, 16384, 1024));
        int[] half = Arrays.copyOf(many, many.length / 2);
        cases.add(rowsForward(Use.TIME, many, half, 16384, 1024));
        cases.add(rowsBackward(Use.TIME, many, half, 16384, 1024));
        return cases;
    }

    private static OpCase embeddingForward(Use use, int[] ids, int vocabulary, int width, DType dtype) {
        double elements = (double) ids.length * width;
        Work work = new Work(0, 4 * elements + Work.weightBytes(dtype, elements) + 4.0 * ids.length);
        String shape = ids.length + "x" + width + " of " + vocabulary;
        return new OpCase(Family.NORMS, "embedding_fwd", shape, dtype, use, work, bench -> {
            float[] table = bench.normal((long) vocabulary * width);
            Tensor tensorTable = bench.weight(dtype, table, vocabulary, width);
            Tensor tensorIds = bench.ints(ids, ids.length);
            Tensor y = bench.unwritten(ids.length, width);
            Norms norms = bench.ops().norms();
            return OpRun.of(() -> norms.embeddingForward(tensorTable, tensorIds, y), () -> {
                float[] expected = new float[ids.length * width];
                for (int t = 0; t < ids.length; t++) {
                    System.arraycopy(table, ids[t] * width, expected, t * width, width);
                }
                return List.of(Output.equal("y", y, expected));
            });
        });
    }

    private static OpCase embeddingBackward(Use use, int[] ids, int vocabulary, int width) {
        double elements = (double) ids.length * width;
        Work work = new Work(elements, 12 * elements + 4.0 * ids.length);
        String shape = ids.length + "x" + width + " of " + vocabulary;
        return new OpCase(Family.NORMS, "embedding_bwd", shape, DType.F32, use, work, bench -> {
            float[] dy = bench.normal((long) ids.length * width);
            float[] gradient = bench.normal((long) vocabulary * width);
            Tensor tensorDy = bench.floats(dy, ids.length, width);
            Tensor tensorIds = bench.ints(ids, ids.length);
            Tensor tensorGradient = bench.floats(gradient, vocabulary, width);
            Norms norms = bench.ops().norms();
            return OpRun.of(() -> norms.embeddingBackward(tensorDy, tensorIds, tensorGradient), () -> {
                float[] expected = gradient.clone();
                for (int i = 0; i < dy.length; i++) {
                    expected[ids[i / width] * width + i % width] += dy[i];
                }
                return List.of(Output.equal("gradient", tensorGradient, expected));
            });
        });
    }

    private static String shape(int[] ids, int[] replaced, int width) {
        return ids.length + "x" + width + " of which " + replaced.length + " ids are replaced";
    }

    /** Where an id's row is among the replaced ones, -1 for none. */
    private static int[] slots(int[] replaced, int vocabulary) {
        int[] slots = new int[vocabulary];
        Arrays.fill(slots, -1);
        for (int row = 0; row < replaced.length; row++) {
            slots[replaced[row]] = row;
        }
        return slots;
    }

    private static Work rowsWork(int[] ids, int[] slots, int width, boolean backward) {
        double moved =
                (double) width * Arrays.stream(ids).filter(id -> slots[id] >= 0).count();
        return new Work(backward ? moved : 0, (backward ? 12 : 8) * moved + 8.0 * ids.length);
    }

    private static OpCase rowsForward(Use use, int[] ids, int[] replaced, int vocabulary, int width) {
        int[] slots = slots(replaced, vocabulary);
        Work work = rowsWork(ids, slots, width, false);
        String shape = shape(ids, replaced, width);
        return new OpCase(Family.NORMS, "embedding_rows_fwd", shape, DType.F32, use, work, bench -> {
            float[] rows = bench.normal((long) replaced.length * width);
            float[] before = bench.normal((long) ids.length * width);
            Tensor tensorRows = bench.floats(rows, replaced.length, width);
            Tensor tensorSlots = bench.ints(slots, vocabulary);
            Tensor tensorIds = bench.ints(ids, ids.length);
            Tensor y = bench.floats(before, ids.length, width);
            Norms norms = bench.ops().norms();
            return OpRun.of(() -> norms.embeddingRowsForward(tensorRows, tensorSlots, tensorIds, y), () -> {
                float[] expected = before.clone();
                for (int t = 0; t < ids.length; t++) {
                    if (slots[ids[t]] >= 0) {
                        System.arraycopy(rows, slots[ids[t]] * width, expected, t * width, width);
                    }
                }
                return List.of(Output.equal("y", y, expected));
            });
        });
    }

    private static OpCase rowsBackward(Use use, int[] ids, int[] replaced, int vocabulary, int width) {
        int[] slots = slots(replaced, vocabulary);
        Work work = rowsWork(ids, slots, width, true);
        String shape = shape(ids, replaced, width);
        return new OpCase(Family.NORMS, "embedding_rows_bwd", shape, DType.F32, use, work, bench -> {
            float[] dy = bench.normal((long) ids.length * width);
            float[] gradient = bench.normal((long) replaced.length * width);
            Tensor tensorDy = bench.floats(dy, ids.length, width);
            Tensor tensorSlots = bench.ints(slots, vocabulary);
            Tensor tensorIds = bench.ints(ids, ids.length);
            Tensor tensorGradient = bench.floats(gradient, replaced.length, width);
            Norms norms = bench.ops().norms();
            return OpRun.of(() -> norms.embeddingRowsBackward(tensorDy, tensorSlots, tensorIds, tensorGradient), () -> {
                float[] expected = gradient.clone();
                for (int i = 0; i < dy.length; i++) {
                    int slot = slots[ids[i / width]];
                    if (slot >= 0) {
                        expected[slot * width + i % width] += dy[i];
                    }
                }
                return List.of(Output.equal("gradient", tensorGradient, expected));
            });
        });
    }
}
