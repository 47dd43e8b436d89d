package dev.loranative.model;

import dev.loranative.checkpoint.Checkpoint;
import dev.loranative.checkpoint.ContentHash;
import dev.loranative.device.Device;
import dev.loranative.nn.LinearSlot;
import dev.loranative.nn.RmsNorm;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;

/**
 * A model whose weights are on a device, and its parts by their names in the checkpoint. Closing it unmaps the
 * checkpoint; on the CPU the weights are the mapped file, so close the device first.
 */
public final class LoadedModel implements AutoCloseable {

    private final ModelConfig config;
    private final ModuleTree tree;
    private final Device device;
    private final CausalLm lm;
    private final Checkpoint checkpoint;
    private final Map<String, LinearSlot> slots;
    private final Map<String, ExpertPlace> experts;
    private final Map<String, RmsNorm> norms;
    private final TensorNames names;
    private final Map<String, Integer> numbers = new HashMap<>();

    LoadedModel(
            ModelConfig config,
            ModuleTree tree,
            Device device,
            CausalLm lm,
            Checkpoint checkpoint,
            Map<String, LinearSlot> slots,
            Map<String, ExpertPlace> experts,
            Map<String, RmsNorm> norms) {
        this.config = config;
        this.tree = tree;
        this.device = device;
        this.lm = lm;
        this.checkpoint = checkpoint;
        this.slots = Map.copyOf(slots);
        this.experts = Map.copyOf(experts);
        this.norms = Map.copyOf(norms);
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

    /** What tells the checkpoint from others; read from its files at every call. */
    public ContentHash contentHash() {
        return checkpoint.contentHash();
    }

    /** Place of a module in the tree: unique, the same in every run. */
    public int number(LinearModule module) {
        return numbers.get(module.name());
    }

    /** Where a module that is no expert's sits. */
    public LinearSlot slot(LinearModule module) {
        return require(slots.get(module.name()), module);
    }

    /** Where a linear layer of that name sits; empty for experts, norms and the embedding. */
    public Optional<LinearSlot> slot(String module) {
        return Optional.ofNullable(slots.get(module));
    }

    /** The norm of that name. */
    public Optional<RmsNorm> norm(String module) {
        return Optional.ofNullable(norms.get(module));
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
        return require(experts.get(module.name()), module);
    }

    private static <T> T require(T part, LinearModule module) {
        if (part == null) {
            throw new IllegalArgumentException(module + " is not a part of the model that can be adapted this way");
        }
        return part;
    }

    @Override
    public void close() {
        checkpoint.close();
    }
}
