package dev.loranative.tensor.cases;

import dev.loranative.tensor.Bench;
import dev.loranative.tensor.DType;
import dev.loranative.tensor.Routing;
import dev.loranative.tensor.Tensor;
import dev.loranative.tensor.cases.OpCase.Use;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** The router: softmax, choice, their gradient, the load-balancing loss. */
final class RouterCases {

    private static final float COEFFICIENT = 0.02f;

    /** Of the squared logarithm of the sum of exponentials, in the cases with auxiliary losses. */
    private static final float Z_COEFFICIENT = 0.2f;

    private RouterCases() {}

    static List<OpCase> all() {
        List<OpCase> cases = new ArrayList<>();
        for (boolean renormalise : new boolean[] {false, true}) {
            for (Size size : new Size[] {
                new Size(37, 11, 3, renormalise), new Size(1, 1, 1, renormalise), new Size(3, 100, 8, renormalise)
            }) {
                cases.add(forward(Use.CHECK, size));
                cases.add(backward(Use.CHECK, size, false));
                cases.add(backward(Use.CHECK, size, true));
            }
        }
        cases.add(loadBalancing(Use.CHECK, new Size(37, 11, 3, true)));
        // moe-small, moe-medium, and as many experts as Qwen3-30B-A3B has.
        for (Size size :
                new Size[] {new Size(512, 16, 4, true), new Size(512, 64, 8, true), new Size(512, 128, 8, true)}) {
            cases.add(forward(Use.TIME, size));
            cases.add(backward(Use.TIME, size, false));
            cases.add(loadBalancing(Use.TIME, size));
        }
        return cases;
    }

    record Size(int tokens, int experts, int topK, boolean renormalise) {

        String text() {
            return tokens + "x" + experts + " top " + topK + (renormalise ? " renormalised" : "");
        }
    }

    /** Softmax and choice in double. */
    private static final class Choice {

        final double[] probabilities;
        final int[] ids;
        final double[] weights;
        final double[] logSums;

        Choice(Size size, float[] logits) {
            int experts = size.experts();
            int topK = size.topK();
            probabilities = new double[size.tokens() * experts];
            ids = new int[size.tokens() * topK];
            weights = new double[size.tokens() * topK];
            logSums = new double[size.tokens()];
            for (int t = 0; t < size.tokens(); t++) {
                double sum = 0;
                for (int e = 0; e < experts; e++) {
                    sum += Math.exp(logits[t * experts + e]);
                }
                for (int e = 0; e < experts; e++) {
                    probabilities[t * experts + e] = Math.exp(logits[t * experts + e]) / sum;
                }
                logSums[t] = Math.log(sum);
                boolean[] taken = new boolean[experts];
                double chosen = 0;
                for (int j = 0; j < topK; j++) {
                    int best = -1;
                    for (int e = 0; e < experts; e++) {
                        if (!taken[e] && (best < 0 || logits[t * experts + e] > logits[t * experts + best])) {
                            best = e;
                        }
                    }
                    taken[best] = true;
                    ids[t * topK + j] = best;
                    weights[t * topK + j] = probabilities[t * experts + best];
                    chosen += weights[t * topK + j];
                }
                for (int j = 0; size.renormalise() && j < topK; j++) {
                    weights[t * topK + j] /= chosen;
                }
            }
        }
    }

    /** The first rows hold equal numbers, where the lower expert comes first, and large ones. */
    private static float[] logits(Bench bench, Size size) {
        float[] logits = bench.normal((long) size.tokens() * size.experts(), 2);
        for (int e = 0; size.tokens() >= 3 && e < size.experts(); e++) {
            logits[e] = 0.5f;
            logits[size.experts() + e] = e % 2;
            logits[2 * size.experts() + e] *= 40;
        }
        return logits;
    }

    /** So far apart that the small steps of a difference quotient change no choice. */
    private static float[] separated(Bench bench, Size size) {
        float[] logits = bench.normal((long) size.tokens() * size.experts(), 0.03);
        for (int i = 0; i < logits.length; i++) {
            int rank = (i % size.experts() * 7 + i / size.experts() * 3) % size.experts();
            logits[i] += 0.6f * rank;
        }
        return logits;
    }

    private static OpCase forward(Use use, Size size) {
        double elements = (double) size.tokens() * size.experts();
        Work work = new Work(4 * elements, 8 * elements + 8.0 * size.tokens() * size.topK() + 32.0 * size.experts());
        return new OpCase(Family.ROUTING, "router_fwd", size.text(), DType.F32, use, work, bench -> {
            float[] logits = logits(bench, size);
            Tensor tensorLogits = bench.floats(logits, size.tokens(), size.experts());
            Tensor probabilities = bench.unwritten(size.tokens(), size.experts());
            Tensor ids = bench.ints(new int[size.tokens() * size.topK()], size.tokens(), size.topK());
            Tensor weights = bench.unwritten(size.tokens(), size.topK());
            Tensor counts = Tensor.allocate(bench.device(), DType.I64, size.experts());
            Tensor sums = Tensor.allocate(bench.device(), DType.F64, size.experts());
            Tensor logSums = bench.unwritten(size.tokens());
            Tensor squareSum = Tensor.allocate(bench.device(), DType.F64, 1);
            Routing routing = bench.ops().routing();
            return OpRun.of(
                    () -> routing.routerForward(
                            tensorLogits,
                            probabilities,
                            ids,
                            weights,
                            counts,
                            sums,
                            logSums,
                            squareSum,
                            size.renormalise()),
                    () -> {
                        Choice choice = new Choice(size, logits);
                        double[] expectedCounts = new double[size.experts()];
                        double[] expectedSums = new double[size.experts()];
                        for (int id : choice.ids) {
                            expectedCounts[id]++;
                        }
                        for (int i = 0; i < choice.probabilities.length; i++) {
                            expectedSums[i % size.experts()] += choice.probabilities[i];
                        }
                        double squares =
                                Arrays.stream(choice.logSums).map(z -> z * z).sum();
                        return List.of(
                                Output.close("logarithms", logSums, choice.logSums),
                                Output.close("sum of squares", squareSum, new double[] {squares}, 1e-6),
                                Output.close("probabilities", probabilities, choice.probabilities),
                                Output.equal("ids", ids, choice.ids),
                                Output.close("weights", weights, choice.weights),
                                Output.close("counts", counts, expectedCounts, 0),
                                Output.close("probability sums", sums, expectedSums, 1e-6));
                    });
        });
    }

    /** Against differences of the double softmax: the choice stays, the weights move. */
    private static OpCase backward(Use use, Size size, boolean auxiliary) {
        double elements = (double) size.tokens() * size.experts();
        Work work = new Work(4 * elements, 8 * elements + 12.0 * size.tokens() * size.topK());
        String shape = size.text() + (auxiliary ? " auxiliary" : "");
        return new OpCase(Family.ROUTING, "router_bwd", shape, DType.F32, use, work, bench -> {
            float[] logits = separated(bench, size);
            Choice choice = new Choice(size, logits);
            float[] dWeights = bench.normal((long) size.tokens() * size.topK());
            float[] dProbabilities = auxiliary ? bench.normal(size.experts()) : null;
            Tensor tensorLogits = bench.floats(logits, size.tokens(), size.experts());
            Tensor probabilities = bench.floats(floats(choice.probabilities), size.tokens(), size.experts());
            Tensor ids = bench.ints(choice.ids, size.tokens(), size.topK());
            Tensor weights = bench.floats(floats(choice.weights), size.tokens(), size.topK());
            Tensor tensorDWeights = bench.floats(dWeights, size.tokens(), size.topK());
            Tensor tensorDProbabilities = auxiliary ? bench.floats(dProbabilities, size.experts()) : null;
            Tensor tensorLogSums = auxiliary ? bench.floats(floats(choice.logSums), size.tokens()) : null;
            Tensor dLogits = bench.unwritten(size.tokens(), size.experts());
            Routing routing = bench.ops().routing();
            OpRun run = OpRun.of(
                    () -> routing.routerBackward(
                            probabilities,
                            ids,
                            weights,
                            tensorDWeights,
                            tensorDProbabilities,
                            tensorLogSums,
                            2 * Z_COEFFICIENT,
                            dLogits,
                            size.renormalise()),
                    () -> List.of(Output.close(
                            "dLogits", dLogits, differences(size, logits, choice, dWeights, dProbabilities))));
            // With one expert the weight is 1 whatever the logit.
            return auxiliary || size.experts() == 1
                    ? run
                    : run.derivativeOf(
                            () -> routing.routerForward(
                                    tensorLogits,
                                    probabilities,
                                    ids,
                                    weights,
                                    null,
                                    null,
                                    null,
                                    null,
                                    size.renormalise()),
                            weights,
                            tensorDWeights,
                            List.of(OpRun.activation("logits", tensorLogits, dLogits)));
        });
    }

    private static double[] differences(
            Size size, float[] logits, Choice choice, float[] dWeights, float[] dProbabilities) {
        double[] gradient = new double[logits.length];
        double step = 1e-5;
        for (int i = 0; i < gradient.length; i++) {
            double above = objective(size, logits, choice, i, step, dWeights, dProbabilities);
            double below = objective(size, logits, choice, i, -step, dWeights, dProbabilities);
            gradient[i] = (above - below) / (2 * step);
        }
        return gradient;
    }

    /** What the token of logit {@code moved} adds to the loss when that logit moves by step. */
    private static double objective(
            Size size,
            float[] logits,
            Choice choice,
            int moved,
            double step,
            float[] dWeights,
            float[] dProbabilities) {
        int experts = size.experts();
        int t = moved / experts;
        double[] exponentials = new double[experts];
        double sum = 0;
        for (int i = 0; i < experts; i++) {
            exponentials[i] = Math.exp(logits[t * experts + i] + (t * experts + i == moved ? step : 0));
            sum += exponentials[i];
        }
        double chosen = 0;
        for (int j = 0; j < size.topK(); j++) {
            chosen += exponentials[choice.ids[t * size.topK() + j]];
        }
        double objective = 0;
        for (int j = 0; j < size.topK(); j++) {
            int pair = t * size.topK() + j;
            objective += dWeights[pair] * exponentials[choice.ids[pair]] / (size.renormalise() ? chosen : sum);
        }
        for (int i = 0; dProbabilities != null && i < experts; i++) {
            objective += dProbabilities[i] * exponentials[i] / sum;
        }
        double logSum = Math.log(sum);
        return dProbabilities == null ? objective : objective + Z_COEFFICIENT * logSum * logSum;
    }

    /** transformers: experts * sum over (choice, expert) of mean(one-hot) * mean(probability). */
    private static OpCase loadBalancing(Use use, Size size) {
        Work work = new Work(3.0 * size.experts(), 20.0 * size.experts() + 8);
        return new OpCase(Family.ROUTING, "load_balancing_loss", size.text(), DType.F32, use, work, bench -> {
            float[] logits = logits(bench, size);
            Tensor tensorLogits = bench.floats(logits, size.tokens(), size.experts());
            Tensor counts = Tensor.allocate(bench.device(), DType.I64, size.experts());
            Tensor sums = Tensor.allocate(bench.device(), DType.F64, size.experts());
            Tensor loss = Tensor.allocate(bench.device(), DType.F64, 1);
            Tensor dProbabilities = bench.unwritten(size.experts());
            Tensor ids = bench.ints(new int[size.tokens() * size.topK()], size.tokens(), size.topK());
            Tensor weights = bench.unwritten(size.tokens(), size.topK());
            Routing routing = bench.ops().routing();
            routing.routerForward(
                    tensorLogits, tensorLogits, ids, weights, counts, sums, null, null, size.renormalise());
            return OpRun.of(
                    () -> routing.loadBalancingLoss(counts, sums, size.tokens(), COEFFICIENT, loss, dProbabilities),
                    () -> {
                        Choice choice = new Choice(size, logits);
                        double expected = 0;
                        double[] gradient = new double[size.experts()];
                        for (int e = 0; e < size.experts(); e++) {
                            int expert = e;
                            double count = Arrays.stream(choice.ids)
                                    .filter(id -> id == expert)
                                    .count();
                            double sum = 0;
                            for (int t = 0; t < size.tokens(); t++) {
                                sum += choice.probabilities[t * size.experts() + e];
                            }
                            expected += size.experts() * count / size.tokens() * sum / size.tokens();
                            gradient[e] = COEFFICIENT * size.experts() * count / size.tokens() / size.tokens();
                        }
                        return List.of(
                                Output.close("loss", loss, new double[] {expected}, 1e-6),
                                Output.close("dProbabilities", dProbabilities, gradient, 1e-7));
                    });
        });
    }

    private static float[] floats(double[] values) {
        float[] floats = new float[values.length];
        for (int i = 0; i < values.length; i++) {
            floats[i] = (float) values[i];
        }
        return floats;
    }
}
