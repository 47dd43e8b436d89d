package dev.loranative.train;

import dev.loranative.data.Batch;
import dev.loranative.data.Sample;
import dev.loranative.lora.EvaSearch;
import dev.loranative.model.LoadedModel;
import dev.loranative.nn.PackedTokens;
import dev.loranative.nn.Pass;
import dev.loranative.tensor.Ops;
import dev.loranative.tensor.Slab;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** The training data in their order, for a look at what flows through the model before training. */
final class EvaBatches implements EvaSearch.Batches, AutoCloseable {

    private final Ops ops;
    private final LoadedModel model;
    private final List<Batch> batches = new ArrayList<>();
    private final List<boolean[]> counted = new ArrayList<>();
    private final Slab.Lent slab;

    /** @param labelled whether only positions with a label count */
    EvaBatches(Ops ops, LoadedModel model, List<Sample> samples, int batchSize, boolean labelled) {
        this.ops = ops;
        this.model = model;
        for (int first = 0; first < samples.size(); first += batchSize) {
            List<Sample> together = samples.subList(first, Math.min(first + batchSize, samples.size()));
            Batch batch = Batch.of(together);
            batches.add(batch);
            counted.add(counted(together, batch.tokens(), labelled));
        }
        model.lm()
                .reservePositions(
                        ops.device(),
                        batches.stream().mapToInt(Batch::longestSequence).max().orElseThrow());
        Slab planned = Slab.planning();
        ops.plan(() -> batches.forEach(batch -> run(planned, batch)));
        this.slab = Slab.lent(ops.device(), planned.peakBytes());
    }

    private static boolean[] counted(List<Sample> samples, int tokens, boolean labelled) {
        boolean[] counted = new boolean[tokens];
        Arrays.fill(counted, !labelled);
        int next = 0;
        for (Sample sample : samples) {
            for (int label : sample.labels()) {
                counted[next++] |= label != Sample.IGNORED;
            }
        }
        return counted;
    }

    @Override
    public int count() {
        return batches.size();
    }

    @Override
    public boolean[] counted(int batch) {
        return counted.get(batch);
    }

    @Override
    public void run(int batch) {
        run(slab.slab(), batches.get(batch));
    }

    private void run(Slab where, Batch batch) {
        where.release(0);
        PackedTokens tokens = PackedTokens.upload(ops, where, batch.ids(), batch.positions(), batch.sequenceOffsets());
        model.lm().nextTokenLogits(Pass.evaluation(ops, where, tokens));
    }

    @Override
    public void close() {
        slab.close();
    }
}
