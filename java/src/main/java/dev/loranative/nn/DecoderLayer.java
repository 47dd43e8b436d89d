package dev.loranative.nn;

import dev.loranative.tensor.Slab;
import dev.loranative.tensor.Tensor;

/**
 * One pre-norm decoder layer. The residual stream enters as {@code x + residual} and leaves as the pair
 * ({@link #middle}, the feed-forward output), to be summed by the next norm.
 */
public final class DecoderLayer {

    private final RmsNorm inputNorm;
    private final Attention attention;
    private final RmsNorm middleNorm;
    private final FeedForward feedForward;

    /** Kept by a saving pass, [tokens, hidden] each. */
    private Tensor normedInput;

    private Tensor middle;
    private Tensor normedMiddle;

    public DecoderLayer(RmsNorm inputNorm, Attention attention, RmsNorm middleNorm, FeedForward feedForward) {
        this.inputNorm = inputNorm;
        this.attention = attention;
        this.middleNorm = middleNorm;
        this.feedForward = feedForward;
    }

    public boolean isTrainable() {
        return inputNorm.isTrainable()
                || attention.isTrainable()
                || middleNorm.isTrainable()
                || feedForward.isTrainable();
    }

    /**
     * @param x [tokens, hidden]
     * @param residual like x, or null
     * @param sum x + residual is written here; x itself without residual
     * @param middleOut where the residual stream after attention goes, or null to keep it in the slab
     * @param branch [tokens, hidden]: the feed-forward output; may be residual
     */
    public void forward(Pass pass, Tensor x, Tensor residual, Tensor sum, Tensor middleOut, Tensor branch) {
        Slab slab = pass.slab();
        long start = slab.mark();
        normedInput = slab.floats(x.shape());
        inputNorm.forward(pass, x, residual, sum, normedInput);
        attention.forward(pass, normedInput, branch);
        middle = middleOut == null ? slab.floats(x.shape()) : middleOut;
        normedMiddle = pass.saving() ? slab.floats(x.shape()) : normedInput;
        middleNorm.forward(pass, sum, branch, middle, normedMiddle);
        feedForward.forward(pass, normedMiddle, branch);
        if (!pass.saving()) {
            slab.release(start);
        }
    }

    /** The residual stream between attention and feed-forward, [tokens, hidden]. */
    public Tensor middle() {
        return middle;
    }

    /**
     * @param dHidden [tokens, hidden]: gradient of the layer's output; becomes that of its input
     * @param needsInputGradient false in the lowest layer that has anything to train: dHidden is then left undefined
     */
    public void backward(Pass pass, Tensor dHidden, boolean needsInputGradient) {
        boolean inputNeeded = needsInputGradient || inputNorm.isTrainable();
        boolean attentionNeeded = inputNeeded || attention.isTrainable();
        boolean middleNeeded = attentionNeeded || middleNorm.isTrainable();
        Slab slab = pass.slab();
        long start = slab.mark();
        Tensor dNormed = slab.floats(dHidden.shape());
        feedForward.backward(pass, dHidden, normedMiddle, middleNeeded ? dNormed : null, false);
        if (middleNeeded) {
            middleNorm.backward(pass, dNormed, dHidden, dHidden);
        }
        if (attentionNeeded) {
            attention.backward(pass, dHidden, normedInput, inputNeeded ? dNormed : null);
        }
        if (inputNeeded) {
            inputNorm.backward(pass, dNormed, dHidden, dHidden);
        }
        slab.release(start);
    }
}
