package dev.loranative.model;

import dev.loranative.checkpoint.Checkpoint;
import dev.loranative.device.Device;
import java.nio.file.Path;

/** A model's folder, read and checked, its weights mapped but not yet touched. */
public final class ModelFiles implements AutoCloseable {

    private final ModelConfig config;
    private final ModuleTree tree;
    private final WeightLayout layout;
    private final Checkpoint checkpoint;

    private ModelFiles(ModelConfig config, WeightLayout layout, Checkpoint checkpoint) {
        this.config = config;
        this.tree = ModuleTree.of(config);
        this.layout = layout;
        this.checkpoint = checkpoint;
    }

    /**
     * Reads config.json and the headers of the weights.
     *
     * @throws dev.loranative.errors.UserException for a folder that is no model, a broken file, tensors that do not fit
     */
    public static ModelFiles open(Path folder) {
        return open(folder, false);
    }

    /** As {@link #open}, but tensors that the model does not use are no error: what copies a model must keep them. */
    public static ModelFiles openWithExtras(Path folder) {
        return open(folder, true);
    }

    private static ModelFiles open(Path folder, boolean extras) {
        ModelConfig config = ModelConfigReader.read(folder);
        Checkpoint checkpoint = Checkpoint.open(folder);
        try {
            WeightLayout layout = WeightLayout.of(config);
            layout.check(checkpoint, extras);
            return new ModelFiles(config, layout, checkpoint);
        } catch (RuntimeException e) {
            checkpoint.close();
            throw e;
        }
    }

    public ModelConfig config() {
        return config;
    }

    public ModuleTree tree() {
        return tree;
    }

    /** The tensors of the files; closed with this object, or with the model that was loaded. */
    public Checkpoint checkpoint() {
        return checkpoint;
    }

    /** Parameters of the model; a tied head counts once. */
    public long parameters() {
        return layout.parameters();
    }

    /** Bytes of all tensors in the files. */
    public long weightBytes() {
        return checkpoint.totalBytes();
    }

    /** Puts the weights on the device. The result owns the mapped files; this object must not be closed then. */
    public LoadedModel load(Device device) {
        return new ModelBuilder(config, checkpoint, device).build();
    }

    @Override
    public void close() {
        checkpoint.close();
    }
}
