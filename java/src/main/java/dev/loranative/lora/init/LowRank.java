package dev.loranative.lora.init;

import dev.loranative.random.CounterRandom;
import java.util.function.UnaryOperator;

/**
 * A pair of matrices whose product b . a is an update.
 *
 * @param a [r, in]
 * @param b [out, r]
 */
public record LowRank(Matrix a, Matrix b) {

    /**
     * PiSSA (Meng et al. 2024, arXiv:2404.02948): the r largest singular values of the weight, {@code scaling · b · a} being
     * that part of it.
     *
     * @param iterations of the randomised decomposition; 0 for the exact one
     */
    public static LowRank pissa(LinearMap weight, int r, double scaling, int iterations, CounterRandom random) {
        return split(
                iterations == 0 ? Svd.truncated(weight, r, random) : Svd.iterated(weight, r, iterations, random),
                scaling);
    }

    /** u . sqrt(s / scaling) and sqrt(s / scaling) . vᵀ. */
    private static LowRank split(Svd svd, double scaling) {
        double[] roots = new double[svd.s().length];
        for (int i = 0; i < roots.length; i++) {
            roots[i] = Math.sqrt(svd.s()[i] / scaling);
        }
        return new LowRank(svd.v().timesColumns(roots).transposed(), svd.u().timesColumns(roots));
    }

    /**
     * OLoRA (Büyükakyüz 2024, arXiv:2406.01775): the first r columns of Q and rows of R of the weight's QR decomposition.
     */
    public static LowRank olora(LinearMap weight, int r) {
        Matrix first = Matrix.zeros(weight.columns(), r);
        for (int i = 0; i < r; i++) {
            first.values()[i * r + i] = 1;
        }
        Matrix q = Qr.of(weight.times(first)).q();
        return new LowRank(weight.transposedTimes(q).transposed(), q);
    }

    /**
     * Rows of A and columns of B that are orthogonal to each other: the update is zero though neither is.
     *
     * @param r even
     */
    public static LowRank orthogonal(int r, int in, int out, CounterRandom q, CounterRandom a, CounterRandom b) {
        Matrix basis = Qr.of(Matrix.normal(r, r, q)).q();
        Matrix down = Matrix.normal(in, r / 2, a).times(basis.everySecondRow(0));
        Matrix up = Matrix.normal(out, r / 2, b).times(basis.everySecondRow(1));
        return new LowRank(down.transposed().times(0.1), up.times(0.1));
    }

    /** What LoftQ makes of a weight: {@code quantised + scaling · update.b · update.a} is near it. */
    public record Loftq(Matrix quantised, LowRank update) {}

    /**
     * LoftQ (Li et al. 2023, arXiv:2310.08659): the largest part of what quantising lost, quantising the rest again before
     * every further iteration. PEFT leaves the scaling out, so that its update is {@code scaling} times too large.
     *
     * @param quantiser gives the values that a quantised matrix stands for
     * @param iterations at least 1; with 1 the quantised matrix is that of the weight itself
     */
    public static Loftq loftq(
            Matrix weight,
            UnaryOperator<Matrix> quantiser,
            int r,
            double scaling,
            int iterations,
            CounterRandom random) {
        Matrix rest = weight;
        Loftq result = null;
        for (int i = 0; i < iterations; i++) {
            Matrix quantised = quantiser.apply(rest);
            LowRank update = split(Svd.truncated(weight.minus(quantised), r, random), scaling);
            result = new Loftq(quantised, update);
            rest = weight.minus(update.b().times(update.a()).times(scaling));
        }
        return result;
    }
}
