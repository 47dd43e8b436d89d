package dev.loranative.tensor.cases;

import dev.loranative.tensor.Bench;
import dev.loranative.tensor.DType;
import dev.loranative.tensor.ExpertWeights;
import dev.loranative.tensor.GatedProducts;
import dev.loranative.tensor.Products;
import dev.loranative.tensor.Tensor;
import java.util.Arrays;
import java.util.List;

/** One projection of all experts, [out, in] each, as tensors and as matrices. */
final class ExpertProjection {

    final String name;
    final int[] ranks;
    final int[] offsets;
    final int experts;
    final int rows;
    final int out;
    final int in;
    final ExpertWeights weights;
    final Matrix[] w;
    final Matrix[] a;
    final Matrix[] b;
    final Tensor[] tensorsA;
    final Tensor[] tensorsB;
    final Tensor[] gradA;
    final Tensor[] gradB;
    final Products.GroupedLora lora;
    final Tensor u;
    final Tensor v;
    final Tensor result;

    /** @param ranks of the experts' adapters, or null for none */
    ExpertProjection(Bench bench, String name, DType dtype, int[] ranks, int[] offsets, int out, int in) {
        this.name = name;
        this.ranks = ranks;
        this.offsets = offsets;
        this.experts = offsets.length - 1;
        this.rows = offsets[experts];
        this.out = out;
        this.in = in;
        w = new Matrix[experts];
        a = new Matrix[experts];
        b = new Matrix[experts];
        tensorsA = new Tensor[experts];
        tensorsB = new Tensor[experts];
        gradA = new Tensor[experts];
        gradB = new Tensor[experts];
        Tensor[] tensors = new Tensor[experts];
        for (int expert = 0; expert < experts; expert++) {
            float[] weight = bench.normal(out * in, 0.3);
            tensors[expert] = bench.weight(dtype, weight, out, in);
            w[expert] = Matrix.of(weight, out, in);
            if (rank(expert) > 0) {
                float[] down = bench.normal(rank(expert) * in, 0.3);
                float[] back = bench.normal(out * rank(expert), 0.3);
                a[expert] = Matrix.of(down, rank(expert), in);
                b[expert] = Matrix.of(back, out, rank(expert));
                tensorsA[expert] = bench.floats(down, rank(expert), in);
                tensorsB[expert] = bench.floats(back, out, rank(expert));
                gradA[expert] = bench.floats(new float[rank(expert) * in], rank(expert), in);
                gradB[expert] = bench.floats(new float[out * rank(expert)], out, rank(expert));
            }
        }
        weights = new ExpertWeights(bench.device(), tensors);
        int maxRank = maxRank(ranks);
        u = ranks == null ? null : bench.unwritten(rows, maxRank);
        v = ranks == null ? null : bench.unwritten(rows, maxRank);
        result = bench.unwritten(rows, out);
        float[] scales = new float[experts];
        for (int expert = 0; expert < experts; expert++) {
            scales[expert] = 0.5f + 0.25f * expert;
        }
        lora = ranks == null
                ? null
                : new Products.GroupedLora(
                        Tensor.addresses(bench.device(), tensorsA),
                        Tensor.addresses(bench.device(), tensorsB),
                        Tensor.addresses(bench.device(), gradA),
                        Tensor.addresses(bench.device(), gradB),
                        bench.ints(ranks, experts),
                        bench.floats(scales, experts),
                        maxRank);
    }

    private int rank(int expert) {
        return ranks == null ? 0 : ranks[expert];
    }

    GatedProducts.Side forward() {
        return new GatedProducts.Side(weights, lora, u, null);
    }

    GatedProducts.Side backward() {
        return new GatedProducts.Side(weights, lora, u, v);
    }

    /** The expert's weight with its adapter. */
    Matrix adapted(int expert) {
        return rank(expert) == 0
                ? w[expert]
                : w[expert].plus(b[expert].times(a[expert]).times(0.5 + 0.25 * expert));
    }

    Matrix product(Matrix x) {
        Matrix product = Matrix.zeros(rows, out);
        for (int expert = 0; expert < experts; expert++) {
            int count = offsets[expert + 1] - offsets[expert];
            product.put(
                    offsets[expert],
                    x.part(offsets[expert], count).times(adapted(expert).transpose()));
        }
        return product;
    }

    /** What goes to x. */
    Matrix back(Matrix gradient) {
        Matrix dx = Matrix.zeros(rows, in);
        for (int expert = 0; expert < experts; expert++) {
            int count = offsets[expert + 1] - offsets[expert];
            dx.put(offsets[expert], gradient.part(offsets[expert], count).times(adapted(expert)));
        }
        return dx;
    }

    void addInputs(List<OpRun.Input> inputs) {
        for (int expert = 0; expert < experts; expert++) {
            if (rank(expert) > 0 && offsets[expert + 1] > offsets[expert]) {
                inputs.add(OpRun.parameter(name + " a of " + expert, tensorsA[expert], gradA[expert]));
                inputs.add(OpRun.parameter(name + " b of " + expert, tensorsB[expert], gradB[expert]));
            }
        }
    }

    static int maxRank(int[] ranks) {
        return ranks == null ? 0 : Arrays.stream(ranks).max().orElseThrow();
    }
}
