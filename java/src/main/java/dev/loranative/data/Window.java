package dev.loranative.data;

import java.util.List;

/**
 * What one optimizer step trains on.
 *
 * @param step which step of the run, from 0
 * @param epoch which epoch, from 0
 * @param microBatches in the order of training, at least one
 * @param epochAfter epochs done after this step, for example 0.5; transformers' {@code epoch}
 */
public record Window(int step, int epoch, List<Batch> microBatches, double epochAfter) {

    public Window {
        microBatches = List.copyOf(microBatches);
    }

    /** Labels that count in the whole window: transformers' {@code num_items_in_batch}. May be 0. */
    public long targets() {
        return microBatches.stream().mapToLong(Batch::targets).sum();
    }

    public long tokens() {
        return microBatches.stream().mapToLong(Batch::tokens).sum();
    }
}
