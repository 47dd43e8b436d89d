package dev.loranative.nn;

import dev.loranative.tensor.Attentions;
import dev.loranative.tensor.DType;
import dev.loranative.tensor.Slab;
import dev.loranative.tensor.Tensor;
import java.util.List;

/** Causal self-attention with grouped query heads, rotary positions and optional query/key norms. */
public final class Attention {

    /**
     * Sizes and options of a layer.
     *
     * @param window how many keys a query sees at most; 0 for all before it
     * @param clip queries, keys and values are limited to [-clip, clip]; 0 for no limit
     */
    public record Geometry(int heads, int keyHeads, int headDim, int window, float clip) {}

    private final Geometry geometry;
    private final int layer;
    private final Rope rope;
    /** Query, key and value. */
    private final JointLinear projections;

    private final LinearSlot output;
    private final RmsNorm queryNorm;
    private final RmsNorm keyNorm;

    /** Kept by a saving pass; see {@link #forward}. */
    private Tensor q;

    private Tensor k;
    private Tensor v;
    private Tensor clippedQ;
    private Tensor clippedK;
    private Tensor o;
    private Tensor lse;

    /**
     * @param queryNorm null for none; its width decides whether it norms heads or the whole projection
     * @param keyNorm like queryNorm
     */
    public Attention(
            Geometry geometry,
            int layer,
            Rope rope,
            LinearSlot query,
            LinearSlot key,
            LinearSlot value,
            LinearSlot output,
            RmsNorm queryNorm,
            RmsNorm keyNorm) {
        this.geometry = geometry;
        this.layer = layer;
        this.rope = rope;
        this.projections = new JointLinear(query, key, value);
        this.output = output;
        this.queryNorm = queryNorm;
        this.keyNorm = keyNorm;
    }

    boolean isTrainable() {
        return projections.isTrainable() || output.get().isTrainable() || normsTrain();
    }

    private boolean normsTrain() {
        return queryNorm != null && (queryNorm.isTrainable() || keyNorm.isTrainable());
    }

    /**
     * @param x [tokens, hidden]
     * @param y [tokens, hidden], written
     */
    void forward(Pass pass, Tensor x, Tensor y) {
        Slab slab = pass.slab();
        long start = slab.mark();
        long tokens = pass.count();
        int queryWidth = geometry.heads() * geometry.headDim();
        int keyWidth = geometry.keyHeads() * geometry.headDim();
        KeyValueCache cache = pass.cache();

        Tensor projectedQ = slab.floats(tokens, queryWidth);
        Tensor projectedK = slab.floats(tokens, keyWidth);
        v = cache == null ? slab.floats(tokens, keyWidth) : cache.newValues(layer, tokens);
        projections.forward(pass, x, List.of(projectedQ, projectedK, v));
        q = norm(pass, queryNorm, projectedQ);
        k = norm(pass, keyNorm, projectedK);
        if (geometry.clip() > 0) {
            clippedQ = clip(pass, q);
            clippedK = clip(pass, k);
            pass.ops().elementwise().clampForward(v, geometry.clip());
        }
        rope.forward(pass, q, geometry.heads());
        rope.forward(pass, k, geometry.keyHeads());

        o = slab.floats(tokens, queryWidth);
        lse = slab.floats(tokens, geometry.heads());
        if (cache == null) {
            pass.ops().attentions().forward(packed(pass), q, k, v, o, lse);
        } else {
            attendCached(pass, cache);
        }
        output.get().forward(pass, o, y);
        if (!pass.saving()) {
            slab.release(start);
        }
    }

    private static Tensor norm(Pass pass, RmsNorm norm, Tensor projected) {
        if (norm == null) {
            return projected;
        }
        // The backward pass of the norm reads its input; without one the norm works in place.
        Tensor normed = pass.saving() ? pass.slab().floats(projected.shape()) : projected;
        norm.forward(pass, projected, null, projected, normed);
        return normed;
    }

    /** Limits x in place and keeps the limited values from before the rotation. */
    private Tensor clip(Pass pass, Tensor x) {
        pass.ops().elementwise().clampForward(x, geometry.clip());
        if (!pass.saving()) {
            return null;
        }
        Tensor kept = pass.slab().floats(x.shape());
        pass.ops().elementwise().copy(x, kept);
        return kept;
    }

    /** One sequence whose earlier keys and values lie in the cache. */
    private void attendCached(Pass pass, KeyValueCache cache) {
        long tokens = pass.count();
        pass.ops().elementwise().copy(k, cache.newKeys(layer, tokens));
        Tensor keyOffsets = pass.slab().allocate(DType.I32, 2);
        pass.ops().upload(new int[] {0, Math.toIntExact(cache.length() + tokens)}, keyOffsets);
        pass.ops()
                .attentions()
                .forward(
                        attention(pass, keyOffsets),
                        q,
                        cache.allKeys(layer, tokens),
                        cache.allValues(layer, tokens),
                        o,
                        lse);
    }

    /**
     * @param dy [tokens, hidden]
     * @param x what forward was given
     * @param dx [tokens, hidden], written; null when nobody needs it
     */
    void backward(Pass pass, Tensor dy, Tensor x, Tensor dx) {
        Slab slab = pass.slab();
        long start = slab.mark();
        Tensor dO = slab.floats(o.shape());
        output.get().backward(pass, dy, o, dO, false);
        if (dx == null && !projections.isTrainable() && !normsTrain()) {
            slab.release(start);
            return;
        }

        Tensor delta = slab.floats(lse.shape());
        Tensor dq = slab.floats(q.shape());
        Tensor dk = slab.floats(k.shape());
        Tensor dv = slab.floats(v.shape());
        pass.ops().attentions().backward(packed(pass), q, k, v, o, lse, dO, delta, dq, dk, dv);
        rope.backward(pass, dq, geometry.heads());
        rope.backward(pass, dk, geometry.keyHeads());
        if (geometry.clip() > 0) {
            pass.ops().elementwise().clampBackward(clippedQ, dq, geometry.clip());
            pass.ops().elementwise().clampBackward(clippedK, dk, geometry.clip());
            pass.ops().elementwise().clampBackward(v, dv, geometry.clip());
        }
        if (queryNorm != null) {
            queryNorm.backward(pass, dq, null, dq);
            keyNorm.backward(pass, dk, null, dk);
        }
        projections.backward(pass, List.of(dq, dk, dv), x, dx, false);
        slab.release(start);
    }

    private Attentions.Geometry packed(Pass pass) {
        return attention(pass, pass.tokens().sequenceOffsets());
    }

    private Attentions.Geometry attention(Pass pass, Tensor keyOffsets) {
        return new Attentions.Geometry(
                pass.tokens().sequenceOffsets(),
                keyOffsets,
                geometry.heads(),
                geometry.keyHeads(),
                geometry.headDim(),
                geometry.window(),
                (float) (1 / Math.sqrt(geometry.headDim())));
    }
}
