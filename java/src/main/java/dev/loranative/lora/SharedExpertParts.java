package dev.loranative.lora;

import dev.loranative.device.Device;
import dev.loranative.errors.UserException;
import dev.loranative.model.ExpertPlace;
import dev.loranative.model.LinearModule;
import dev.loranative.model.LoadedModel;
import dev.loranative.nn.AdapterDropout;
import dev.loranative.nn.GroupedLinear;
import dev.loranative.nn.Parameter;
import dev.loranative.nn.ParameterArena;
import dev.loranative.tensor.DType;
import dev.loranative.tensor.Products;
import dev.loranative.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The low-rank updates among the {@link Adapters} of a model that all experts of a projection share
 * ({@code share_expert_adapters}): one A and B for each projection of a layer.
 */
final class SharedExpertParts {

    /** @param experts of one projection, in their order; the first names the parameters */
    private record Attached(List<AdapterModule> experts, Parameter a, Parameter b) {

        AdapterModule first() {
            return experts.getFirst();
        }
    }

    private final Device device;
    private final ParameterArena arena;
    private final List<Attached> attached = new ArrayList<>();

    SharedExpertParts(Device device, ParameterArena arena) {
        this.device = device;
        this.arena = arena;
    }

    /**
     * The targets by projection.
     *
     * @throws UserException if a projection lacks experts, or ranks or scalings differ
     */
    static List<List<Target>> projections(List<Target> experts, LoadedModel model) {
        Map<GroupedLinear, List<Target>> byProjection = new LinkedHashMap<>();
        for (Target target : experts) {
            ExpertPlace place = model.expert(target.module());
            byProjection
                    .computeIfAbsent(place.projection(), _ -> new ArrayList<>())
                    .add(target);
        }
        byProjection.forEach((projection, targets) -> {
            Target first = targets.getFirst();
            if (targets.size() != projection.experts()) {
                throw notShared(
                        first.module().name() + " would share its adapter with " + (targets.size() - 1)
                                + " others, but its layer has " + projection.experts() + " experts",
                        "name the projections of all experts, or leave share_expert_adapters out");
            }
            if (first.dora() || first.bias()) {
                throw notShared(
                        (first.dora() ? "use_dora" : "lora_bias") + " cannot be used on experts, such as "
                                + first.module().name(),
                        "leave experts out of the targets, or leave the setting out");
            }
            for (Target target : targets) {
                if (target.r() != first.r() || target.scaling() != first.scaling()) {
                    throw notShared(
                            target.module().name() + " has rank " + target.r() + " and alpha " + target.alpha()
                                    + ", but " + first.module().name() + " has " + first.r() + " and " + first.alpha(),
                            "give all experts of a projection one rank and one alpha");
                }
            }
        });
        return List.copyOf(byProjection.values());
    }

    private static UserException notShared(String what, String hint) {
        return UserException.badInput("share_expert_adapters: " + what, hint);
    }

    /** The modules of a file by projection: every expert holds the same values. */
    static List<List<AdapterModule>> shared(List<AdapterModule> experts, LoadedModel model) {
        Map<GroupedLinear, List<AdapterModule>> byProjection = new LinkedHashMap<>();
        for (AdapterModule module : experts) {
            byProjection
                    .computeIfAbsent(model.expert(module.module()).projection(), _ -> new ArrayList<>())
                    .add(module);
        }
        byProjection.forEach((projection, modules) -> {
            AdapterModule first = modules.getFirst();
            for (AdapterModule module : modules) {
                if (modules.size() != projection.experts()
                        || module.scaling() != first.scaling()
                        || !Arrays.equals(module.a(), first.a())
                        || !Arrays.equals(module.b(), first.b())) {
                    throw notShared(
                            "the adapter says that experts share it, but " + module.name() + " and " + first.name()
                                    + " differ, or experts are missing",
                            "the adapter's files belong to different runs, or were changed");
                }
            }
        });
        return List.copyOf(byProjection.values());
    }

    /** One adapter for the experts of a projection; the first has the values. */
    void add(List<AdapterModule> experts) {
        AdapterModule first = experts.getFirst();
        Parameter a = arena.add(
                ParameterNames.a(first.name()), first.r(), first.module().in());
        Parameter b = arena.add(ParameterNames.b(first.name()), first.module().out(), first.r());
        a.value().copyFrom(device, first.a());
        b.value().copyFrom(device, first.b());
        attached.add(new Attached(experts, a, b));
    }

    /** Puts everything that was added into the model. */
    void attach(LoadedModel model, double dropout, Changes changes) {
        for (Attached adapter : attached) {
            AdapterModule first = adapter.first();
            GroupedLinear projection = model.expert(first.module()).projection();
            Products.Lora lora = new Products.Lora(
                    adapter.a().value(),
                    adapter.b().value(),
                    adapter.a().gradient(),
                    adapter.b().gradient(),
                    (float) first.scaling());
            Products.GroupedLora tables = tables(lora, Math.toIntExact(projection.experts()));
            AdapterDropout adapterDropout = new AdapterDropout((float) dropout, model.number(first.module()));
            changes.make(() -> projection.share(lora, tables, adapterDropout), () -> projection.adapt(null, null));
        }
    }

    /** The same adapter for every expert. */
    private Products.GroupedLora tables(Products.Lora lora, int experts) {
        Tensor[] a = new Tensor[experts];
        Tensor[] b = new Tensor[experts];
        int[] ranks = new int[experts];
        float[] scales = new float[experts];
        Arrays.fill(a, lora.a());
        Arrays.fill(b, lora.b());
        Arrays.fill(ranks, Math.toIntExact(lora.rank()));
        Arrays.fill(scales, lora.scale());
        Tensor rankTable = Tensor.allocate(device, DType.I32, experts);
        Tensor scaleTable = Tensor.allocate(device, DType.F32, experts);
        rankTable.copyFrom(device, ranks);
        scaleTable.copyFrom(device, scales);
        return new Products.GroupedLora(
                Tensor.addresses(device, a),
                Tensor.addresses(device, b),
                null,
                null,
                rankTable,
                scaleTable,
                lora.rank());
    }

    /** Those that have an adapter. */
    List<LinearModule> modules() {
        return attached.stream()
                .flatMap(adapter -> adapter.experts().stream())
                .map(AdapterModule::module)
                .toList();
    }

    /** The experts' tensors by name, for every tensor that stands for them. */
    Map<String, List<String>> namesByTensor() {
        Map<String, List<String>> names = new LinkedHashMap<>();
        for (Attached adapter : attached) {
            for (Parameter parameter : List.of(adapter.a(), adapter.b())) {
                String end = parameter.name().substring(adapter.first().name().length());
                names.put(
                        parameter.name(),
                        adapter.experts().stream()
                                .map(expert -> expert.name() + end)
                                .toList());
            }
        }
        return names;
    }

    /** The current values, copied from the device: the same for every expert. */
    List<AdapterModule> values() {
        List<AdapterModule> values = new ArrayList<>();
        for (Attached adapter : attached) {
            float[] a = adapter.a().value().toFloats(device);
            float[] b = adapter.b().value().toFloats(device);
            for (AdapterModule expert : adapter.experts()) {
                values.add(new AdapterModule(
                        expert.module(), expert.name(), expert.r(), expert.alpha(), expert.scaling(), a, b));
            }
        }
        return values;
    }
}
