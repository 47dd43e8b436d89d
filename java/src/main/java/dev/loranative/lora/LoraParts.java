package dev.loranative.lora;

import dev.loranative.device.Device;
import dev.loranative.model.ExpertPlace;
import dev.loranative.model.LinearModule;
import dev.loranative.model.LoadedModel;
import dev.loranative.nn.AdapterDropout;
import dev.loranative.nn.DenseLinear;
import dev.loranative.nn.GroupedLinear;
import dev.loranative.nn.LinearSlot;
import dev.loranative.nn.LoraLinear;
import dev.loranative.nn.Parameter;
import dev.loranative.nn.ParameterArena;
import dev.loranative.tensor.DType;
import dev.loranative.tensor.Products;
import dev.loranative.tensor.Tensor;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** The low-rank updates among the {@link Adapters} of a model: parameters in the arena, attached to its linear layers. */
final class LoraParts {

    /** What is attached: a module, its settings, its two tensors. */
    private record Attached(
            LinearModule module, String name, int r, double alpha, double scaling, Parameter a, Parameter b) {}

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

    void add(AdapterModule module) {
        Parameter a = arena.add(
                module.name() + ".lora_A.weight", module.r(), module.module().in());
        Parameter b =
                arena.add(module.name() + ".lora_B.weight", module.module().out(), module.r());
        a.value().copyFrom(device, module.a());
        b.value().copyFrom(device, module.b());
        attached.add(new Attached(module.module(), module.name(), module.r(), module.alpha(), module.scaling(), a, b));
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
                Products.Lora lora = new Products.Lora(
                        adapter.a().value(),
                        adapter.b().value(),
                        adapter.a().gradient(),
                        adapter.b().gradient(),
                        (float) adapter.scaling());
                DenseLinear base = (DenseLinear) slot.get();
                LoraLinear adapted = new LoraLinear(base, lora, adapterDropout);
                changes.add(new Change(() -> slot.set(adapted), () -> slot.set(base)));
            }
        }
        byProjection.forEach((projection, adapters) -> {
            int module = model.number(adapters.values().iterator().next().module());
            Products.GroupedLora lora = grouped(projection, adapters);
            AdapterDropout adapterDropout = new AdapterDropout((float) dropout, module);
            changes.add(new Change(() -> projection.adapt(lora, adapterDropout), () -> projection.adapt(null, null)));
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

    /** Those that have an adapter. */
    List<LinearModule> modules() {
        return attached.stream().map(Attached::module).toList();
    }

    /** The current values, copied from the device. */
    List<AdapterModule> values() {
        return attached.stream()
                .map(adapter -> new AdapterModule(
                        adapter.module(),
                        adapter.name(),
                        adapter.r(),
                        adapter.alpha(),
                        adapter.scaling(),
                        adapter.a().value().toFloats(device),
                        adapter.b().value().toFloats(device)))
                .toList();
    }
}
