package dev.loranative.tensor;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.loranative.device.SimdTier;
import dev.loranative.ffi.KernelException;
import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class RoutingTest {

    private static final int TOKENS = 37;
    private static final int EXPERTS = 11;
    private static final int TOP_K = 3;
    private static final float Z_COEFFICIENT = 0.2f;

    /** Softmax and choice in double. */
    private static final class Choice {

        final double[] probabilities = new double[TOKENS * EXPERTS];
        final int[] ids = new int[TOKENS * TOP_K];
        final double[] weights = new double[TOKENS * TOP_K];
        final double[] logSums = new double[TOKENS];

        Choice(double[] logits, boolean renormalise) {
            for (int t = 0; t < TOKENS; t++) {
                double sum = 0;
                for (int e = 0; e < EXPERTS; e++) {
                    sum += Math.exp(logits[t * EXPERTS + e]);
                }
                boolean[] taken = new boolean[EXPERTS];
                double chosen = 0;
                logSums[t] = Math.log(sum);
                for (int e = 0; e < EXPERTS; e++) {
                    probabilities[t * EXPERTS + e] = Math.exp(logits[t * EXPERTS + e]) / sum;
                }
                for (int j = 0; j < TOP_K; j++) {
                    int best = -1;
                    for (int e = 0; e < EXPERTS; e++) {
                        if (!taken[e] && (best < 0 || logits[t * EXPERTS + e] > logits[t * EXPERTS + best])) {
                            best = e;
                        }
                    }
                    taken[best] = true;
                    ids[t * TOP_K + j] = best;
                    weights[t * TOP_K + j] = probabilities[t * EXPERTS + best];
                    chosen += weights[t * TOP_K + j];
                }
                for (int j = 0; renormalise && j < TOP_K; j++) {
                    weights[t * TOP_K + j] /= chosen;
                }
            }
        }
    }

    /** The first rows hold equal numbers, where the lower expert comes first, and large ones. */
    private static float[] logits(Bench bench) {
        float[] logits = bench.normal(TOKENS * EXPERTS, 2);
        for (int e = 0; e < EXPERTS; e++) {
            logits[e] = 0.5f;
            logits[EXPERTS + e] = e % 2;
            logits[2 * EXPERTS + e] *= 40;
        }
        return logits;
    }

    @ParameterizedTest
    @MethodSource("dev.loranative.tensor.Laws#tiers")
    void router(SimdTier tier) {
        Laws.check(tier, (bench, results) -> {
            router(bench, results, false);
            router(bench, results, true);
        });
    }

    private static void router(Bench bench, Laws.Results results, boolean renormalise) {
        float[] logits = logits(bench);
        Tensor probabilities = bench.floats(logits, TOKENS, EXPERTS);
        Tensor ids = bench.ints(new int[TOKENS * TOP_K], TOKENS, TOP_K);
        Tensor weights = bench.unwritten(TOKENS, TOP_K);
        Tensor counts = Tensor.allocate(bench.device(), DType.I64, EXPERTS);
        Tensor sums = Tensor.allocate(bench.device(), DType.F64, EXPERTS);
        Tensor logSums = bench.unwritten(TOKENS);
        Tensor squareSum = Tensor.allocate(bench.device(), DType.F64, 1);
        Routing routing = bench.ops().routing();

        routing.routerForward(probabilities, probabilities, ids, weights, counts, sums, null, null, renormalise);
        routing.routerForward(
                bench.floats(logits, TOKENS, EXPERTS),
                probabilities,
                ids,
                weights,
                counts,
                sums,
                logSums,
                squareSum,
                renormalise);

        Choice choice = new Choice(Matrix.doubles(logits), renormalise);
        results.close("probabilities", probabilities, choice.probabilities);
        results.equal("ids", ids, choice.ids);
        results.close("weights", weights, choice.weights);
        results.close("logarithms", logSums, choice.logSums);
        double squares = Arrays.stream(choice.logSums).map(z -> z * z).sum();
        assertThat(squareSum.toDoubles(bench.device())[0]).isCloseTo(squares, within(1e-6 * squares));
        long[] expectedCounts = new long[EXPERTS];
        double[] expectedSums = new double[EXPERTS];
        for (int id : choice.ids) {
            expectedCounts[id] += 2;
        }
        for (int i = 0; i < choice.probabilities.length; i++) {
            expectedSums[i % EXPERTS] += 2 * choice.probabilities[i];
        }
        assertThat(counts.toLongs(bench.device())).isEqualTo(expectedCounts);
        assertThat(sums.toDoubles(bench.device())).containsExactly(expectedSums, within(1e-5));
    }

    /** Against differences of the double softmax: the choice stays, the weights move. */
    @ParameterizedTest
    @MethodSource("dev.loranative.tensor.Laws#tiers")
    void routerGradient(SimdTier tier) {
        Laws.check(tier, (bench, results) -> {
            for (boolean renormalise : new boolean[] {false, true}) {
                for (boolean auxiliary : new boolean[] {false, true}) {
                    routerGradient(bench, results, renormalise, auxiliary);
                }
            }
        });
    }

    @ParameterizedTest
    @MethodSource("dev.loranative.tensor.Laws#tiers")
    void columnsAreTakenAndAdded(SimdTier tier) {
        Laws.check(tier, (bench, results) -> {
            float[] x = bench.normal(TOKENS * EXPERTS);
            Tensor index = bench.ints(new int[] {7, 0, 10}, 3);
            Tensor columns = bench.unwritten(TOKENS, 3);
            Tensor wide = bench.floats(x, TOKENS, EXPERTS);
            bench.ops().routing().gatherColumns(wide, index, columns);
            bench.ops().routing().addColumns(columns, index, wide);
            double[] taken = new double[TOKENS * 3];
            double[] doubled = Matrix.doubles(x);
            for (int t = 0; t < TOKENS; t++) {
                int[] numbers = {7, 0, 10};
                for (int j = 0; j < 3; j++) {
                    taken[t * 3 + j] = x[t * EXPERTS + numbers[j]];
                    doubled[t * EXPERTS + numbers[j]] *= 2;
                }
            }
            results.close("columns", columns, taken);
            results.close("sum", wide, doubled);
        });
    }

    private static void routerGradient(Bench bench, Laws.Results results, boolean renormalise, boolean auxiliary) {
        float[] logits = bench.normal(TOKENS * EXPERTS, 2);
        Choice choice = new Choice(Matrix.doubles(logits), renormalise);
        float[] dWeights = bench.normal(TOKENS * TOP_K);
        float[] dProbabilities = bench.normal(EXPERTS);
        Tensor dLogits = bench.unwritten(TOKENS, EXPERTS);

        bench.ops()
                .routing()
                .routerBackward(
                        bench.floats(floats(choice.probabilities), TOKENS, EXPERTS),
                        bench.ints(choice.ids, TOKENS, TOP_K),
                        bench.floats(floats(choice.weights), TOKENS, TOP_K),
                        bench.floats(dWeights, TOKENS, TOP_K),
                        auxiliary ? bench.floats(dProbabilities, EXPERTS) : null,
                        auxiliary ? bench.floats(floats(choice.logSums), TOKENS) : null,
                        2 * Z_COEFFICIENT,
                        dLogits,
                        renormalise);

        double[] expected = new double[TOKENS * EXPERTS];
        for (int t = 0; t < TOKENS; t++) {
            for (int e = 0; e < EXPERTS; e++) {
                double step = 1e-5;
                double above = objective(logits, choice, t, e, step, renormalise, dWeights, auxiliary, dProbabilities);
                double below = objective(logits, choice, t, e, -step, renormalise, dWeights, auxiliary, dProbabilities);
                expected[t * EXPERTS + e] = (above - below) / (2 * step);
            }
        }
        results.close("dLogits", dLogits, expected);
    }

    /** What token t adds to the loss when its logit e moves by step. */
    private static double objective(
            float[] logits,
            Choice choice,
            int t,
            int e,
            double step,
            boolean renormalise,
            float[] dWeights,
            boolean auxiliary,
            float[] dProbabilities) {
        double[] exponentials = new double[EXPERTS];
        double sum = 0;
        for (int i = 0; i < EXPERTS; i++) {
            exponentials[i] = Math.exp(logits[t * EXPERTS + i] + (i == e ? step : 0));
            sum += exponentials[i];
        }
        double chosen = 0;
        for (int j = 0; j < TOP_K; j++) {
            chosen += exponentials[choice.ids[t * TOP_K + j]];
        }
        double objective = 0;
        for (int j = 0; j < TOP_K; j++) {
            objective +=
                    dWeights[t * TOP_K + j] * exponentials[choice.ids[t * TOP_K + j]] / (renormalise ? chosen : sum);
        }
        for (int i = 0; auxiliary && i < EXPERTS; i++) {
            objective += dProbabilities[i] * exponentials[i] / sum;
        }
        double logSum = Math.log(sum);
        return auxiliary ? objective + Z_COEFFICIENT * logSum * logSum : objective;
    }

    @ParameterizedTest
    @MethodSource("dev.loranative.tensor.Laws#tiers")
    void loadBalancingLoss(SimdTier tier) {
        Laws.check(tier, (bench, results) -> {
            float[] logits = logits(bench);
            Choice choice = new Choice(Matrix.doubles(logits), true);
            Tensor probabilities = bench.floats(logits, TOKENS, EXPERTS);
            Tensor counts = Tensor.allocate(bench.device(), DType.I64, EXPERTS);
            Tensor sums = Tensor.allocate(bench.device(), DType.F64, EXPERTS);
            Tensor loss = Tensor.allocate(bench.device(), DType.F64, 1);
            Tensor dProbabilities = bench.unwritten(EXPERTS);
            Tensor ids = bench.ints(new int[TOKENS * TOP_K], TOKENS, TOP_K);
            Tensor weights = bench.unwritten(TOKENS, TOP_K);
            Routing routing = bench.ops().routing();
            routing.routerForward(probabilities, probabilities, ids, weights, counts, sums, null, null, true);

            routing.loadBalancingLoss(counts, sums, TOKENS, 0.02f, loss, dProbabilities);

            // transformers: experts * sum over (choice, expert) of mean(one-hot) * mean(probability)
            double expected = 0;
            double[] gradient = new double[EXPERTS];
            for (int e = 0; e < EXPERTS; e++) {
                double count = 0;
                double sum = 0;
                for (int id : choice.ids) {
                    count += id == e ? 1 : 0;
                }
                for (int t = 0; t < TOKENS; t++) {
                    sum += choice.probabilities[t * EXPERTS + e];
                }
                expected += EXPERTS * count / TOKENS * sum / TOKENS;
                gradient[e] = 0.02 * EXPERTS * count / TOKENS / TOKENS;
            }
            assertThat(loss.toDoubles(bench.device())[0]).isCloseTo(expected, within(1e-6));
            results.close("dProbabilities", dProbabilities, gradient, 1e-7);
        });
    }

    @ParameterizedTest
    @MethodSource("dev.loranative.tensor.Laws#tiers")
    void planIsAStableSort(SimdTier tier) {
        Laws.check(tier, (bench, results) -> {
            for (int tokens : new int[] {0, 1, TOKENS, 700}) {
                int[] ids = new int[tokens * TOP_K];
                for (int i = 0; i < ids.length; i++) {
                    ids[i] = bench.random().nextInt(EXPERTS - 1) + (i % 5 == 0 ? 1 : 0);
                }
                Tensor offsets = bench.ints(new int[EXPERTS + 1], EXPERTS + 1);
                Tensor rows = bench.ints(new int[ids.length], ids.length);
                Tensor sources = bench.ints(new int[ids.length], ids.length);

                bench.ops().routing().plan(bench.ints(ids, tokens, TOP_K), offsets, rows, sources);

                int[] expectedOffsets = new int[EXPERTS + 1];
                int[] expectedRows = new int[ids.length];
                int[] expectedSources = new int[ids.length];
                int row = 0;
                for (int expert = 0; expert < EXPERTS; expert++) {
                    for (int pair = 0; pair < ids.length; pair++) {
                        if (ids[pair] == expert) {
                            expectedRows[pair] = row;
                            expectedSources[row++] = pair / TOP_K;
                        }
                    }
                    expectedOffsets[expert + 1] = row;
                }
                results.equal("offsets", offsets, expectedOffsets);
                results.equal("rows of pairs", rows, expectedRows);
                results.equal("tokens of rows", sources, expectedSources);
            }
        });
    }

    @ParameterizedTest
    @MethodSource("dev.loranative.tensor.Laws#tiers")
    void gatherAndScatter(SimdTier tier) {
        Laws.check(tier, (bench, results) -> {
            int width = 33;
            float[] x = bench.normal(5 * width);
            float[] before = bench.normal(9 * width);
            int[] gathered = {4, 0, 0, 2};
            int[] scattered = {8, 3, 0, 5, 1};
            Tensor tensorX = bench.floats(x, 5, width);
            Tensor y = bench.unwritten(4, width);
            Tensor target = bench.floats(before, 9, width);

            bench.ops().routing().gatherRows(tensorX, bench.ints(gathered, 4), y);
            bench.ops().routing().scatterRows(tensorX, bench.ints(scattered, 5), target);

            float[] expected = new float[4 * width];
            for (int row = 0; row < 4; row++) {
                System.arraycopy(x, gathered[row] * width, expected, row * width, width);
            }
            for (int row = 0; row < 5; row++) {
                System.arraycopy(x, row * width, before, scattered[row] * width, width);
            }
            results.equal("gathered", y, expected);
            results.equal("scattered", target, before);
        });
    }

    @ParameterizedTest
    @MethodSource("dev.loranative.tensor.Laws#tiers")
    void combine(SimdTier tier) {
        Laws.check(tier, (bench, results) -> {
            int tokens = 7;
            int width = 35;
            int rows = tokens * TOP_K;
            int[] rowsOfPairs = new int[rows];
            for (int pair = 0; pair < rows; pair++) {
                rowsOfPairs[pair] = (pair * 8 + 3) % rows;
            }
            float[] x = bench.normal(rows * width);
            float[] weights = bench.normal(rows);
            float[] before = bench.normal(tokens * width);
            float[] dy = bench.normal(tokens * width);
            Tensor tensorX = bench.floats(x, rows, width);
            Tensor tensorRows = bench.ints(rowsOfPairs, rows);
            Tensor tensorWeights = bench.floats(weights, tokens, TOP_K);
            Tensor y = bench.unwritten(tokens, width);
            Tensor added = bench.floats(before, tokens, width);
            Tensor dWeights = bench.unwritten(tokens, TOP_K);
            Routing routing = bench.ops().routing();

            routing.combineForward(tensorX, tensorRows, tensorWeights, y, false);
            routing.combineForward(tensorX, tensorRows, null, added, true);
            routing.combineBackward(
                    bench.floats(dy, tokens, width), tensorX, tensorRows, tensorWeights, tensorX, dWeights);

            double[] expected = new double[tokens * width];
            double[] expectedAdded = Matrix.doubles(before);
            double[] expectedX = new double[rows * width];
            double[] expectedWeights = new double[rows];
            for (int pair = 0; pair < rows; pair++) {
                for (int i = 0; i < width; i++) {
                    int token = pair / TOP_K * width + i;
                    int row = rowsOfPairs[pair] * width + i;
                    expected[token] += (double) weights[pair] * x[row];
                    expectedAdded[token] += x[row];
                    expectedX[row] = (double) weights[pair] * dy[token];
                    expectedWeights[pair] += (double) dy[token] * x[row];
                }
            }
            results.close("y", y, expected);
            results.close("y added", added, expectedAdded);
            results.close("dx", tensorX, expectedX);
            results.close("dWeights", dWeights, expectedWeights);
        });
    }

    @Test
    void refusesShapesByName() {
        try (Bench bench = new Bench(SimdTier.AUTO, 1)) {
            Routing routing = bench.ops().routing();
            Tensor logits = bench.unwritten(4, 6);
            Tensor ids = bench.ints(new int[8], 4, 2);

            assertThatThrownBy(() -> routing.routerForward(
                            logits, logits, ids, bench.unwritten(4, 3), null, null, null, null, true))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessage("weights is F32[4, 3], must be F32[4, 2]");
            assertThatThrownBy(() -> routing.plan(
                            ids, bench.ints(new int[7], 7), bench.ints(new int[7], 7), bench.ints(new int[8], 8)))
                    .hasMessage("rowsOfPairs is I32[7], must be I32[8]");
            assertThatThrownBy(() -> routing.gatherRows(logits, ids.reshape(8), bench.unwritten(8, 5)))
                    .hasMessage("y is F32[8, 5], must be F32[8, 6]");
        }
    }

    @Test
    void theLibraryNamesAnIndexOutside() {
        try (Bench bench = new Bench(SimdTier.AUTO, 1)) {
            Tensor x = bench.unwritten(4, 6);
            Tensor y = bench.unwritten(2, 6);

            assertThatThrownBy(() -> bench.ops().routing().gatherRows(x, bench.ints(new int[] {1, 4}, 2), y))
                    .isInstanceOf(KernelException.class)
                    .hasMessageContaining("ln_gather_rows")
                    .hasMessageContaining("4");
        }
    }

    private static float[] floats(double[] values) {
        float[] floats = new float[values.length];
        for (int i = 0; i < values.length; i++) {
            floats[i] = (float) values[i];
        }
        return floats;
    }
}
