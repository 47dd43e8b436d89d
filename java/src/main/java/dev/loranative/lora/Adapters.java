package dev.loranative.lora;

import dev.loranative.config.InitLoraWeights;
import dev.loranative.device.Device;
import dev.loranative.model.LinearModule;
import dev.loranative.model.LoadedModel;
import dev.loranative.nn.Parameter;
import dev.loranative.nn.ParameterArena;
import dev.loranative.nn.ParameterGroup;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;

/** What an adapter trains inside a model: its values in one arena, attached to the modules that they change. */
public final class Adapters {

    private final Device device;
    private final ParameterArena arena;
    private final LoraParts lora;

    private Adapters(Device device, ParameterArena arena) {
        this.device = device;
        this.arena = arena;
        this.lora = new LoraParts(device, arena);
    }

    /**
     * New adapters for these targets, to be trained.
     *
     * @param groups the optimizer's group of a tensor by its name
     */
    public static Adapters create(
            LoadedModel model,
            Targets targets,
            InitLoraWeights init,
            long seed,
            Function<String, ParameterGroup> groups) {
        AdapterInit values = new AdapterInit(init, seed);
        Map<ParameterGroup, Long> sizes = ParameterNames.sizes(targets, groups);
        Adapters adapters = new Adapters(model.device(), new ParameterArena(model.device(), groups, sizes, true));
        double dropout = 0;
        for (Target target : targets.list()) {
            LinearModule module = target.module();
            int number = model.number(module);
            adapters.lora.add(
                    target, values.a(number, target.r(), module.in()), values.b(number, target.r(), module.out()));
            dropout = target.dropout();
        }
        adapters.lora.attach(model, dropout);
        return adapters;
    }

    /**
     * The values of a file.
     *
     * @param dropout used in training
     * @param trainable whether gradients are wanted
     */
    public static Adapters load(LoadedModel model, Adapter adapter, double dropout, boolean trainable) {
        return load(model, adapter, dropout, trainable, _ -> ParameterGroup.ALL);
    }

    /**
     * The values of a file, to be trained.
     *
     * @param dropout used in training
     * @param groups the optimizer's group of a tensor by its name
     */
    public static Adapters load(
            LoadedModel model, Adapter adapter, double dropout, Function<String, ParameterGroup> groups) {
        return load(model, adapter, dropout, true, groups);
    }

    private static Adapters load(
            LoadedModel model,
            Adapter adapter,
            double dropout,
            boolean trainable,
            Function<String, ParameterGroup> groups) {
        Map<ParameterGroup, Long> sizes = ParameterNames.sizes(adapter.tensors(), groups);
        Adapters adapters = new Adapters(model.device(), new ParameterArena(model.device(), groups, sizes, trainable));
        adapter.modules().forEach(adapters.lora::add);
        adapters.lora.attach(model, dropout);
        return adapters;
    }

    /** Takes the adapters out of their model, which is then the base model again; their values stay on the device. */
    void detach() {
        lora.detach();
    }

    /** Puts detached adapters back. */
    void reattach() {
        lora.reattach();
    }

    public ParameterArena arena() {
        return arena;
    }

    /** Number of modules that have an adapter. */
    public int count() {
        return modules().size();
    }

    /** Those that have an adapter. */
    public List<LinearModule> modules() {
        return lora.modules();
    }

    /** The current values, copied from the device: what an adapter file holds. */
    public AdapterTensors values() {
        return AdapterTensors.of(lora.values());
    }

    /** The gradients, copied from the device, by tensor name as in the arena. */
    public Map<String, float[]> gradients() {
        Map<String, float[]> gradients = new LinkedHashMap<>();
        for (Parameter parameter : arena.parameters()) {
            gradients.put(parameter.name(), parameter.gradient().toFloats(device));
        }
        return gradients;
    }
}
