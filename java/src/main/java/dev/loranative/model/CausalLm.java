package dev.loranative.model;

import dev.loranative.device.Device;
import dev.loranative.nn.DecoderLayer;
import dev.loranative.nn.Embedding;
import dev.loranative.nn.Labels;
import dev.loranative.nn.LanguageHead;
import dev.loranative.nn.Pass;
import dev.loranative.nn.RmsNorm;
import dev.loranative.nn.Rope;
import dev.loranative.nn.RouterStatistics;
import dev.loranative.tensor.Ops;
import dev.loranative.tensor.Slab;
import dev.loranative.tensor.Tensor;
import java.util.List;

/**
 * A decoder-only language model: embedding, layers, final norm, head. Forward and backward are explicit; what backward
 * needs stays in the slab of the pass.
 */
public final class CausalLm {

    private final Embedding embedding;
    private final Rope rope;
    private final List<DecoderLayer> layers;
    private final RmsNorm finalNorm;
    private final LanguageHead head;

    CausalLm(Embedding embedding, Rope rope, List<DecoderLayer> layers, RmsNorm finalNorm, LanguageHead head) {
        this.embedding = embedding;
        this.rope = rope;
        this.layers = List.copyOf(layers);
        this.finalNorm = finalNorm;
        this.head = head;
    }

    /** To be called before the first pass: takes what depends on the longest sequence. */
    public void reservePositions(Device device, int longestSequence) {
        rope.reserve(device, longestSequence);
    }

    public Embedding embedding() {
        return embedding;
    }

    public RmsNorm finalNorm() {
        return finalNorm;
    }

    public LanguageHead head() {
        return head;
    }

    /** Layers that the backward pass goes through: from the top down to the lowest that has anything to train below. */
    public int layersOfBackwardPass() {
        return layers.size() - lowestLayer();
    }

    public int layers() {
        return layers.size();
    }

    public long vocabulary() {
        return head.vocabulary();
    }

    /**
     * Forward and backward of one micro-batch: all gradients accumulate.
     *
     * @param lossSum F64 [1], written: sum of the result
     * @param gradientScale 1 / number of targets of the optimizer step
     * @param recompute whether layers keep only their input and run forward again in the backward pass
     * @return [targets] in the slab of the pass: cross-entropy of every labelled position
     */
    public Tensor trainMicroBatch(Pass pass, Labels labels, Tensor lossSum, float gradientScale, boolean recompute) {
        Ops ops = pass.ops();
        Slab slab = pass.slab();
        int lowest = lowestLayer();
        Tensor branch = slab.floats(pass.count(), hidden());
        Tensor dHidden = slab.floats(branch.shape());
        Tensor losses = slab.floats(labels.count());
        ResidualStream stream = new ResidualStream(pass, branch);
        for (int layer = 0; layer < layers.size(); layer++) {
            boolean keepsInput = layer >= lowest;
            stream.run(layers.get(layer), keepsInput, keepsInput && !recompute);
        }
        Tensor normed = stream.finish();
        boolean layersTrain = lowest < layers.size();
        boolean bodyTrains = layersTrain || finalNorm.isTrainable();
        head.loss(pass, normed, labels, losses, gradientScale, bodyTrains ? dHidden : null, true);
        ops.losses().sum(losses, lossSum);
        RouterStatistics statistics = pass.routerStatistics();
        if (statistics != null) {
            statistics.finish(ops);
        }
        if (bodyTrains) {
            finalNorm.backward(pass, dHidden, null, dHidden);
        }
        for (int layer = layers.size() - 1; layer >= lowest; layer--) {
            stream.backward(layer, dHidden, layer > lowest || embedding.isTrainable(), recompute);
        }
        if (embedding.isTrainable()) {
            embedding.backward(pass, dHidden);
        }
        return losses;
    }

    /** Forward only: [targets] in the slab of the pass, the loss of every labelled position. */
    public Tensor evaluate(Pass pass, Labels labels) {
        Tensor losses = pass.slab().floats(labels.count());
        head.loss(pass, forward(pass), labels, losses, 0, null, false);
        return losses;
    }

    /** Forward only: logits [1, vocabulary] after the last token of the pass. */
    public Tensor nextTokenLogits(Pass pass) {
        Tensor normed = forward(pass);
        Tensor logits = pass.slab().floats(1, vocabulary());
        head.logits(pass, normed.rows(pass.count() - 1, 1), logits);
        if (pass.cache() != null) {
            pass.cache().advance(pass.count());
        }
        return logits;
    }

    /** Forward only: logits [tokens, vocabulary] after every token of the pass. */
    public Tensor logits(Pass pass) {
        Tensor normed = forward(pass);
        Tensor logits = pass.slab().floats(pass.count(), vocabulary());
        head.logits(pass, normed, logits);
        return logits;
    }

    /** Everything up to and including the final norm, nothing kept: [tokens, hidden]. */
    private Tensor forward(Pass pass) {
        ResidualStream stream = new ResidualStream(pass, pass.slab().floats(pass.count(), hidden()));
        for (DecoderLayer layer : layers) {
            stream.run(layer, false, false);
        }
        return stream.finish();
    }

    private long hidden() {
        return embedding.width();
    }

    /** The lowest layer that gradients must pass; the number of layers when none. */
    private int lowestLayer() {
        int lowest = 0;
        while (!embedding.isTrainable()
                && lowest < layers.size()
                && !layers.get(lowest).isTrainable()) {
            lowest++;
        }
        return lowest;
    }

    /** The residual stream on its way through the layers: always a pair whose sum it is. */
    private final class ResidualStream {

        private final Pass pass;
        private final Tensor branch;
        private final Tensor[] inputs = new Tensor[layers.size()];
        /** Used by all layers that keep nothing; taken when the first of them runs. */
        private Tensor sharedInput;

        private Tensor sharedMiddle;
        private Tensor current;
        private Tensor residual;
        private int next;

        ResidualStream(Pass pass, Tensor branch) {
            this.pass = pass;
            this.branch = branch;
            this.current = pass.slab().floats(branch.shape());
            rope.begin(pass);
            embedding.forward(pass, current);
        }

        /**
         * @param keepInput whether the layer's input must outlive this call
         * @param save whether the layer keeps what its backward pass needs
         */
        void run(DecoderLayer layer, boolean keepInput, boolean save) {
            Tensor input = input(keepInput);
            inputs[next++] = input;
            if (save) {
                layer.forward(pass, current, residual, input, null, branch);
            } else {
                sharedMiddle = sharedMiddle == null ? pass.slab().floats(branch.shape()) : sharedMiddle;
                pass.withoutSaving(() -> layer.forward(pass, current, residual, input, sharedMiddle, branch));
            }
            current = layer.middle();
            residual = branch;
        }

        /** Where the sum of the pair goes; without a residual it is there already. */
        private Tensor input(boolean keep) {
            if (residual == null) {
                return current;
            }
            if (keep) {
                return pass.slab().floats(branch.shape());
            }
            sharedInput = sharedInput == null ? pass.slab().floats(branch.shape()) : sharedInput;
            return sharedInput;
        }

        /** The final norm: [tokens, hidden]. */
        Tensor finish() {
            Tensor sum = pass.slab().floats(branch.shape());
            Tensor normed = pass.slab().floats(branch.shape());
            finalNorm.forward(pass, current, residual, sum, normed);
            return normed;
        }

        void backward(int layer, Tensor dHidden, boolean needsInputGradient, boolean recompute) {
            Slab slab = pass.slab();
            long start = slab.mark();
            if (recompute) {
                pass.recomputing(() -> layers.get(layer)
                        .forward(pass, inputs[layer], null, inputs[layer], null, slab.floats(branch.shape())));
            }
            layers.get(layer).backward(pass, dHidden, needsInputGradient);
            slab.release(start);
        }
    }
}
