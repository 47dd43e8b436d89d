package dev.loranative.tensor.cases;

/** Plain softmax attention and its gradients, one query at a time. */
final class PlainAttention {

    final double[] o;
    final double[] lse;
    final double[] dq;
    final double[] dk;
    final double[] dv;

    PlainAttention(AttentionCases.Size c, float[] q, float[] k, float[] v, float[] dO) {
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
            AttentionCases.Size c,
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
