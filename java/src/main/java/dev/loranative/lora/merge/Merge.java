package dev.loranative.lora.merge;

import dev.loranative.checkpoint.AtomicFiles;
import dev.loranative.checkpoint.Checkpoint;
import dev.loranative.checkpoint.ElementType;
import dev.loranative.config.MachineOptions;
import dev.loranative.config.QuantizationOptions;
import dev.loranative.errors.UserException;
import dev.loranative.lora.Adapter;
import dev.loranative.model.ModelFiles;
import java.io.IOException;
import java.nio.file.FileStore;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Set;
import java.util.TreeSet;

/**
 * Merges an adapter into its base model: a folder that any tool loads, written beside its place, compared with base +
 * adapter, and only then given its name.
 *
 * @param model folder of the base model
 * @param quantization whether the base model is to be held in 4 bits, as it was when the adapter was trained
 * @param type of all weights; empty: each tensor keeps its own, and weights in 4 bits become bfloat16
 * @param maxShardBytes largest file; empty: files as those of the base model
 * @param sequences token ids whose logits are compared
 */
public record Merge(
        Path model,
        QuantizationOptions quantization,
        Adapter adapter,
        Path output,
        Optional<ElementType> type,
        OptionalLong maxShardBytes,
        List<int[]> sequences,
        MachineOptions machine) {

    /** Told what is going on. */
    public interface Listener {
        /** Something that is not as the user may expect, and no error. */
        void warning(String line);

        void writing(String tensor, long bytesDone, long bytes);

        void comparing(String what);
    }

    /**
     * @throws UserException before anything is written if the adapter does not fit, the output exists or does not fit on
     *     the disk; afterwards, with nothing left behind, if the merged model is not equal to base + adapter
     */
    public MergeReport run(Listener listener) {
        AtomicFiles.requireFree(output);
        MergeDevice device = new MergeDevice(machine, listener);
        try (ModelFiles files = ModelFiles.openWithExtras(model, quantization)) {
            if (!files.isQuantized()) {
                return run(files, new CheckpointSource(files.checkpoint()), type, device, listener);
            }
            try (QuantizedSource base = new QuantizedSource(model, quantization, device)) {
                return run(files, base, Optional.of(type.orElse(ElementType.BF16)), device, listener);
            }
        }
    }

    private MergeReport run(
            ModelFiles files, WeightSource base, Optional<ElementType> asked, MergeDevice device, Listener listener) {
        MergePlan whole = MergePlan.of(base, adapter.tensors(), files.config().tieWordEmbeddings(), asked);
        MergePlan plan = maxShardBytes.isPresent()
                ? ShardLayout.split(whole, maxShardBytes.getAsLong())
                : ShardLayout.asBase(whole);
        requireSpace(plan.bytes());
        return AtomicFiles.writeDirectory(output, staging -> {
            new MergedFolder(model, staging, base)
                    .write(plan, asked, (tensor, done) -> listener.writing(tensor, done, plan.bytes()));
            return verify(plan, base, staging, files.config().moe().isPresent(), device, listener);
        });
    }

    private MergeReport verify(
            MergePlan plan, WeightSource base, Path staging, boolean experts, MergeDevice device, Listener listener) {
        WeightCheck.Result weights;
        try (Checkpoint merged = Checkpoint.open(staging)) {
            weights = new WeightCheck(base, merged).run(plan.tensors(), listener::comparing);
        }
        LogitProbe probe = new LogitProbe(device, sequences);
        listener.comparing("logits of base + adapter");
        float[][] reference = probe.logits(ModelFiles.openWithExtras(model, quantization), Optional.of(adapter));
        listener.comparing("logits of the merged model");
        float[][] merged = probe.logits(ModelFiles.openWithExtras(staging), Optional.empty());
        LogitBound bound = LogitBound.of(plan.tensors());
        LogitDifference difference =
                LogitDifference.of(reference, merged, bound.share(), bound.allowedBeyond(experts, reference.length));
        if (!difference.passes()) {
            throw UserException.failed(
                    "the logits of the merged model differ from base + adapter by " + difference.max() + " (mean "
                            + difference.mean() + "), more than " + difference.bound() + " of the largest logit "
                            + difference.scale(),
                    "nothing was kept; merge with --dtype float32 to see whether it is rounding, and report it if not");
        }
        Set<String> types = new TreeSet<>();
        plan.tensors().stream()
                .filter(tensor -> base.isFloat(tensor.source()))
                .forEach(
                        tensor -> types.add(MergedFolder.torchName(tensor.plan().type())));
        return new MergeReport(
                output,
                types.size() == 1 ? types.iterator().next() : "mixed",
                plan.tensors().size(),
                plan.bytes(),
                plan.shards().size(),
                plan.untied(),
                weights.tensors(),
                weights.worst(),
                weights.worstDifference(),
                weights.bound(),
                difference);
    }

    /** The folder above the output, or the nearest one above it that exists. */
    private Path existingParent() {
        Path parent = output.toAbsolutePath().normalize().getParent();
        while (parent != null && !Files.exists(parent)) {
            parent = parent.getParent();
        }
        if (parent == null || !Files.isDirectory(parent) || !Files.isWritable(parent)) {
            throw UserException.badInput(
                    "output '" + output + "' cannot be created: '" + parent + "' is no folder that can be written",
                    "choose another --output");
        }
        return parent;
    }

    private void requireSpace(long bytes) {
        Path parent = existingParent();
        long free;
        try {
            FileStore store = Files.getFileStore(parent);
            free = store.getUsableSpace();
        } catch (IOException e) {
            // Not every file system tells; then the write itself will.
            return;
        }
        if (free < bytes) {
            throw UserException.badInput(
                    "the merged model has " + bytes + " bytes, but the disk of '" + parent + "' has " + free + " free",
                    "choose an --output on another disk, or --dtype bfloat16");
        }
    }
}
