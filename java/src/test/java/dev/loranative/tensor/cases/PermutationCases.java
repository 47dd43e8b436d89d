package dev.loranative.tensor.cases;

import dev.loranative.tensor.DType;
import dev.loranative.tensor.Routing;
import dev.loranative.tensor.Tensor;
import dev.loranative.tensor.cases.OpCase.Use;
import java.util.ArrayList;
import java.util.List;

/** Sorting tokens by expert, moving their rows there and back. */
final class PermutationCases {

    private PermutationCases() {}

    static List<OpCase> all() {
        List<OpCase> cases = new ArrayList<>();
        for (int tokens : new int[] {0, 1, 37, 700}) {
            cases.add(plan(Use.CHECK, tokens, 11, 3));
        }
        cases.add(gather(Use.CHECK, new int[] {4, 0, 0, 2}, 5, 33));
        cases.add(scatter(Use.CHECK, new int[] {8, 3, 0, 5, 1}, 9, 33));
        cases.add(gatherColumns(Use.CHECK, new int[] {4, 0, 2}, 5, 33));
        cases.add(gatherColumns(Use.CHECK, new int[] {18, 0, 0, 7, 3}, 19, 1));
        cases.add(addColumns(Use.CHECK, new int[] {4, 0, 2}, 5, 33));
        cases.add(addColumns(Use.CHECK, new int[] {5, 18, 0, 9}, 19, 37));
        for (int width : new int[] {1, 31, 35}) {
            cases.add(combineForward(Use.CHECK, 7, 3, width, true, false));
            cases.add(combineForward(Use.CHECK, 7, 3, width, false, true));
            cases.add(combineBackward(Use.CHECK, 7, 3, width));
        }
        // moe-small and moe-medium on 512 tokens.
        for (int[] size : new int[][] {{16, 4, 256}, {64, 8, 768}}) {
            cases.add(plan(Use.TIME, 512, size[0], size[1]));
            int[] tokensOfRows = new int[512 * size[1]];
            for (int row = 0; row < tokensOfRows.length; row++) {
                tokensOfRows[row] = row * 293 % 512;
            }
            cases.add(gather(Use.TIME, tokensOfRows, 512, size[2]));
            cases.add(combineForward(Use.TIME, 512, size[1], size[2], true, false));
            cases.add(combineForward(Use.TIME, 512, size[1], size[2], false, false));
            cases.add(combineBackward(Use.TIME, 512, size[1], size[2]));
        }
        int[] spread = new int[256];
        for (int row = 0; row < spread.length; row++) {
            spread[row] = (row * 97 + 3) % 512;
        }
        cases.add(scatter(Use.TIME, spread, 512, 1024));
        // Columns of a vocabulary whose rows are trained.
        cases.add(gatherColumns(Use.TIME, spread, 16384, 128));
        cases.add(addColumns(Use.TIME, spread, 16384, 128));
        return cases;
    }

    private static OpCase plan(Use use, int tokens, int experts, int topK) {
        int pairs = tokens * topK;
        Work work = new Work(0, 12.0 * pairs + 4.0 * (experts + 1));
        String shape = tokens + " top " + topK + " of " + experts;
        return new OpCase(Family.ROUTING, "moe_plan", shape, DType.F32, use, work, bench -> {
            int[] ids = new int[pairs];
            for (int i = 0; i < ids.length; i++) {
                ids[i] = bench.random().nextInt(experts - 1) + (i % 5 == 0 ? 1 : 0);
            }
            Tensor tensorIds = bench.ints(ids, tokens, topK);
            Tensor offsets = bench.ints(new int[experts + 1], experts + 1);
            Tensor rowsOfPairs = bench.ints(new int[pairs], pairs);
            Tensor tokensOfRows = bench.ints(new int[pairs], pairs);
            Routing routing = bench.ops().routing();
            return OpRun.of(() -> routing.plan(tensorIds, offsets, rowsOfPairs, tokensOfRows), () -> {
                int[] expectedOffsets = new int[experts + 1];
                int[] expectedRows = new int[pairs];
                int[] expectedTokens = new int[pairs];
                int row = 0;
                for (int expert = 0; expert < experts; expert++) {
                    for (int pair = 0; pair < pairs; pair++) {
                        if (ids[pair] == expert) {
                            expectedRows[pair] = row;
                            expectedTokens[row++] = pair / topK;
                        }
                    }
                    expectedOffsets[expert + 1] = row;
                }
                return List.of(
                        Output.equal("offsets", offsets, expectedOffsets),
                        Output.equal("rows of pairs", rowsOfPairs, expectedRows),
                        Output.equal("tokens of rows", tokensOfRows, expectedTokens));
            });
        });
    }

    private static OpCase gather(Use use, int[] index, int sourceRows, int width) {
        Work work = new Work(0, 8.0 * index.length * width + 4.0 * index.length);
        String shape = index.length + "x" + width + " of " + sourceRows;
        return new OpCase(Family.ROUTING, "gather_rows", shape, DType.F32, use, work, bench -> {
            float[] x = bench.normal((long) sourceRows * width);
            Tensor tensorX = bench.floats(x, sourceRows, width);
            Tensor tensorIndex = bench.ints(index, index.length);
            Tensor y = bench.unwritten(index.length, width);
            Routing routing = bench.ops().routing();
            return OpRun.of(() -> routing.gatherRows(tensorX, tensorIndex, y), () -> {
                float[] expected = new float[index.length * width];
                for (int row = 0; row < index.length; row++) {
                    System.arraycopy(x, index[row] * width, expected, row * width, width);
                }
                return List.of(Output.equal("y", y, expected));
            });
        });
    }

    private static OpCase scatter(Use use, int[] index, int targetRows, int width) {
        Work work = new Work(0, 8.0 * index.length * width + 4.0 * index.length);
        String shape = index.length + "x" + width + " into " + targetRows;
        return new OpCase(Family.ROUTING, "scatter_rows", shape, DType.F32, use, work, bench -> {
            float[] x = bench.normal((long) index.length * width);
            float[] before = bench.normal((long) targetRows * width);
            Tensor tensorX = bench.floats(x, index.length, width);
            Tensor tensorIndex = bench.ints(index, index.length);
            Tensor y = bench.floats(before, targetRows, width);
            Routing routing = bench.ops().routing();
            return OpRun.of(() -> routing.scatterRows(tensorX, tensorIndex, y), () -> {
                float[] expected = before.clone();
                for (int row = 0; row < index.length; row++) {
                    System.arraycopy(x, row * width, expected, index[row] * width, width);
                }
                return List.of(Output.equal("y", y, expected));
            });
        });
    }

    private static OpCase gatherColumns(Use use, int[] index, int width, int rows) {
        Work work = new Work(0, 8.0 * index.length * rows + 4.0 * index.length);
        String shape = rows + "x" + index.length + " of " + width;
        return new OpCase(Family.ROUTING, "gather_columns", shape, DType.F32, use, work, bench -> {
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

    private static OpCase addColumns(Use use, int[] index, int width, int rows) {
        Work work = new Work((double) index.length * rows, 12.0 * index.length * rows + 4.0 * index.length);
        String shape = rows + "x" + index.length + " into " + width;
        return new OpCase(Family.ROUTING, "add_columns", shape, DType.F32, use, work, bench -> {
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

    /** A permutation of the pairs, as any plan is one. */
    private static int[] rowsOfPairs(int pairs) {
        int step = 8;
        while (greatestCommonDivisor(step, pairs) != 1) {
            step++;
        }
        int[] rows = new int[pairs];
        for (int pair = 0; pair < pairs; pair++) {
            rows[pair] = (int) (((long) pair * step + 3) % pairs);
        }
        return rows;
    }

    private static int greatestCommonDivisor(int a, int b) {
        return b == 0 ? a : greatestCommonDivisor(b, a % b);
    }

    private static String shape(int tokens, int topK, int width) {
        return tokens + "x" + topK + "x" + width;
    }

    private static OpCase combineForward(
            Use use, int tokens, int topK, int width, boolean weighted, boolean accumulate) {
        int pairs = tokens * topK;
        Work work = new Work(
                (weighted ? 2.0 : 1.0) * pairs * width,
                4.0 * pairs * width + (accumulate ? 8.0 : 4.0) * tokens * width + (weighted ? 8.0 : 4.0) * pairs);
        String shape = shape(tokens, topK, width) + (weighted ? " weighted" : "") + (accumulate ? " accumulate" : "");
        return new OpCase(Family.ROUTING, "moe_combine_fwd", shape, DType.F32, use, work, bench -> {
            int[] rows = rowsOfPairs(pairs);
            float[] x = bench.normal((long) pairs * width);
            float[] weights = bench.normal(pairs);
            float[] before = bench.normal((long) tokens * width);
            Tensor tensorX = bench.floats(x, pairs, width);
            Tensor tensorRows = bench.ints(rows, pairs);
            Tensor tensorWeights = weighted ? bench.floats(weights, tokens, topK) : null;
            Tensor y = accumulate ? bench.floats(before, tokens, width) : bench.unwritten(tokens, width);
            Routing routing = bench.ops().routing();
            return OpRun.of(() -> routing.combineForward(tensorX, tensorRows, tensorWeights, y, accumulate), () -> {
                double[] expected = accumulate ? Matrix.doubles(before) : new double[tokens * width];
                for (int pair = 0; pair < pairs; pair++) {
                    for (int i = 0; i < width; i++) {
                        double weight = weighted ? weights[pair] : 1;
                        expected[pair / topK * width + i] += weight * x[rows[pair] * width + i];
                    }
                }
                return List.of(Output.close("y", y, expected));
            });
        });
    }

    private static OpCase combineBackward(Use use, int tokens, int topK, int width) {
        int pairs = tokens * topK;
        Work work = new Work(3.0 * pairs * width, 8.0 * pairs * width + 4.0 * tokens * width + 12.0 * pairs);
        String shape = shape(tokens, topK, width);
        return new OpCase(Family.ROUTING, "moe_combine_bwd", shape, DType.F32, use, work, bench -> {
            int[] rows = rowsOfPairs(pairs);
            float[] x = bench.normal((long) pairs * width);
            float[] weights = bench.normal(pairs);
            float[] dy = bench.normal((long) tokens * width);
            Tensor tensorX = bench.floats(x, pairs, width);
            Tensor tensorRows = bench.ints(rows, pairs);
            Tensor tensorWeights = bench.floats(weights, tokens, topK);
            Tensor tensorDy = bench.floats(dy, tokens, width);
            Tensor y = bench.unwritten(tokens, width);
            Tensor dWeights = bench.unwritten(tokens, topK);
            Routing routing = bench.ops().routing();
            // dx takes the place of x, as in MixtureOfExperts.
            return OpRun.of(
                            () -> routing.combineBackward(
                                    tensorDy, tensorX, tensorRows, tensorWeights, tensorX, dWeights),
                            () -> {
                                double[] expectedX = new double[pairs * width];
                                double[] expectedWeights = new double[pairs];
                                for (int pair = 0; pair < pairs; pair++) {
                                    for (int i = 0; i < width; i++) {
                                        int token = pair / topK * width + i;
                                        int row = rows[pair] * width + i;
                                        expectedX[row] = (double) weights[pair] * dy[token];
                                        expectedWeights[pair] += (double) dy[token] * x[row];
                                    }
                                }
                                return List.of(
                                        Output.close("dx", tensorX, expectedX),
                                        Output.close("dWeights", dWeights, expectedWeights));
                            })
                    .derivativeOf(
                            () -> routing.combineForward(tensorX, tensorRows, tensorWeights, y, false),
                            y,
                            tensorDy,
                            List.of(
                                    OpRun.activation("x", tensorX, tensorX),
                                    OpRun.activation("weights", tensorWeights, dWeights)));
        });
    }
}
