package dev.loranative.lora;

import dev.loranative.device.Device;
import dev.loranative.errors.UserException;
import dev.loranative.model.LinearModule;
import dev.loranative.model.LoadedModel;
import dev.loranative.nn.Embedding;
import dev.loranative.nn.Parameter;
import dev.loranative.nn.ParameterArena;
import dev.loranative.tensor.Products;
import java.util.ArrayList;
import java.util.List;

/**
 * The low-rank update of the embedding among the {@link Adapters} of a model. A head that is tied to the embedding stays
 * as it is, as in PEFT. A lies in the arena as [vocabulary, r], so that a token's column of PEFT's [r, vocabulary] is a row.
 */
final class EmbeddingParts {

    private record Attached(AdapterModule first, Parameter a, Parameter b) {}

    private final Device device;
    private final ParameterArena arena;
    private final List<Attached> attached = new ArrayList<>();

    EmbeddingParts(Device device, ParameterArena arena) {
        this.device = device;
        this.arena = arena;
    }

    /** A new update. */
    void add(Target target, AdapterInit.Values values) {
        if (target.dora() || target.bias()) {
            throw unsupported(
                    target.dora() ? "use_dora" : "lora_bias", target.module().name());
        }
        add(AdapterModule.of(target, values.a(), values.b()));
    }

    private static UserException unsupported(String setting, String module) {
        return UserException.badInput(
                setting + " cannot be used on " + module + ", an embedding",
                "leave the embedding out of the targets, train it in full (modules_to_save), or leave " + setting
                        + " out");
    }

    /** An update with all its values. */
    void add(AdapterModule module) {
        if (module.bias().isPresent() || module.magnitude().isPresent()) {
            throw unsupported(module.bias().isPresent() ? "lora_bias" : "use_dora", module.name());
        }
        int r = module.r();
        Parameter a = arena.add(
                ParameterNames.embeddingA(module.name()), module.module().out(), r);
        Parameter b = arena.add(
                ParameterNames.embeddingB(module.name()), module.module().in(), r);
        a.value().copyFrom(device, transposed(module.a(), r));
        b.value().copyFrom(device, module.b());
        attached.add(new Attached(module, a, b));
    }

    /** Puts everything that was added into the model. */
    void attach(LoadedModel model, Changes changes) {
        Embedding embedding = model.lm().embedding();
        for (Attached adapter : attached) {
            Parameter a = adapter.a();
            Parameter b = adapter.b();
            float scaling = (float) adapter.first().scaling();
            Products.Lora lora = new Products.Lora(a.value(), b.value(), a.gradient(), b.gradient(), scaling);
            changes.make(() -> embedding.adapt(lora), () -> embedding.adapt(null));
        }
    }

    /** Those that have an adapter. */
    List<LinearModule> modules() {
        return attached.stream().map(adapter -> adapter.first().module()).toList();
    }

    /** The current values, copied from the device. */
    List<AdapterModule> values() {
        List<AdapterModule> values = new ArrayList<>();
        for (Attached adapter : attached) {
            AdapterModule first = adapter.first();
            float[] a = adapter.a().value().toFloats(device);
            values.add(new AdapterModule(
                    first.module(),
                    first.name(),
                    first.r(),
                    first.alpha(),
                    first.scaling(),
                    transposed(a, a.length / first.r()),
                    adapter.b().value().toFloats(device)));
        }
        return values;
    }

    /** What stands in the arena for A, as PEFT has it; other tensors as they are. */
    float[] inShapeOfFile(Parameter parameter, float[] values) {
        boolean isA = attached.stream().anyMatch(adapter -> adapter.a() == parameter);
        return isA ? transposed(values, Math.toIntExact(parameter.value().dimension(0))) : values;
    }

    /** From [rows, columns] to [columns, rows]. */
    private static float[] transposed(float[] values, int rows) {
        int columns = values.length / rows;
        float[] result = new float[values.length];
        for (int row = 0; row < rows; row++) {
            for (int column = 0; column < columns; column++) {
                result[column * rows + row] = values[row * columns + column];
            }
        }
        return result;
    }
}
