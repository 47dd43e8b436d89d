package dev.loranative.tensor;

import dev.loranative.ffi.Frame;
import dev.loranative.ffi.Structs;

/** Causal attention with grouped query heads over packed sequences: {@code ln_attention_*}. */
public final class Attentions {

    private final Launcher launcher;

    Attentions(Launcher launcher) {
        this.launcher = launcher;
    }

    /**
     * What both passes need to know.
     *
     * @param queryOffsets I32 [sequences + 1]
     * @param keyOffsets I32 [sequences + 1]; the same tensor when queries and keys are the same tokens
     * @param window 0 for unlimited
     */
    public record Geometry(
            Tensor queryOffsets,
            Tensor keyOffsets,
            long heads,
            long keyHeads,
            long headDim,
            long window,
            float scale) {}

    /**
     * @param q [queryTokens, heads * headDim]
     * @param k [keyTokens, keyHeads * headDim]
     * @param v like k
     * @param o like q
     * @param lse [queryTokens, heads]
     */
    public void forward(Geometry geometry, Tensor q, Tensor k, Tensor v, Tensor o, Tensor lse) {
        Frame frame = frame(geometry, q, k, v, o, lse);
        launcher.call(launcher.kernels().attentionForward(), ScratchOp.ATTENTION_FORWARD, frame);
    }

    /**
     * @param delta [queryTokens, heads] working memory
     * @param dq like q; dk and dv like k; all written
     */
    public void backward(
            Geometry geometry,
            Tensor q,
            Tensor k,
            Tensor v,
            Tensor o,
            Tensor lse,
            Tensor dOut,
            Tensor delta,
            Tensor dq,
            Tensor dk,
            Tensor dv) {
        Shapes.expectElements("dOut", dOut, q.size());
        Shapes.expectElements("dq", dq, q.size());
        Shapes.expectElements("dk", dk, k.size());
        Shapes.expectElements("dv", dv, k.size());
        Shapes.expectElements("delta", delta, lse.size());
        Frame frame = frame(geometry, q, k, v, o, lse)
                .pointer("dout", dOut.address())
                .pointer("delta", delta.address())
                .pointer("dq", dq.address())
                .pointer("dk", dk.address())
                .pointer("dv", dv.address());
        launcher.call(launcher.kernels().attentionBackward(), ScratchOp.ATTENTION_BACKWARD, frame);
    }

    private Frame frame(Geometry geometry, Tensor q, Tensor k, Tensor v, Tensor o, Tensor lse) {
        long queryTokens = q.size() / (geometry.heads() * geometry.headDim());
        long keyTokens = k.size() / (geometry.keyHeads() * geometry.headDim());
        Shapes.expectElements("q", q, queryTokens * geometry.heads() * geometry.headDim());
        Shapes.expectElements("k", k, keyTokens * geometry.keyHeads() * geometry.headDim());
        Shapes.expectElements("v", v, k.size());
        Shapes.expectElements("o", o, q.size());
        Shapes.expectElements("lse", lse, queryTokens * geometry.heads());
        long sequences = geometry.queryOffsets().size() - 1;
        Shapes.expectInts("queryOffsets", geometry.queryOffsets(), sequences + 1);
        Shapes.expectInts("keyOffsets", geometry.keyOffsets(), sequences + 1);
        return launcher.frame(Structs.ATTENTION)
                .pointer("q", q.address())
                .pointer("k", k.address())
                .pointer("v", v.address())
                .pointer("o", o.address())
                .pointer("lse", lse.address())
                .pointer("query_offsets", geometry.queryOffsets().address())
                .pointer("key_offsets", geometry.keyOffsets().address())
                .int64("sequences", sequences)
                .int64("query_tokens", queryTokens)
                .int64("key_tokens", keyTokens)
                .int64("heads", geometry.heads())
                .int64("key_heads", geometry.keyHeads())
                .int64("head_dim", geometry.headDim())
                .int64("window", geometry.window())
                .float32("scale", geometry.scale());
    }
}
