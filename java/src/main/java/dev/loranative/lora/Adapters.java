package dev.loranative.lora;

import dev.loranative.config.InitLoraWeights;
import dev.loranative.device.Device;
import dev.loranative.model.LinearModule;
import dev.loranative.model.LinearModule.Kind;
import dev.loranative.model.LoadedModel;
import dev.loranative.nn.Parameter;
import dev.loranative.nn.ParameterArena;
import dev.loranative.tensor.Ops;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
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

    private Adapters(LoadedModel model, Ops ops, long size, boolean trainable) {
        this.model = model;
        this.device = model.device();
        this.arena = new ParameterArena(device, size, trainable);
        this.full = new FullParts(model, arena);
        this.tokens = new TokenParts(model, arena, ops);
        this.embedding = new EmbeddingParts(device, arena);
        this.shared = new SharedExpertParts(device, arena);
        this.lora = new LoraParts(device, arena);
    }

    /**
     * New adapters for these targets, to be trained.
     *
     * @param shareExperts whether all experts of a projection have one adapter
     */
    public static Adapters create(
            LoadedModel model, Targets targets, InitLoraWeights init, long seed, boolean shareExperts) {
        AdapterInit values = new AdapterInit(init, seed);
        Ops ops = new Ops(model.device());
        List<FullTarget> full = FullParts.distinct(targets.full(), model);
        List<TokenTarget> tokens = TokenParts.distinct(targets.tokens(), model);
        Map<Boolean, List<Target>> bySharing = targets.list().stream()
                .collect(Collectors.partitioningBy(
                        target -> shareExperts && target.module().kind() == Kind.EXPERT));
        List<Target> alone = bySharing.get(false);
        List<Target> experts = bySharing.get(true);
        List<List<Target>> projections = SharedExpertParts.projections(experts, model);
        long size = full.stream().mapToLong(FullTarget::parameters).sum()
                + tokens.stream().mapToLong(TokenTarget::parameters).sum()
                + alone.stream().mapToLong(Target::parameters).sum()
                + projections.stream()
                        .mapToLong(projection -> projection.getFirst().parameters())
                        .sum();
        Adapters adapters = new Adapters(model, ops, size, true);
        full.forEach(target -> adapters.full.add(target, ops));
        tokens.forEach(adapters.tokens::add);
        double dropout = 0;
        for (Target target : alone) {
            AdapterModule module = initial(model, target, values);
            if (target.module().kind() == Kind.EMBEDDING) {
                adapters.embedding.add(module);
            } else {
                adapters.lora.add(module);
            }
            dropout = target.dropout();
        }
        for (List<Target> projection : projections) {
            AdapterModule first = initial(model, projection.getFirst(), values);
            adapters.shared.add(projection.stream()
                    .map(target -> AdapterModule.of(target, first.a(), first.b()))
                    .toList());
            dropout = projection.getFirst().dropout();
        }
        adapters.attach(dropout);
        return adapters;
    }

    private static AdapterModule initial(LoadedModel model, Target target, AdapterInit values) {
        LinearModule module = target.module();
        int number = model.number(module);
        int r = target.r();
        return module.kind() == Kind.EMBEDDING
                ? AdapterModule.of(
                        target, values.embeddingA(number, r, module.out()), values.embeddingB(number, r, module.in()))
                : AdapterModule.of(target, values.a(number, r, module.in()), values.b(number, r, module.out()));
    }

    /**
     * Adapters with the values of a file.
     *
     * @param dropout used in training
     * @param trainable whether gradients are wanted
     */
    public static Adapters load(LoadedModel model, Adapter adapter, double dropout, boolean trainable) {
        AdapterTensors tensors = adapter.tensors();
        List<FullTensor> full = FullParts.distinctTensors(tensors.full(), model);
        boolean tied = full.size() < tensors.full().size();
        boolean shareExperts = adapter.config().lora().shareExpertAdapters();
        Map<Boolean, List<AdapterModule>> bySharing = tensors.modules().stream()
                .collect(Collectors.partitioningBy(
                        module -> shareExperts && module.module().kind() == Kind.EXPERT));
        List<AdapterModule> alone = bySharing.get(false);
        List<AdapterModule> experts = bySharing.get(true);
        List<List<AdapterModule>> projections = SharedExpertParts.shared(experts, model);
        long size = full.stream().mapToLong(tensor -> tensor.values().length).sum()
                + tensors.tokens().stream()
                        .mapToLong(rows -> rows.values().length)
                        .sum()
                + alone.stream().mapToLong(AdapterModule::parameters).sum()
                + projections.stream()
                        .mapToLong(projection -> projection.getFirst().parameters())
                        .sum();
        Adapters adapters = new Adapters(model, new Ops(model.device()), size, trainable);
        full.forEach(tensor -> adapters.full.add(tensor, tied));
        tensors.tokens().forEach(adapters.tokens::add);
        for (AdapterModule module : alone) {
            if (module.module().kind() == Kind.EMBEDDING) {
                adapters.embedding.add(module);
            } else {
                adapters.lora.add(module);
            }
        }
        projections.forEach(adapters.shared::add);
        adapters.attach(dropout);
        return adapters;
    }

    /** Low-rank updates come last: they go around what stands in the places of the model's own tensors. */
    private void attach(double dropout) {
        full.attach();
        tokens.attach();
        embedding.attach(model);
        shared.attach(model, dropout);
        lora.attach(model, dropout);
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
            float[] values = parameter.gradient().toFloats(device);
            boolean transposed = parameter.name().endsWith(EmbeddingParts.A);
            float[] shaped = transposed
                    ? EmbeddingParts.transposed(
                            values, Math.toIntExact(parameter.value().dimension(0)))
                    : values;
            for (String name : sharedNames.getOrDefault(parameter.name(), List.of(parameter.name()))) {
                gradients.put(name, shaped);
            }
        }
        return gradients;
    }
}
