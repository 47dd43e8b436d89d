package dev.loranative.nn;

import dev.loranative.tensor.Ops;
import dev.loranative.tensor.Slab;

/**
 * What one run of a batch through the model shares between modules.
 *
 * <p>Modules keep references to what their backward pass needs; those tensors lie in the slab above the point where the
 * pass began and are valid until it ends. A pass that is not {@link #saving} keeps nothing.
 */
public final class Pass {

    private final Ops ops;
    private final Slab slab;
    private final PackedTokens tokens;
    private final boolean dropout;
    private final DropoutStreams dropoutStreams;
    private final RouterStatistics routerStatistics;
    private final KeyValueCache cache;
    private boolean saving;
    private boolean counting = true;
    private int chunk;

    private Pass(
            Ops ops,
            Slab slab,
            PackedTokens tokens,
            boolean saving,
            DropoutStreams dropoutStreams,
            RouterStatistics routerStatistics,
            KeyValueCache cache) {
        this.ops = ops;
        this.slab = slab;
        this.tokens = tokens;
        this.saving = saving;
        this.dropout = dropoutStreams != null;
        this.dropoutStreams = dropoutStreams;
        this.routerStatistics = routerStatistics;
        this.cache = cache;
    }

    /**
     * Forward and backward.
     *
     * @param dropoutStreams null for no dropout
     * @param routerStatistics null for no auxiliary loss
     */
    public static Pass training(
            Ops ops, Slab slab, PackedTokens tokens, DropoutStreams dropoutStreams, RouterStatistics routerStatistics) {
        return new Pass(ops, slab, tokens, true, dropoutStreams, routerStatistics, null);
    }

    /** Forward only. */
    public static Pass evaluation(Ops ops, Slab slab, PackedTokens tokens) {
        return new Pass(ops, slab, tokens, false, null, null, null);
    }

    /** Forward only, for tokens that follow those in the cache. */
    public static Pass generation(Ops ops, Slab slab, PackedTokens tokens, KeyValueCache cache) {
        return new Pass(ops, slab, tokens, false, null, null, cache);
    }

    public Ops ops() {
        return ops;
    }

    public Slab slab() {
        return slab;
    }

    public PackedTokens tokens() {
        return tokens;
    }

    /** Number of tokens in the batch. */
    public long count() {
        return tokens.count();
    }

    /** Whether modules keep what backward needs. */
    public boolean saving() {
        return saving;
    }

    public boolean usesDropout() {
        return dropout;
    }

    DropoutStreams dropoutStreams() {
        return dropoutStreams;
    }

    /** Which part of the batch a module sees that sees it in parts; 0 for all others. */
    int chunk() {
        return chunk;
    }

    void setChunk(int number) {
        chunk = number;
    }

    /** Null when no auxiliary loss is wanted or while recomputing. */
    RouterStatistics countedStatistics() {
        return counting ? routerStatistics : null;
    }

    /** Null when no auxiliary loss is wanted. */
    public RouterStatistics routerStatistics() {
        return routerStatistics;
    }

    public KeyValueCache cache() {
        return cache;
    }

    /** Runs a part of the forward pass without keeping anything. */
    public void withoutSaving(Runnable part) {
        boolean before = saving;
        saving = false;
        try {
            part.run();
        } finally {
            saving = before;
        }
    }

    /** Runs a part of the forward pass a second time: the routers have been counted already. */
    public void recomputing(Runnable part) {
        counting = false;
        try {
            part.run();
        } finally {
            counting = true;
        }
    }
}
