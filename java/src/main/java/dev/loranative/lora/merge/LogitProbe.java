package dev.loranative.lora.merge;

import dev.loranative.device.Device;
import dev.loranative.lora.Adapter;
import dev.loranative.lora.Adapters;
import dev.loranative.model.LoadedModel;
import dev.loranative.model.ModelFiles;
import dev.loranative.nn.PackedTokens;
import dev.loranative.nn.Pass;
import dev.loranative.tensor.Ops;
import dev.loranative.tensor.Slab;
import dev.loranative.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** The logits of a model, freshly loaded, at every position of some token sequences. */
final class LogitProbe {

    private final MergeDevice machine;
    private final List<int[]> sequences;

    /** @param sequences each at least one token, inside vocabulary and longest sequence of the model */
    LogitProbe(MergeDevice machine, List<int[]> sequences) {
        this.machine = machine;
        this.sequences = List.copyOf(sequences);
    }

    /**
     * Runs the sequences one by one.
     *
     * @param files closed afterwards
     * @return [tokens of all sequences][vocabulary]
     */
    float[][] logits(ModelFiles files, Optional<Adapter> adapter) {
        try (Device device = machine.openForLogits()) {
            // On the CPU the weights are the mapped files: unmapped after the device is gone.
            LoadedModel model = files.load(device);
            adapter.ifPresent(read -> Adapters.load(model, read, 0, false));
            return run(model);
        } finally {
            files.close();
        }
    }

    private float[][] run(LoadedModel model) {
        Ops ops = new Ops(model.device());
        int longest = sequences.stream().mapToInt(ids -> ids.length).max().orElseThrow();
        model.lm().reservePositions(model.device(), longest);
        Slab planning = Slab.planning();
        ops.plan(() -> sequences.forEach(ids -> forward(model, ops, planning, ids)));
        ops.seal();
        Slab slab = Slab.allocate(model.device(), planning.peakBytes());
        List<float[]> rows = new ArrayList<>();
        int vocabulary = Math.toIntExact(model.lm().vocabulary());
        for (int[] ids : sequences) {
            Tensor logits = forward(model, ops, slab, ids);
            for (int token = 0; token < ids.length; token++) {
                rows.add(logits.range((long) token * vocabulary, vocabulary).toFloats(model.device()));
            }
        }
        return rows.toArray(float[][]::new);
    }

    private static Tensor forward(LoadedModel model, Ops ops, Slab slab, int[] ids) {
        slab.release(0);
        int[] positions = new int[ids.length];
        for (int i = 0; i < ids.length; i++) {
            positions[i] = i;
        }
        PackedTokens tokens = PackedTokens.upload(ops, slab, ids, positions, new int[] {0, ids.length});
        return model.lm().logits(Pass.evaluation(ops, slab, tokens));
    }
}
