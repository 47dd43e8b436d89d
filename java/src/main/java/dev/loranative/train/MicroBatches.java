package dev.loranative.train;

import dev.loranative.config.TrainConfig;
import dev.loranative.data.Batch;
import dev.loranative.model.CausalLm;
import dev.loranative.model.LoadedModel;
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
    private long taken;

    /** @param taken micro-batches of earlier parts of the run */
    MicroBatches(Ops ops, LoadedModel model, TrainConfig config, long taken) {
        this.ops = ops;
        this.model = model;
        this.config = config;
        this.taken = taken;
    }

    /** Micro-batches run since the start of the run: names the dropout masks. */
    long taken() {
        return taken;
    }

    /** Empties the slab and puts the batch into it. */
    Pass begin(Slab slab, Batch batch, RouterCoefficients coefficients) {
        slab.release(0);
        PackedTokens tokens = PackedTokens.upload(ops, slab, batch.ids(), batch.positions(), batch.sequenceOffsets());
        DropoutStreams dropout = config.lora().loraDropout() == 0
                ? null
                : new DropoutStreams(config.run().seed(), taken);
        RouterStatistics statistics = !coefficients.areOn()
                ? null
                : new RouterStatistics(
                        ops,
                        slab,
                        model.config().moe().orElseThrow().experts(),
                        (float) coefficients.auxiliary(),
                        (float) coefficients.z());
        return Pass.training(ops, slab, tokens, dropout, statistics);
    }

    /** @param gradientScale 1 / number of targets of the optimizer step */
    CausalLm.Loss run(Pass pass, Batch batch, float gradientScale) {
        taken++;
        Labels labels = Labels.upload(ops, pass.slab(), batch.labels());
        return model.lm()
                .trainMicroBatch(pass, labels, gradientScale, config.model().gradientCheckpointing());
    }
}
