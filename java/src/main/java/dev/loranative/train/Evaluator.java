package dev.loranative.train;

import dev.loranative.data.Batch;
import dev.loranative.data.Sample;
import dev.loranative.model.LoadedModel;
import dev.loranative.nn.Labels;
import dev.loranative.nn.PackedTokens;
import dev.loranative.nn.Pass;
import dev.loranative.tensor.Ops;
import dev.loranative.tensor.Slab;
import dev.loranative.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import java.util.function.IntConsumer;

/** The loss of a model on samples, without training. */
public final class Evaluator {

    /**
     * Loss of one sample.
     *
     * @param lossSum over its label tokens
     * @param tokens label tokens
     */
    public record Example(double lossSum, int tokens) {

        /** Mean over the label tokens; NaN when there are none. */
        public double loss() {
            return lossSum / tokens;
        }
    }

    /** Losses of all samples, in their order. */
    public record Result(List<Example> examples) {

        public long tokens() {
            return examples.stream().mapToLong(Example::tokens).sum();
        }

        /** Mean over all label tokens. */
        public double loss() {
            return examples.stream().mapToDouble(Example::lossSum).sum() / tokens();
        }

        public double perplexity() {
            return Math.exp(loss());
        }
    }

    private final Ops ops;
    private final LoadedModel model;
    private final List<Batch> batches;

    /** @param batchSize samples that run together */
    public Evaluator(Ops ops, LoadedModel model, List<Sample> samples, int batchSize) {
        this.ops = ops;
        this.model = model;
        this.batches = new ArrayList<>();
        for (int first = 0; first < samples.size(); first += batchSize) {
            batches.add(Batch.of(samples.subList(first, Math.min(first + batchSize, samples.size()))));
        }
    }

    public int longestSequence() {
        return batches.stream().mapToInt(Batch::longestSequence).max().orElse(0);
    }

    /** Bytes of slab that {@link #run} needs; plans the scratch of {@code ops} as well. */
    public long plan() {
        Slab slab = Slab.planning();
        ops.plan(() -> batches.forEach(batch -> losses(slab, batch)));
        return slab.peakBytes();
    }

    public Result run(Slab slab) {
        return run(slab, _ -> {});
    }

    /** @param done told how many samples have been evaluated, after every batch */
    public Result run(Slab slab, IntConsumer done) {
        List<Example> examples = new ArrayList<>();
        for (Batch batch : batches) {
            float[] losses = losses(slab, batch).toFloats(ops.device());
            int next = 0;
            for (int sequence = 0; sequence < batch.sequences(); sequence++) {
                double sum = 0;
                int tokens = 0;
                for (int i = batch.sequenceOffsets()[sequence]; i < batch.sequenceOffsets()[sequence + 1]; i++) {
                    if (batch.labels()[i] != Labels.IGNORED) {
                        sum += losses[next++];
                        tokens++;
                    }
                }
                examples.add(new Example(sum, tokens));
            }
            done.accept(examples.size());
        }
        return new Result(examples);
    }

    private Tensor losses(Slab slab, Batch batch) {
        slab.release(0);
        PackedTokens tokens = PackedTokens.upload(ops, slab, batch.ids(), batch.positions(), batch.sequenceOffsets());
        return model.lm().evaluate(Pass.evaluation(ops, slab, tokens), Labels.upload(ops, slab, batch.labels()));
    }
}
