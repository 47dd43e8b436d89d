package dev.loranative.lora;

import dev.loranative.config.LoraConfig;
import dev.loranative.device.Device;
import dev.loranative.model.LinearModule;
import dev.loranative.model.LinearModule.Kind;
import dev.loranative.model.LoadedModel;
import dev.loranative.nn.Parameter;
import dev.loranative.nn.ParameterArena;
import dev.loranative.nn.ParameterGroup;
import dev.loranative.tensor.Ops;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import java.util.stream.Stream;

/** What an adapter trains inside a model: its values in one arena, attached to the modules that they change. */
public final class Adapters {

    private final LoadedModel model;
    private final Device device;
    private final ParameterArena arena;
    private final FullParts full;
    private final TokenParts tokens;
    private final EmbeddingParts embedding;
    private final SharedExpertParts shared;
    private final LoraParts lora;

    /** Made to the model by all parts but the last. */
    private final Changes changes = new Changes();

    private Adapters(LoadedModel model, ParameterArena arena) {
        Ops ops = new Ops(model.device());
        this.model = model;
        this.device = model.device();
        this.arena = arena;
        this.full = new FullParts(model, arena, ops);
        this.tokens = new TokenParts(model, arena, ops);
        this.embedding = new EmbeddingParts(device, arena);
        this.shared = new SharedExpertParts(device, arena);
        this.lora = new LoraParts(device, arena);
    }

    /**
     * New adapters for these targets, to be trained.
     *
     * @param groups the optimizer's group of a tensor by its name
     */
    public static Adapters create(
            LoadedModel model, Targets targets, AdapterStart start, Function<String, ParameterGroup> groups) {
        boolean shareExperts = start.lora().shareExpertAdapters();
        List<Target> experts = targets.list().stream()
                .filter(target -> shareExperts && target.module().kind() == Kind.EXPERT)
                .toList();
        List<List<Target>> projections = SharedExpertParts.projections(experts, model);
        List<Target> alone = targets.list().stream()
                .filter(target -> !shareExperts || target.module().kind() != Kind.EXPERT)
                .toList();
        Map<ParameterGroup, Long> sizes = targets.sizes(shareExperts, groups);
        Adapters adapters = new Adapters(model, new ParameterArena(model.device(), groups, sizes, true));
        targets.full().forEach(adapters.full::add);
        targets.tokens().forEach(adapters.tokens::add);
        AdapterInit init = new AdapterInit(start, model);
        init.requireUse(targets.list());
        double dropout = 0;
        for (Target target : alone) {
            if (target.module().kind() == Kind.EMBEDDING) {
                adapters.embedding.add(target, init.ofEmbedding(target));
            } else {
                adapters.lora.add(target, init.of(target));
            }
            dropout = target.dropout();
        }
        for (List<Target> projection : projections) {
            Target first = projection.getFirst();
            AdapterInit.Values values = init.ofShared(first);
            adapters.shared.add(projection.stream()
                    .map(target -> AdapterModule.of(target, values.a(), values.b()))
                    .toList());
            dropout = first.dropout();
        }
        adapters.attach(dropout);
        return adapters;
    }

    /**
     * The values of a file.
     *
     * @param dropout used in training
     * @param trainable whether gradients are wanted
     */
    public static Adapters load(LoadedModel model, Adapter adapter, double dropout, boolean trainable) {
        return load(model, adapter, Map.of(), dropout, trainable, _ -> ParameterGroup.ALL);
    }

    /**
     * The values of a file, to be trained.
     *
     * @param dropout used in training
     * @param groups the optimizer's group of a tensor by its name
     */
    public static Adapters load(
            LoadedModel model, Adapter adapter, double dropout, Function<String, ParameterGroup> groups) {
        return load(model, adapter, Map.of(), dropout, true, groups);
    }

    /**
     * Goes on with what {@link #create} made where the first values were taken out of the base.
     *
     * @param adapter as it was written: both in one
     * @param lora as it was at the start
     */
    public static Adapters resume(
            LoadedModel model, Adapter adapter, LoraConfig lora, Function<String, ParameterGroup> groups) {
        double factor = lora.scaleOfAlpha();
        List<AdapterModule> trained = new ArrayList<>();
        Map<LinearModule, SubtractedStart> starts = new HashMap<>();
        for (AdapterModule both : adapter.modules()) {
            trained.add(SubtractedStart.trained(both, factor));
            starts.put(both.module(), SubtractedStart.of(both, factor));
        }
        AdapterTensors tensors = adapter.tensors();
        Adapter divided = new Adapter(
                adapter.config(), new AdapterTensors(trained, tensors.full(), tensors.tokens()), adapter.warnings());
        return load(model, divided, starts, lora.loraDropout(), true, groups);
    }

    private static Adapters load(
            LoadedModel model,
            Adapter adapter,
            Map<LinearModule, SubtractedStart> starts,
            double dropout,
            boolean trainable,
            Function<String, ParameterGroup> groups) {
        AdapterTensors tensors = adapter.tensors();
        boolean shareExperts = adapter.config().lora().shareExpertAdapters();
        List<List<AdapterModule>> projections = SharedExpertParts.shared(
                adapter.modules().stream()
                        .filter(module -> shareExperts && module.module().kind() == Kind.EXPERT)
                        .toList(),
                model);
        List<AdapterModule> alone = adapter.modules().stream()
                .filter(module -> !shareExperts || module.module().kind() != Kind.EXPERT)
                .toList();
        Map<ParameterGroup, Long> sizes = tensors.sizes(shareExperts, groups);
        Adapters adapters = new Adapters(model, new ParameterArena(model.device(), groups, sizes, trainable));
        tensors.full().forEach(adapters.full::add);
        tensors.tokens().forEach(adapters.tokens::add);
        for (AdapterModule module : alone) {
            if (module.module().kind() == Kind.EMBEDDING) {
                adapters.embedding.add(module);
            } else {
                adapters.lora.add(module, starts.get(module.module()));
            }
        }
        projections.forEach(adapters.shared::add);
        adapters.attach(dropout);
        return adapters;
    }

    /** Low-rank updates come last: they go around what stands in the places of the model's own tensors. */
    private void attach(double dropout) {
        full.attach(changes);
        tokens.attach(changes);
        embedding.attach(model, changes);
        shared.attach(model, dropout, changes);
        lora.attach(model, dropout);
    }

    /** Takes the adapters out of their model, which is then the base model again; their values stay on the device. */
    void detach() {
        lora.detach();
        changes.undo();
    }

    /** Puts detached adapters back. */
    void reattach() {
        changes.redo();
        lora.reattach();
    }

    /** Device memory besides the arena. */
    public long bytesBesideArena() {
        return lora.bytesBesideArena();
    }

    public ParameterArena arena() {
        return arena;
    }

    /** Number of modules that have a low-rank update. */
    public int count() {
        return modules().size();
    }

    /** Number of tensors of the model that are trained as they are. */
    public int fullCount() {
        return full.count();
    }

    /** Number of rows of the embedding or the head that are trained as they are. */
    public int tokenCount() {
        return tokens.count();
    }

    /** Those that have a low-rank update. */
    public List<LinearModule> modules() {
        return Stream.of(embedding.modules(), lora.modules(), shared.modules())
                .flatMap(List::stream)
                .sorted(Comparator.comparingInt(model::number))
                .toList();
    }

    /** The current values, copied from the device: what an adapter file holds. */
    public AdapterTensors values() {
        List<AdapterModule> modules = new ArrayList<>(embedding.values());
        modules.addAll(lora.values());
        modules.addAll(shared.values());
        modules.sort(Comparator.comparingInt(module -> model.number(module.module())));
        return new AdapterTensors(modules, full.values(), tokens.values());
    }

    /**
     * The gradients, copied from the device, by tensor name and in the shape of the file; what experts share stands under
     * each one's name.
     */
    public Map<String, float[]> gradients() {
        Map<String, float[]> gradients = new LinkedHashMap<>();
        Map<String, List<String>> sharedNames = shared.namesByTensor();
        for (Parameter parameter : arena.parameters()) {
            float[] values =
                    embedding.inShapeOfFile(parameter, parameter.gradient().toFloats(device));
            for (String name : sharedNames.getOrDefault(parameter.name(), List.of(parameter.name()))) {
                gradients.put(name, values);
            }
        }
        return gradients;
    }
}
