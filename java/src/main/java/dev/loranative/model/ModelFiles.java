package dev.loranative.model;

import dev.loranative.checkpoint.Checkpoint;
import dev.loranative.config.QuantizationOptions;
import dev.loranative.device.Device;
import dev.loranative.errors.UserException;
import dev.loranative.quant.StoredWeight;
import dev.loranative.quant.StoredWeights;
import dev.loranative.tensor.Ops;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;

/** A model's folder, read and checked, its weights mapped but not yet touched. */
public final class ModelFiles implements ModelSource {

    private final ModelConfig config;
    private final ModuleTree tree;
    private final WeightLayout layout;
    private final Checkpoint checkpoint;
    private final QuantizationPlan plan;

    private ModelFiles(ModelConfig config, WeightLayout layout, Checkpoint checkpoint, QuantizationPlan plan) {
        this.config = config;
        this.tree = ModuleTree.of(config);
        this.layout = layout;
        this.checkpoint = checkpoint;
        this.plan = plan;
    }

    /** Weights in 16 or 32 bits, or in 4 where the checkpoint has them so. */
    public static ModelFiles open(Path folder) {
        return open(folder, QuantizationOptions.NONE);
    }

    /**
     * Reads config.json and the headers of the weights.
     *
     * @param options whether linear layers are to be held in 4 bits
     * @throws dev.loranative.errors.UserException for a folder that is no model, a broken file, tensors that do not fit,
     *     options that contradict a checkpoint that is quantised already
     */
    public static ModelFiles open(Path folder, QuantizationOptions options) {
        return open(folder, options, false);
    }

    /** As {@link #open}, but tensors that the model does not use are no error: what copies a model must keep them. */
    public static ModelFiles openWithExtras(Path folder) {
        return openWithExtras(folder, QuantizationOptions.NONE);
    }

    /** As {@link #openWithExtras(Path)}, with weights that are to be held in 4 bits. */
    public static ModelFiles openWithExtras(Path folder, QuantizationOptions options) {
        return open(folder, options, true);
    }

    private static ModelFiles open(Path folder, QuantizationOptions options, boolean extras) {
        ModelConfig config = ModelConfigReader.read(folder);
        WeightLayout layout = WeightLayout.of(config);
        Checkpoint checkpoint = Checkpoint.open(folder, layout.stacks());
        try {
            StoredWeights stored = StoredWeights.of(checkpoint, layout.stacks());
            layout.check(checkpoint, stored, extras);
            requireFourBits(folder, config, stored, options);
            return new ModelFiles(config, layout, checkpoint, QuantizationPlan.of(config, stored, options));
        } catch (RuntimeException e) {
            checkpoint.close();
            throw e;
        }
    }

    /** Computing in 16 bits what was meant for 4 would take four times the memory without a word; transformers fails too. */
    private static void requireFourBits(
            Path folder, ModelConfig config, StoredWeights stored, QuantizationOptions options) {
        if (config.saysFourBits() && stored.isEmpty() && !options.enabled()) {
            throw UserException.badInput(
                    folder.resolve("config.json")
                            + " has a quantization_config of 4 bits, but no weight in the folder is in 4 bits",
                    "give --load-in-4bit to quantise them on loading, or remove quantization_config to use them as they"
                            + " are");
        }
    }

    @Override
    public ModelConfig config() {
        return config;
    }

    @Override
    public ModuleTree tree() {
        return tree;
    }

    /** The tensors of the files; closed with this object, or with the model that was loaded. */
    public Checkpoint checkpoint() {
        return checkpoint;
    }

    /** Whether some weights are in 4 bits once loaded: from the file, or because loading quantises them. */
    public boolean isQuantized() {
        return quantizes() || !plan.stored().isEmpty();
    }

    /** Whether a weight comes from 4 bits: from the file, or because loading quantises it. */
    public boolean isQuantized(String weight) {
        return plan.quantizesTensor(weight) || plan.stored().find(weight).isPresent();
    }

    /**
     * What a tensor of the files holds of the model: itself; the weights of several experts; nothing if it only describes
     * the 4-bit weight beside it.
     */
    public List<String> contents(String tensor) {
        if (plan.stored().isPart(tensor)) {
            return List.of();
        }
        List<StoredWeight> weights = plan.stored().in(tensor);
        return weights.isEmpty()
                ? List.of(tensor)
                : weights.stream().map(StoredWeight::name).toList();
    }

    @Override
    public long parameters() {
        return layout.parameters();
    }

    /** As in the files, and of those that are quantised on the way. */
    @Override
    public long weightBytes() {
        return plan.weightBytes(checkpoint);
    }

    /** Bytes of all tensors in the files. */
    public long fileBytes() {
        return checkpoint.totalBytes();
    }

    /** Number of weights that loading quantises. */
    public int quantizedCount() {
        return plan.count();
    }

    /** Their elements. */
    public long quantizedElements() {
        return plan.elements(checkpoint);
    }

    /** What they take once they are quantised: codes, scales, descriptors. */
    public long quantizedBytes() {
        return plan.quantizedBytes(checkpoint);
    }

    @Override
    public Optional<FourBits> fourBits() {
        return plan.fourBits(checkpoint);
    }

    @Override
    public List<String> notes() {
        return plan.notes(tree);
    }

    @Override
    public boolean quantizes() {
        return plan.count() > 0;
    }

    /** As {@link #load(Ops, LoadListener)}, for models whose loading needs no telling. */
    public LoadedModel load(Device device) {
        return load(new Ops(device), LoadListener.NONE);
    }

    @Override
    public LoadedModel load(Ops ops, LoadListener listener) {
        ops.device().reserve(Device.WEIGHTS, weightBytes());
        return new ModelBuilder(config, new WeightLoader(checkpoint, ops, plan, listener))
                .build(Optional.of(checkpoint));
    }

    /**
     * Writes the model with its linear layers in 4 bits, as transformers saves it with bitsandbytes. Asks for
     * {@link #quantizes}.
     *
     * @param output not there yet, or an empty folder
     * @param maxShardBytes of a file; empty: one file for each of this model's
     * @return bytes of all tensors written
     */
    public long writeQuantized(Ops ops, Path output, OptionalLong maxShardBytes, LoadListener listener) {
        return new CheckpointQuantizer(checkpoint, plan, ops, listener).write(config, output, maxShardBytes);
    }

    @Override
    public void close() {
        checkpoint.close();
    }
}
