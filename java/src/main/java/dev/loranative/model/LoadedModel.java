package dev.loranative.model;

import dev.loranative.checkpoint.Checkpoint;
import dev.loranative.device.Device;
import dev.loranative.nn.LinearSlot;
import dev.loranative.tensor.Tensor;
import java.util.HashMap;
import java.util.Map;

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
    private final Parts parts;
    private final Map<String, Integer> numbers = new HashMap<>();

    /**
     * Parts by module name.
     *
     * @param weights of all linear modules and norms
     * @param slots of linear modules that are no expert's
     */
    record Parts(Map<String, Tensor> weights, Map<String, LinearSlot> slots, Map<String, ExpertPlace> experts) {

        Parts {
            weights = Map.copyOf(weights);
            slots = Map.copyOf(slots);
            experts = Map.copyOf(experts);
        }
    }

    LoadedModel(ModelConfig config, ModuleTree tree, Device device, CausalLm lm, Checkpoint checkpoint, Parts parts) {
        this.config = config;
        this.tree = tree;
        this.device = device;
        this.lm = lm;
        this.checkpoint = checkpoint;
        this.parts = parts;
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

    /** Place of a module in the tree: unique, the same in every run. */
    public int number(LinearModule module) {
        return numbers.get(module.name());
    }

    /** The frozen weight of a module, an expert's too. */
    public WeightRows weight(LinearModule module) {
        return new WeightRows(require(parts.weights().get(module.name()), module));
    }

    /** Where a module that is no expert's sits. */
    public LinearSlot slot(LinearModule module) {
        return require(parts.slots().get(module.name()), module);
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
        checkpoint.close();
    }
}
