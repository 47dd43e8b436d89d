package dev.loranative.tensor;

import dev.loranative.device.DenseProducts;
import dev.loranative.ffi.Frame;
import dev.loranative.ffi.Structs;
import java.util.Optional;

/** Matrix products: {@code ln_matmul}, {@code ln_linear_*}, {@code ln_grouped_linear_*}. */
public final class Products {

    private final Launcher launcher;

    Products(Launcher launcher) {
        this.launcher = launcher;
    }

    /**
     * A LoRA adapter of a linear layer.
     *
     * @param a [rank, in]
     * @param b [out, rank]
     * @param gradA like a, null when frozen
     * @param gradB like b, null when frozen
     * @param scale alpha / rank, or alpha / sqrt(rank)
     */
    public record Lora(Tensor a, Tensor b, Tensor gradA, Tensor gradB, float scale) {

        public long rank() {
            return a.dimension(0);
        }
    }

    /**
     * The adapters of a layer's experts, as device tables with one entry per expert.
     *
     * @param a addresses of [rank, in], 0 for none
     * @param b addresses of [out, rank]
     * @param gradA addresses of the gradients, null when frozen
     * @param gradB addresses of the gradients, null when frozen
     * @param ranks I32, 0 for none
     * @param scales F32
     * @param maxRank the largest rank
     */
    public record GroupedLora(
            Tensor a, Tensor b, Tensor gradA, Tensor gradB, Tensor ranks, Tensor scales, long maxRank) {}

    /**
     * {@code c = alpha * op(a) . op(b) + beta * c}.
     *
     * @param a [m, k], or [k, m] with transposeA
     * @param b [k, n], or [n, k] with transposeB
     * @param c [m, n]
     */
    public void matmul(Tensor a, boolean transposeA, Tensor b, boolean transposeB, Tensor c, float alpha, float beta) {
        long m = c.dimension(0);
        long n = c.dimension(1);
        long k = a.dimension(transposeA ? 0 : 1);
        Shapes.expectWeight("a", a, transposeA ? k : m, transposeA ? m : k);
        Shapes.expectWeight("b", b, transposeB ? n : k, transposeB ? k : n);
        Shapes.expectFloats("c", c, m, n);
        Optional<DenseProducts> elsewhere = launcher.device().denseProducts();
        boolean something = m > 0 && n > 0 && k > 0;
        if (something && elsewhere.isPresent() && a.dtype() == DType.F32 && b.dtype() == DType.F32) {
            if (!launcher.isPlanning()) {
                elsewhere
                        .get()
                        .multiply(
                                new DenseProducts.Operand(a.address(), a.dimension(1), transposeA),
                                new DenseProducts.Operand(b.address(), b.dimension(1), transposeB),
                                c.address(),
                                m,
                                n,
                                k,
                                alpha,
                                beta);
            }
            return;
        }
        Frame frame = launcher.frame(Structs.MATMUL)
                .pointer("a", a.address())
                .pointer("b", b.address())
                .pointer("c", c.address())
                .int64("m", m)
                .int64("n", n)
                .int64("k", k)
                .int64("lda", a.dimension(1))
                .int64("ldb", b.dimension(1))
                .int64("ldc", n)
                .int32("a_dtype", a.dtype().code())
                .int32("b_dtype", b.dtype().code())
                .flag("transpose_a", transposeA)
                .flag("transpose_b", transposeB)
                .float32("alpha", alpha)
                .float32("beta", beta);
        launcher.call(launcher.kernels().matmul(), ScratchOp.MATMUL, frame);
    }

    /**
     * {@code y = x . weight^T + bias (+ scale * u . b^T, u = loraX . a^T)}.
     *
     * @param x [rows, in]
     * @param loraX what the adapter sees, null for x
     * @param weight [out, in]
     * @param bias [out] or null
     * @param lora null for none
     * @param u [rows, rank], kept for the backward pass; null without adapter
     * @param y [rows, out]
     */
    public void linearForward(Tensor x, Tensor loraX, Tensor weight, Tensor bias, Lora lora, Tensor u, Tensor y) {
        Frame frame = launcher.frame(Structs.LINEAR_FORWARD);
        fillForward(frame, x, loraX, weight, bias, lora, u, y);
        launcher.call(launcher.kernels().linearForward(), ScratchOp.LINEAR_FORWARD, frame);
    }

    static void fillForward(
            Frame frame, Tensor x, Tensor loraX, Tensor weight, Tensor bias, Lora lora, Tensor u, Tensor y) {
        long rows = x.dimension(0);
        long in = x.dimension(1);
        long out = weight.dimension(0);
        Shapes.expectFloats("x", x, rows, in);
        Shapes.expectWeight("weight", weight, out, in);
        Shapes.expectFloats("y", y, rows, out);
        frame.pointer("x", x.address())
                .pointer("weight", weight.address())
                .pointer("bias", Launcher.address(bias))
                .pointer("y", y.address())
                .int64("rows", rows)
                .int64("in", in)
                .int64("out", out)
                .int32("weight_dtype", weight.dtype().code());
        if (bias != null) {
            Shapes.expectWeight("bias", bias, out);
            frame.int32("bias_dtype", bias.dtype().code());
        }
        if (lora != null) {
            checkLora(lora, in, out);
            Shapes.expectFloats("u", u, rows, lora.rank());
            Shapes.expectFloatsOrNull("loraX", loraX, rows, in);
            frame.pointer("lora_x", Launcher.address(loraX))
                    .pointer("lora_a", lora.a().address())
                    .pointer("lora_b", lora.b().address())
                    .pointer("u", u.address())
                    .int64("rank", lora.rank())
                    .float32("lora_scale", lora.scale());
        }
    }

    /**
     * Backward of {@link #linearForward} with frozen weight and bias.
     *
     * @param v [rows, rank] working memory; null without adapter
     * @param dx [rows, in], or null when the input needs no gradient
     * @param dLoraX [rows, in] gradient of loraX, or null to add it into dx
     * @param accumulate dx += instead of dx =
     */
    public void linearBackward(
            Tensor dy,
            Tensor x,
            Tensor loraX,
            Tensor weight,
            Lora lora,
            Tensor u,
            Tensor v,
            Tensor dx,
            Tensor dLoraX,
            boolean accumulate) {
        Frame frame = launcher.frame(Structs.LINEAR_BACKWARD);
        fillBackward(frame, dy, x, loraX, weight, lora, u, v, dx, dLoraX, accumulate);
        launcher.call(launcher.kernels().linearBackward(), ScratchOp.LINEAR_BACKWARD, frame);
    }

    static void fillBackward(
            Frame frame,
            Tensor dy,
            Tensor x,
            Tensor loraX,
            Tensor weight,
            Lora lora,
            Tensor u,
            Tensor v,
            Tensor dx,
            Tensor dLoraX,
            boolean accumulate) {
        long rows = dy.dimension(0);
        long out = dy.dimension(1);
        long in = weight.dimension(1);
        Shapes.expectFloats("dy", dy, rows, out);
        Shapes.expectWeight("weight", weight, out, in);
        frame.pointer("dy", dy.address())
                .pointer("x", Launcher.address(x))
                .pointer("weight", weight.address())
                .pointer("dx", Launcher.address(dx))
                .int64("rows", rows)
                .int64("in", in)
                .int64("out", out)
                .int32("weight_dtype", weight.dtype().code())
                .flag("accumulate", accumulate);
        Shapes.expectFloatsOrNull("dx", dx, rows, in);
        if (lora != null) {
            checkLora(lora, in, out);
            Shapes.expectFloatsOrNull("grad a", lora.gradA(), lora.rank(), in);
            Shapes.expectFloatsOrNull("grad b", lora.gradB(), out, lora.rank());
            Shapes.expectFloatsOrNull("loraX", loraX, rows, in);
            Shapes.expectFloatsOrNull("dLoraX", dLoraX, rows, in);
            Shapes.expectFloats("x", x, rows, in);
            Shapes.expectFloats("u", u, rows, lora.rank());
            Shapes.expectFloats("v", v, rows, lora.rank());
            frame.pointer("lora_x", Launcher.address(loraX))
                    .pointer("lora_a", lora.a().address())
                    .pointer("lora_b", lora.b().address())
                    .pointer("u", u.address())
                    .pointer("v", v.address())
                    .pointer("grad_a", Launcher.address(lora.gradA()))
                    .pointer("grad_b", Launcher.address(lora.gradB()))
                    .pointer("dlora_x", Launcher.address(dLoraX))
                    .int64("rank", lora.rank())
                    .float32("lora_scale", lora.scale());
        }
    }

    /**
     * {@link #linearForward} for every expert on its rows.
     *
     * @param x [rows, in], rows sorted by expert
     * @param offsets I32 [experts + 1]
     * @param weights the experts' weights
     * @param lora null for none
     * @param u [rows, maxRank]; null without adapters
     * @param y [rows, out]
     */
    public void groupedLinearForward(
            Tensor x, Tensor loraX, Tensor offsets, ExpertWeights weights, GroupedLora lora, Tensor u, Tensor y) {
        long rows = x.dimension(0);
        Shapes.expectFloats("x", x, rows, weights.in());
        Shapes.expectInts("offsets", offsets, weights.experts() + 1);
        Shapes.expectFloats("y", y, rows, weights.out());
        Frame frame = grouped(launcher.frame(Structs.GROUPED_LINEAR_FORWARD), rows, offsets, weights)
                .pointer("x", x.address())
                .pointer("y", y.address());
        if (lora != null) {
            Shapes.expectFloats("u", u, rows, lora.maxRank());
            Shapes.expectFloatsOrNull("loraX", loraX, rows, weights.in());
            groupedLora(frame, lora).pointer("lora_x", Launcher.address(loraX)).pointer("u", u.address());
        }
        launcher.call(launcher.kernels().groupedLinearForward(), ScratchOp.GROUPED_LINEAR_FORWARD, frame);
    }

    /** Backward of {@link #groupedLinearForward}; arguments as in {@link #linearBackward}. */
    public void groupedLinearBackward(
            Tensor dy,
            Tensor x,
            Tensor loraX,
            Tensor offsets,
            ExpertWeights weights,
            GroupedLora lora,
            Tensor u,
            Tensor v,
            Tensor dx,
            Tensor dLoraX,
            boolean accumulate) {
        long rows = dy.dimension(0);
        Shapes.expectFloats("dy", dy, rows, weights.out());
        Shapes.expectInts("offsets", offsets, weights.experts() + 1);
        Frame frame = grouped(launcher.frame(Structs.GROUPED_LINEAR_BACKWARD), rows, offsets, weights)
                .pointer("dy", dy.address())
                .pointer("x", Launcher.address(x))
                .pointer("dx", Launcher.address(dx))
                .flag("accumulate", accumulate);
        Shapes.expectFloatsOrNull("dx", dx, rows, weights.in());
        if (lora != null) {
            Shapes.expectFloatsOrNull("loraX", loraX, rows, weights.in());
            Shapes.expectFloatsOrNull("dLoraX", dLoraX, rows, weights.in());
            Shapes.expectFloats("x", x, rows, weights.in());
            Shapes.expectFloats("u", u, rows, lora.maxRank());
            Shapes.expectFloats("v", v, rows, lora.maxRank());
            groupedLora(frame, lora)
                    .pointer("lora_x", Launcher.address(loraX))
                    .pointer("u", u.address())
                    .pointer("v", v.address())
                    .pointer("grad_a", Launcher.address(lora.gradA()))
                    .pointer("grad_b", Launcher.address(lora.gradB()))
                    .pointer("dlora_x", Launcher.address(dLoraX));
        }
        launcher.call(launcher.kernels().groupedLinearBackward(), ScratchOp.GROUPED_LINEAR_BACKWARD, frame);
    }

    private static Frame grouped(Frame frame, long rows, Tensor offsets, ExpertWeights weights) {
        return frame.pointer("offsets", offsets.address())
                .pointer("weights", weights.addresses().address())
                .int64("rows", rows)
                .int64("in", weights.in())
                .int64("out", weights.out())
                .int64("experts", weights.experts())
                .int32("weight_dtype", weights.dtype().code());
    }

    private static Frame groupedLora(Frame frame, GroupedLora lora) {
        return frame.pointer("lora_a", lora.a().address())
                .pointer("lora_b", lora.b().address())
                .pointer("ranks", lora.ranks().address())
                .pointer("scales", lora.scales().address())
                .int64("max_rank", lora.maxRank());
    }

    private static void checkLora(Lora lora, long in, long out) {
        Shapes.expectFloats("lora a", lora.a(), lora.rank(), in);
        Shapes.expectFloats("lora b", lora.b(), out, lora.rank());
    }
}
