package dev.loranative.lora;

import dev.loranative.device.Device;
import dev.loranative.errors.UserException;
import dev.loranative.model.ExpertPlace;
import dev.loranative.model.LinearModule;
import dev.loranative.model.LoadedModel;
import dev.loranative.nn.AdapterDropout;
import dev.loranative.nn.DenseLinear;
import dev.loranative.nn.DoraLinear;
import dev.loranative.nn.FrozenExpertUpdates;
import dev.loranative.nn.FrozenUpdate;
import dev.loranative.nn.GroupedLinear;
import dev.loranative.nn.Linear;
import dev.loranative.nn.LinearSlot;
import dev.loranative.nn.LoraLinear;
import dev.loranative.nn.Parameter;
import dev.loranative.nn.ParameterArena;
import dev.loranative.tensor.DType;
import dev.loranative.tensor.ExpertWeights;
import dev.loranative.tensor.Ops;
import dev.loranative.tensor.Products;
import dev.loranative.tensor.Tensor;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;

/** The low-rank updates among the {@link Adapters} of a model: parameters in the arena, attached to its linear layers. */
final class LoraParts {

    /**
     * What is attached: a module, its settings, its tensors.
     *
     * @param bias [1, out], or null
     * @param magnitude [1, out], or null
     * @param measured whether the magnitude has a value; otherwise it begins as the length of the rows
     * @param start what was taken out of the base, or null
     */
    private record Attached(
            LinearModule module,
            String name,
            int r,
            double alpha,
            double scaling,
            Parameter a,
            Parameter b,
            Parameter bias,
            Parameter magnitude,
            boolean measured,
            SubtractedStart start) {

        Products.Lora lora() {
            return new Products.Lora(a.value(), b.value(), a.gradient(), b.gradient(), (float) scaling);
        }

        FrozenUpdate frozen(Device device, int rank) {
            SubtractedStart.AdapterModuleSize size =
                    new SubtractedStart.AdapterModuleSize(module.in(), module.out(), r, scaling);
            return start.on(device, size, rank);
        }
    }

    /** What attaching does to one place of the model, and how it is taken back. */
    private record Change(Runnable apply, Runnable revert) {}

    private final Device device;
    private final ParameterArena arena;
    private final List<Attached> attached = new ArrayList<>();
    private final List<Change> changes = new ArrayList<>();

    LoraParts(Device device, ParameterArena arena) {
        this.device = device;
        this.arena = arena;
    }

    /** An update with all its values. */
    void add(AdapterModule module) {
        add(module, null);
    }

    /** @param start what was taken out of the base, or null */
    void add(AdapterModule module, SubtractedStart start) {
        add(module, module.bias().isPresent(), module.magnitude().isPresent(), start);
        Attached added = attached.getLast();
        module.bias().ifPresent(values -> added.bias().value().copyFrom(device, values));
        module.magnitude().ifPresent(values -> added.magnitude().value().copyFrom(device, values));
    }

    /** A new update: its bias begins at zero, its magnitude so that the layer is unchanged. */
    void add(Target target, AdapterInit.Values values) {
        add(AdapterModule.of(target, values.a(), values.b()), target.bias(), target.dora(), values.start());
    }

    private void add(AdapterModule module, boolean bias, boolean magnitude, SubtractedStart start) {
        LinearModule linear = module.module();
        boolean inRow = linear.kind() == LinearModule.Kind.EXPERT || linear.kind() == LinearModule.Kind.ROUTER;
        if ((bias || magnitude) && inRow) {
            throw UserException.badInput(
                    (magnitude ? "use_dora" : "lora_bias") + " cannot be used on " + module.name() + ", a "
                            + linear.kind().name().toLowerCase(Locale.ROOT),
                    "PEFT has it for ordinary linear layers alone: leave experts and routers out of the targets");
        }
        if (bias && magnitude) {
            throw UserException.badInput(
                    module.name() + " has both a bias of lora_B and a magnitude vector",
                    "use_dora and lora_bias cannot be used together");
        }
        String name = module.name();
        Parameter a = arena.add(ParameterNames.a(name), module.r(), linear.in());
        Parameter b = arena.add(ParameterNames.b(name), linear.out(), module.r());
        a.value().copyFrom(device, module.a());
        b.value().copyFrom(device, module.b());
        attached.add(new Attached(
                linear,
                name,
                module.r(),
                module.alpha(),
                module.scaling(),
                a,
                b,
                bias ? arena.add(ParameterNames.bias(name), 1, linear.out()) : null,
                magnitude ? arena.add(ParameterNames.magnitude(name), 1, linear.out()) : null,
                module.magnitude().isPresent(),
                start));
    }

    /** Puts everything that was added into the model. */
    void attach(LoadedModel model, double dropout) {
        Map<GroupedLinear, Map<Integer, Attached>> byProjection = new LinkedHashMap<>();
        for (Attached adapter : attached) {
            AdapterDropout adapterDropout = new AdapterDropout((float) dropout, model.number(adapter.module()));
            LinearModule module = adapter.module();
            if (module.kind() == LinearModule.Kind.EXPERT) {
                ExpertPlace place = model.expert(module);
                byProjection
                        .computeIfAbsent(place.projection(), _ -> new LinkedHashMap<>())
                        .put(place.expert(), adapter);
            } else {
                LinearSlot slot = model.slot(module);
                DenseLinear base = (DenseLinear) slot.get();
                Linear adapted = linear(adapter, base, adapterDropout);
                changes.add(new Change(() -> slot.set(adapted), () -> slot.set(base)));
            }
        }
        byProjection.forEach((projection, adapters) -> {
            int module = model.number(adapters.values().iterator().next().module());
            Products.GroupedLora lora = grouped(projection, adapters);
            AdapterDropout adapterDropout = new AdapterDropout((float) dropout, module);
            FrozenExpertUpdates taken = frozen(projection, adapters);
            changes.add(new Change(
                    () -> {
                        projection.adapt(lora, adapterDropout);
                        projection.addToBase(taken);
                    },
                    () -> {
                        projection.adapt(null, null);
                        projection.addToBase(null);
                    }));
        });
        reattach();
    }

    /** Takes everything out of the model again; the values stay on the device. */
    void detach() {
        changes.forEach(change -> change.revert().run());
    }

    /** After {@link #detach}. */
    void reattach() {
        changes.forEach(change -> change.apply().run());
    }

    private Linear linear(Attached adapter, DenseLinear base, AdapterDropout dropout) {
        if (adapter.magnitude() == null) {
            return new LoraLinear(
                    base,
                    adapter.lora(),
                    dropout,
                    adapter.bias(),
                    adapter.start() == null ? null : adapter.frozen(device, adapter.r()));
        }
        if (!adapter.measured()) {
            new Ops(device)
                    .dora()
                    .norms(base.weight(), adapter.lora(), adapter.magnitude().value());
        }
        Tensor norms = Tensor.allocate(device, DType.F32, base.out());
        return new DoraLinear(base, adapter.lora(), adapter.magnitude(), dropout, norms);
    }

    /** Device tables with an entry per expert. */
    private Products.GroupedLora grouped(GroupedLinear projection, Map<Integer, Attached> adapters) {
        int experts = Math.toIntExact(projection.experts());
        Tensor[] a = new Tensor[experts];
        Tensor[] b = new Tensor[experts];
        Tensor[] gradA = new Tensor[experts];
        Tensor[] gradB = new Tensor[experts];
        int[] ranks = new int[experts];
        float[] scales = new float[experts];
        int maxRank = 0;
        for (Map.Entry<Integer, Attached> entry : adapters.entrySet()) {
            int expert = entry.getKey();
            Attached adapter = entry.getValue();
            a[expert] = adapter.a().value();
            b[expert] = adapter.b().value();
            gradA[expert] = adapter.a().gradient();
            gradB[expert] = adapter.b().gradient();
            ranks[expert] = adapter.r();
            scales[expert] = (float) adapter.scaling();
            maxRank = Math.max(maxRank, adapter.r());
        }
        Tensor rankTable = Tensor.allocate(device, DType.I32, experts);
        Tensor scaleTable = Tensor.allocate(device, DType.F32, experts);
        rankTable.copyFrom(device, ranks);
        scaleTable.copyFrom(device, scales);
        boolean trainable = arena.gradients() != null;
        return new Products.GroupedLora(
                Tensor.addresses(device, a),
                Tensor.addresses(device, b),
                trainable ? Tensor.addresses(device, gradA) : null,
                trainable ? Tensor.addresses(device, gradB) : null,
                rankTable,
                scaleTable,
                maxRank);
    }

    /** What was taken out of the experts; null where it is nothing. */
    private FrozenExpertUpdates frozen(GroupedLinear projection, Map<Integer, Attached> adapters) {
        if (adapters.values().stream().allMatch(adapter -> adapter.start() == null)) {
            return null;
        }
        int rank = adapters.values().stream().mapToInt(Attached::r).max().orElseThrow();
        Tensor[] a = new Tensor[Math.toIntExact(projection.experts())];
        Tensor[] b = new Tensor[a.length];
        for (int expert = 0; expert < a.length; expert++) {
            Attached adapter = adapters.get(expert);
            FrozenUpdate update = adapter == null || adapter.start() == null
                    ? new FrozenUpdate(
                            Tensor.allocate(device, DType.F32, rank, projection.in()),
                            Tensor.allocate(device, DType.F32, projection.out(), rank))
                    : adapter.frozen(device, rank);
            a[expert] = update.a();
            b[expert] = update.b();
        }
        return new FrozenExpertUpdates(new ExpertWeights(device, a), new ExpertWeights(device, b));
    }

    /** Device memory besides the arena: what was taken out of the base, lengths of rows. */
    long bytesBesideArena() {
        long numbers = 0;
        for (Attached adapter : attached) {
            numbers += adapter.start() == null
                    ? 0
                    : adapter.start().a().length + adapter.start().b().length;
            numbers += adapter.magnitude() == null ? 0 : adapter.module().out();
        }
        return numbers * Float.BYTES;
    }

    /** Those that have an adapter. */
    List<LinearModule> modules() {
        return attached.stream().map(Attached::module).toList();
    }

    /** The current values, copied from the device; with what was taken out of the base, if anything was. */
    List<AdapterModule> values() {
        return attached.stream().map(this::values).toList();
    }

    private AdapterModule values(Attached adapter) {
        AdapterModule trained = new AdapterModule(
                adapter.module(),
                adapter.name(),
                adapter.r(),
                adapter.alpha(),
                adapter.scaling(),
                adapter.a().value().toFloats(device),
                adapter.b().value().toFloats(device),
                values(adapter.bias()),
                values(adapter.magnitude()));
        return adapter.start() == null ? trained : adapter.start().withTrained(trained);
    }

    private Optional<float[]> values(Parameter parameter) {
        return Optional.ofNullable(parameter).map(present -> present.value().toFloats(device));
    }
}
