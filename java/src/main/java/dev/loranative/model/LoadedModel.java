package dev.loranative.model;

import dev.loranative.checkpoint.Checkpoint;
import dev.loranative.checkpoint.ContentHash;
import dev.loranative.checkpoint.ElementType;
import dev.loranative.checkpoint.TensorEntry;
import dev.loranative.device.Device;
import dev.loranative.nn.LinearSlot;
import dev.loranative.nn.RmsNorm;
import dev.loranative.tensor.DType;
import dev.loranative.tensor.Tensor;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;

/**
 * A model whose weights are on a device, and its parts by their names in the checkpoint. Closing it unmaps the
 * checkpoint, where there is one; on the CPU the weights are the mapped file, so close the device first.
 */
public final class LoadedModel implements AutoCloseable {

    private final ModelConfig config;
    private final ModuleTree tree;
    private final Device device;
    private final CausalLm lm;
    private final Optional<Checkpoint> checkpoint;
    private final Parts parts;
    private final TensorNames names;
    private final Map<String, Integer> numbers = new HashMap<>();

    /**
     * Parts by module name.
     *
     * @param weights of all linear modules and norms
     * @param slots of linear modules that are no expert's
     */
    record Parts(
            Map<String, Tensor> weights,
            Map<String, LinearSlot> slots,
            Map<String, ExpertPlace> experts,
            Map<String, RmsNorm> norms) {

        Parts {
            weights = Map.copyOf(weights);
            slots = Map.copyOf(slots);
            experts = Map.copyOf(experts);
            norms = Map.copyOf(norms);
        }
    }

    /** @param checkpoint empty for weights that come from no file */
    LoadedModel(
            ModelConfig config,
            ModuleTree tree,
            Device device,
            CausalLm lm,
            Optional<Checkpoint> checkpoint,
            Parts parts) {
        this.config = config;
        this.tree = tree;
        this.device = device;
        this.lm = lm;
        this.checkpoint = checkpoint;
        this.parts = parts;
        this.names = TensorNames.of(config.family());
        for (LinearModule module : tree.modules()) {
            numbers.put(module.name(), numbers.size());
        }
    }

    public ModelConfig config() {
        return config;
    }

    public ModuleTree tree() {
        return tree;
    }

    public Device device() {
        return device;
    }

    public CausalLm lm() {
        return lm;
    }

    /**
     * What tells the checkpoint from others; read from its files at every call.
     *
     * @throws IllegalStateException if the weights come from no file
     */
    public ContentHash contentHash() {
        return checkpoint
                .orElseThrow(() -> new IllegalStateException("the weights come from no file"))
                .contentHash();
    }

    /** Place of a module in the tree: unique, the same in every run. */
    public int number(LinearModule module) {
        return numbers.get(module.name());
    }

    /** The frozen weight of a module, an expert's too. */
    public WeightRows weight(LinearModule module) {
        return new WeightRows(require(parts.weights().get(module.name()), module));
    }

    /**
     * The weight that a quantised one was made of when the model was loaded; empty where it was not made then. Only for what
     * happens before training: it lies in the mapped checkpoint.
     */
    public Optional<WeightRows> original(LinearModule module) {
        String name = module.name() + ".weight";
        return checkpoint
                .filter(files -> weight(module).weight().dtype().isQuantized() && files.contains(name))
                .flatMap(files -> original(files, name));
    }

    private Optional<WeightRows> original(Checkpoint files, String name) {
        TensorEntry entry = files.entry(name);
        boolean floats =
                entry.type() == ElementType.F32 || entry.type() == ElementType.BF16 || entry.type() == ElementType.F16;
        if (!floats || entry.shape().size() != 2) {
            return Optional.empty();
        }
        DType dtype = WeightLoader.dtype(entry.type());
        return Optional.of(new WeightRows(new Tensor(
                device.upload(files.data(name), dtype.bytes()),
                0,
                dtype,
                entry.shape().get(0),
                entry.shape().get(1))));
    }

    /** Where a module that is no expert's sits. */
    public LinearSlot slot(LinearModule module) {
        return require(parts.slots().get(module.name()), module);
    }

    /** Where a linear layer of that name sits; empty for experts, norms and the embedding. */
    public Optional<LinearSlot> slot(String module) {
        return Optional.ofNullable(parts.slots().get(module));
    }

    /** The norm of that name. */
    public Optional<RmsNorm> norm(String module) {
        return Optional.ofNullable(parts.norms().get(module));
    }

    public String embeddingName() {
        return names.embedding();
    }

    public String headName() {
        return names.head();
    }

    /** Whether embedding and head are one tensor. */
    public boolean isTied() {
        return config.tieWordEmbeddings();
    }

    /** Where an expert's module sits. */
    public ExpertPlace expert(LinearModule module) {
        return require(parts.experts().get(module.name()), module);
    }

    private static <T> T require(T part, LinearModule module) {
        if (part == null) {
            throw new IllegalArgumentException(module + " is not a part of the model that can be adapted this way");
        }
        return part;
    }

    @Override
    public void close() {
        checkpoint.ifPresent(Checkpoint::close);
    }
}
