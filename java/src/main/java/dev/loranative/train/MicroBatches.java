package dev.loranative.train;

import dev.loranative.config.TrainConfig;
import dev.loranative.data.Batch;
import dev.loranative.data.Window;
import dev.loranative.model.LoadedModel;
import dev.loranative.model.MoeConfig;
import dev.loranative.nn.DropoutStreams;
import dev.loranative.nn.Labels;
import dev.loranative.nn.PackedTokens;
import dev.loranative.nn.Pass;
import dev.loranative.nn.RouterStatistics;
import dev.loranative.tensor.Ops;
import dev.loranative.tensor.Slab;

/** Runs micro-batches forward and backward; the plan and the run go through the same code. */
final class MicroBatches {

    private final Ops ops;
    private final LoadedModel model;
    private final TrainConfig config;
    private final boolean recompute;
    private long taken;

    /**
     * @param recompute whether layers keep only their input and run forward again in the backward pass
     * @param taken micro-batches of earlier parts of the run
     */
    MicroBatches(Ops ops, LoadedModel model, TrainConfig config, boolean recompute, long taken) {
        this.ops = ops;
        this.model = model;
        this.config = config;
        this.recompute = recompute;
        this.taken = taken;
    }

    /** Micro-batches run since the start of the run: names the dropout masks. */
    long taken() {
        return taken;
    }

    /** Forward and backward of all micro-batches of a step; gradients accumulate, and nobody waits for the device. */
    StepSums run(Slab slab, Window window) {
        StepSums sums = begin(slab, window.microBatches().size());
        // The mean is over the label tokens of the whole window, not over micro-batches of unequal size.
        float gradientScale = 1f / Math.max(1, window.targets());
        for (Batch batch : window.microBatches()) {
            run(sums, slab, batch, gradientScale);
        }
        return sums;
    }

    /**
     * Runs the largest micro-batch in the place of all, for what the slab needs.
     *
     * @param most micro-batches of a step
     */
    void plan(Slab slab, int most, Batch largest) {
        run(begin(slab, most), slab, largest, 1);
    }

    private StepSums begin(Slab slab, int count) {
        long experts = model.config().moe().map(MoeConfig::experts).orElse(0);
        return new StepSums(
                ops, slab, count, experts, RouterCoefficients.of(config.model()).shared(count));
    }

    private void run(StepSums sums, Slab slab, Batch batch, float gradientScale) {
        RouterStatistics statistics = sums.begin();
        PackedTokens tokens = PackedTokens.upload(ops, slab, batch.ids(), batch.positions(), batch.sequenceOffsets());
        DropoutStreams dropout = config.lora().loraDropout() == 0
                ? null
                : new DropoutStreams(config.run().seed(), taken);
        taken++;
        Pass pass = Pass.training(ops, slab, tokens, dropout, statistics);
        Labels labels = Labels.upload(ops, slab, batch.labels());
        model.lm().trainMicroBatch(pass, labels, sums.lossSum(), gradientScale, recompute);
    }
}
