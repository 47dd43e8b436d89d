package dev.loranative.nn;

import dev.loranative.tensor.Activation;
import dev.loranative.tensor.ExpertWeights;
import dev.loranative.tensor.GatedProducts;
import dev.loranative.tensor.Products;
import dev.loranative.tensor.Slab;
import dev.loranative.tensor.Tensor;

/**
 * One projection of all experts of a layer, each applied to the rows that were routed to it. Experts may have adapters
 * of their own, or share one.
 */
public final class GroupedLinear {

    private final ExpertWeights weights;
    private Products.GroupedLora lora;
    private AdapterDropout dropout;

    /** A part of the base beside its weights, or null. */
    private FrozenExpertUpdates baseUpdates;

    /** The adapter that all experts share, or null. */
    private Products.Lora shared;

    /** dropout(x) . a^T of the last forward pass, [rows, maxRank]. */
    private Tensor u;

    public GroupedLinear(ExpertWeights weights) {
        this.weights = weights;
    }

    public void adapt(Products.GroupedLora adapters, AdapterDropout adapterDropout) {
        this.lora = adapters;
        this.dropout = adapterDropout;
        this.shared = null;
    }

    /**
     * One adapter for all experts.
     *
     * @param tables the same adapter for every expert, without gradients
     */
    public void share(Products.Lora adapter, Products.GroupedLora tables, AdapterDropout adapterDropout) {
        adapt(tables, adapterDropout);
        this.shared = adapter;
    }

    /** Makes low-rank updates a part of the base, which the adapters stand beside. */
    public void addToBase(FrozenExpertUpdates updates) {
        this.baseUpdates = updates;
    }

    public long in() {
        return weights.in();
    }

    public long out() {
        return weights.out();
    }

    public long experts() {
        return weights.experts();
    }

    public boolean isTrainable() {
        return lora != null && (lora.gradA() != null || (shared != null && shared.gradA() != null));
    }

    /**
     * @param x [rows, in], sorted by expert
     * @param offsets I32 [experts + 1]
     * @param y [rows, out], written
     */
    void forward(Pass pass, Tensor x, Tensor offsets, Tensor y) {
        Slab slab = pass.slab();
        long start = slab.mark();
        reserve(pass, x.dimension(0));
        project(pass, x, offsets, y);
        if (!pass.saving()) {
            slab.release(start);
        }
    }

    /** Takes the memory that a pass over so many rows keeps; {@link #project} needs no more than for the moment. */
    void reserve(Pass pass, long rows) {
        u = lora == null ? null : pass.slab().floats(rows, lora.maxRank());
    }

    /** {@link #forward} after {@link #reserve}. */
    void project(Pass pass, Tensor x, Tensor offsets, Tensor y) {
        Products products = pass.ops().products();
        if (lora == null) {
            products.groupedLinearForward(x, null, offsets, weights, null, null, y);
            return;
        }
        Slab slab = pass.slab();
        long start = slab.mark();
        products.groupedLinearForward(x, dropout.apply(pass, x), offsets, weights, lora, u, y);
        if (baseUpdates != null) {
            baseUpdates.addForward(pass, x, offsets, y);
        }
        slab.release(start);
    }

    /** Arguments as in {@link Linear#backward}. */
    void backward(Pass pass, Tensor dy, Tensor x, Tensor offsets, Tensor dx, boolean accumulate) {
        if (dx == null && !isTrainable()) {
            return;
        }
        Products products = pass.ops().products();
        if (lora == null) {
            products.groupedLinearBackward(dy, x, null, offsets, weights, null, null, null, dx, null, accumulate);
            return;
        }
        Slab slab = pass.slab();
        long start = slab.mark();
        Tensor v = slab.floats(x.dimension(0), lora.maxRank());
        Tensor loraX = dropout.apply(pass, x);
        Tensor dLoraX = loraX == null || dx == null ? null : slab.floats(x.shape());
        products.groupedLinearBackward(dy, x, loraX, offsets, weights, lora, u, v, dx, dLoraX, accumulate);
        if (dLoraX != null) {
            dropout.backward(pass, dLoraX, dx);
        }
        if (baseUpdates != null && dx != null) {
            baseUpdates.addBackward(pass, dy, offsets, dx);
        }
        addSharedGradients(products, dy, loraX == null ? x : loraX, v);
        slab.release(start);
    }

    private void addSharedGradients(Products products, Tensor dy, Tensor loraX, Tensor v) {
        if (shared != null && shared.gradA() != null) {
            // Rows of all experts in one product each: the order of the sum does not depend on threads.
            products.matmul(dy, true, u, false, shared.gradB(), shared.scale(), 1);
            products.matmul(v, true, loraX, false, shared.gradA(), 1, 1);
        }
    }

    /** Whether this and another projection of the same experts are one op in this pass: both read x and nothing else. */
    boolean joins(Pass pass, GroupedLinear other) {
        return readsInputAlone(pass) && other.readsInputAlone(pass) && weights.hasShapeOf(other.weights);
    }

    /** Whether the backward pass is one op with what is around this down projection. */
    boolean joinsScores(Pass pass) {
        return readsInputAlone(pass);
    }

    private boolean readsInputAlone(Pass pass) {
        return baseUpdates == null && (lora == null || !dropout.drops(pass));
    }

    /** This projection as one side of a joint forward pass, after {@link #reserve}. */
    GatedProducts.Side forwardSide() {
        return new GatedProducts.Side(weights, lora, u, null);
    }

    /** This projection as one side of the joint backward pass. */
    GatedProducts.Side backwardSide(Pass pass, long rows) {
        return new GatedProducts.Side(
                weights, lora, u, lora == null ? null : pass.slab().floats(rows, lora.maxRank()));
    }

    /** What the joint backward pass leaves over: gradients of an adapter that all experts share. */
    void finishBackward(Pass pass, Tensor dy, Tensor x, Tensor v) {
        addSharedGradients(pass.ops().products(), dy, x, v);
    }

    /**
     * The backward pass of this down projection together with the activation before it and the sum of tokens' rows
     * behind it.
     *
     * @param dy [tokens, out], of the sums
     * @param dScores [tokens, topK], written
     * @param gated [rows, in]; its gradient takes its place
     * @param raised [rows, in]; its gradient takes its place
     */
    void backwardWithScores(
            Pass pass, Activation activation, Tensor dy, Routes routes, Tensor dScores, Tensor gated, Tensor raised) {
        Slab slab = pass.slab();
        long start = slab.mark();
        long rows = gated.dimension(0);
        GatedProducts.Side side = backwardSide(pass, rows);
        Tensor inner = isTrainable() ? slab.floats(rows, in()) : null;
        pass.ops()
                .gatedProducts()
                .downBackward(
                        activation,
                        dy,
                        routes.rowsOfPairs(),
                        routes.scores(),
                        dScores,
                        routes.offsets(),
                        side,
                        gated,
                        raised,
                        inner);
        if (shared != null && shared.gradA() != null) {
            // The products of a token's rows with dy are one product with their sum.
            Tensor uOfTokens = slab.floats(dy.dimension(0), lora.maxRank());
            pass.ops().routing().combineForward(u, routes.rowsOfPairs(), routes.scores(), uOfTokens, false);
            Products products = pass.ops().products();
            products.matmul(dy, true, uOfTokens, false, shared.gradB(), shared.scale(), 1);
            products.matmul(side.v(), true, inner, false, shared.gradA(), 1, 1);
        }
        slab.release(start);
    }
}
