package dev.loranative.tensor;

import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.loranative.device.SimdTier;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class AttentionsTest {

    /** @param keyOffsets differs from queryOffsets where earlier keys come from a cache */
    private record Case(int heads, int keyHeads, int headDim, int window, int[] queryOffsets, int[] keyOffsets) {

        static Case packed(int heads, int keyHeads, int headDim, int window, int... offsets) {
            return new Case(heads, keyHeads, headDim, window, offsets, offsets);
        }

        int queries() {
            return queryOffsets[queryOffsets.length - 1];
        }

        int keys() {
            return keyOffsets[keyOffsets.length - 1];
        }

        double scale() {
            return 1 / Math.sqrt(headDim);
        }

        Attentions.Geometry geometry(Bench bench) {
            Tensor queries = bench.ints(queryOffsets, queryOffsets.length);
            Tensor keys = bench.ints(keyOffsets, keyOffsets.length);
            return new Attentions.Geometry(queries, keys, heads, keyHeads, headDim, window, (float) scale());
        }
    }

    private static final Case[] CASES = {
        Case.packed(1, 1, 1, 0, 0, 1),
        Case.packed(4, 2, 20, 0, 0, 3, 4, 37),
        Case.packed(3, 1, 33, 5, 0, 31, 33),
        Case.packed(2, 2, 16, 1, 0, 7),
        Case.packed(4, 4, 64, 0, 0, 100),
        Case.packed(2, 1, 8, 40, 0, 130),
        new Case(4, 2, 24, 0, new int[] {0, 1}, new int[] {0, 19}),
        new Case(2, 1, 10, 6, new int[] {0, 3, 8}, new int[] {0, 12, 17}),
    };

    /** Plain softmax attention, one query at a time. */
    private static final class Plain {

        final double[] o;
        final double[] lse;
        final double[] dq;
        final double[] dk;
        final double[] dv;

        Plain(Case c, float[] q, float[] k, float[] v, float[] dO) {
            o = new double[q.length];
            lse = new double[c.queries() * c.heads()];
            dq = new double[q.length];
            dk = new double[k.length];
            dv = new double[v.length];
            for (int s = 0; s + 1 < c.queryOffsets().length; s++) {
                int queries = c.queryOffsets()[s + 1] - c.queryOffsets()[s];
                int keys = c.keyOffsets()[s + 1] - c.keyOffsets()[s];
                for (int i = 0; i < queries; i++) {
                    int last = i + keys - queries;
                    int first = c.window() == 0 ? 0 : Math.max(0, last - c.window() + 1);
                    for (int head = 0; head < c.heads(); head++) {
                        int query = (c.queryOffsets()[s] + i) * c.heads() + head;
                        int group = head / (c.heads() / c.keyHeads());
                        attend(c, q, k, v, dO, query, c.keyOffsets()[s], first, last, group);
                    }
                }
            }
        }

        private void attend(
                Case c,
                float[] q,
                float[] k,
                float[] v,
                float[] dO,
                int query,
                int start,
                int first,
                int last,
                int group) {
            int dim = c.headDim();
            double[] p = new double[last + 1];
            double sum = 0;
            for (int j = first; j <= last; j++) {
                int key = ((start + j) * c.keyHeads() + group) * dim;
                double score = 0;
                for (int d = 0; d < dim; d++) {
                    score += (double) q[query * dim + d] * k[key + d];
                }
                p[j] = Math.exp(c.scale() * score);
                sum += p[j];
            }
            lse[query] = Math.log(sum);
            double delta = 0;
            for (int j = first; j <= last; j++) {
                p[j] /= sum;
                for (int d = 0; d < dim; d++) {
                    double value = v[((start + j) * c.keyHeads() + group) * dim + d];
                    o[query * dim + d] += p[j] * value;
                    delta += p[j] * value * dO[query * dim + d];
                }
            }
            for (int j = first; j <= last; j++) {
                int key = ((start + j) * c.keyHeads() + group) * dim;
                double dp = 0;
                for (int d = 0; d < dim; d++) {
                    dp += (double) dO[query * dim + d] * v[key + d];
                }
                double ds = p[j] * (dp - delta) * c.scale();
                for (int d = 0; d < dim; d++) {
                    dq[query * dim + d] += ds * k[key + d];
                    dk[key + d] += ds * q[query * dim + d];
                    dv[key + d] += p[j] * dO[query * dim + d];
                }
            }
        }
    }

    @ParameterizedTest
    @MethodSource("dev.loranative.tensor.Laws#tiers")
    void attention(SimdTier tier) {
        Laws.check(tier, (bench, results) -> {
            for (Case c : CASES) {
                int queryWidth = c.heads() * c.headDim();
                int keyWidth = c.keyHeads() * c.headDim();
                float[] q = bench.normal(c.queries() * queryWidth);
                float[] k = bench.normal(c.keys() * keyWidth);
                float[] v = bench.normal(c.keys() * keyWidth);
                float[] dO = bench.normal(c.queries() * queryWidth);
                Tensor tensorQ = bench.floats(q, c.queries(), queryWidth);
                Tensor tensorK = bench.floats(k, c.keys(), keyWidth);
                Tensor tensorV = bench.floats(v, c.keys(), keyWidth);
                Tensor o = bench.unwritten(c.queries(), queryWidth);
                Tensor lse = bench.unwritten(c.queries(), c.heads());
                Tensor delta = bench.unwritten(c.queries(), c.heads());
                Tensor dq = bench.unwritten(c.queries(), queryWidth);
                Tensor dk = bench.unwritten(c.keys(), keyWidth);
                Tensor dv = bench.unwritten(c.keys(), keyWidth);
                Attentions.Geometry geometry = c.geometry(bench);
                Attentions attentions = bench.ops().attentions();

                attentions.forward(geometry, tensorQ, tensorK, tensorV, o, lse);
                attentions.backward(
                        geometry,
                        tensorQ,
                        tensorK,
                        tensorV,
                        o,
                        lse,
                        bench.floats(dO, c.queries(), queryWidth),
                        delta,
                        dq,
                        dk,
                        dv);

                Plain plain = new Plain(c, q, k, v, dO);
                results.close("o", o, plain.o, 2e-5);
                results.close("lse", lse, plain.lse, 2e-5);
                results.close("dq", dq, plain.dq, 5e-5);
                results.close("dk", dk, plain.dk, 5e-5);
                results.close("dv", dv, plain.dv, 5e-5);
            }
        });
    }

    /** Scores far outside the range of exp: only their differences count. */
    @ParameterizedTest
    @MethodSource("dev.loranative.tensor.Laws#tiers")
    void largeScoresDoNotOverflow(SimdTier tier) {
        Laws.check(tier, (bench, results) -> {
            Case c = Case.packed(1, 1, 2, 0, 0, 3);
            float[] q = {300, 0, 300, 0, 300, 0};
            float[] k = {300, 0, 300, 0, 299.99f, 0};
            float[] v = {1, 2, 3, 4, 5, 6};
            Tensor o = bench.unwritten(3, 2);
            Tensor lse = bench.unwritten(3, 1);

            bench.ops()
                    .attentions()
                    .forward(
                            c.geometry(bench),
                            bench.floats(q, 3, 2),
                            bench.floats(k, 3, 2),
                            bench.floats(v, 3, 2),
                            o,
                            lse);

            double third = Math.exp(-300 * (300.0 - 299.99f) * c.scale());
            results.close(
                    "o",
                    o,
                    new double[] {1, 2, 2, 3, (1 + 3 + 5 * third) / (2 + third), (2 + 4 + 6 * third) / (2 + third)},
                    1e-3);
        });
    }

    @Test
    void refusesShapesByName() {
        try (Bench bench = new Bench(SimdTier.AUTO, 1)) {
            Attentions.Geometry geometry = Case.packed(2, 1, 4, 0, 0, 3).geometry(bench);
            Attentions attentions = bench.ops().attentions();
            Tensor q = bench.unwritten(3, 8);
            Tensor k = bench.unwritten(3, 4);

            assertThatThrownBy(() -> attentions.forward(geometry, q, k, q, q, bench.unwritten(3, 2)))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessage("v is F32[3, 8], must have 12 F32 elements");
            assertThatThrownBy(() -> attentions.forward(geometry, q, k, k, q, bench.unwritten(3, 1)))
                    .hasMessage("lse is F32[3, 1], must have 6 F32 elements");
        }
    }
}
