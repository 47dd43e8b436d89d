package dev.loranative.lora;

import dev.loranative.device.Device;
import dev.loranative.errors.UserException;
import dev.loranative.model.LoadedModel;
import dev.loranative.nn.DenseLinear;
import dev.loranative.nn.Embedding;
import dev.loranative.nn.LinearSlot;
import dev.loranative.nn.Parameter;
import dev.loranative.nn.ParameterArena;
import dev.loranative.nn.RmsNorm;
import dev.loranative.tensor.Ops;
import dev.loranative.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * The tensors among the {@link Adapters} of a model that are trained as they are: float32 copies in the arena stand in
 * the places of the model's own.
 *
 * <p>Embedding and head of a model that ties them are one tensor under the embedding's name.
 */
final class FullParts {

    private static final String WEIGHT = ".weight";
    private static final String BIAS = ".bias";

    private record Trained(String name, List<Long> shape, Parameter parameter) {

        /** In the tensor's own shape: the arena has rows and columns. */
        Tensor value() {
            return shaped(parameter.value());
        }

        /** Like {@link #value}; null when frozen. */
        Tensor gradient() {
            return parameter.gradient() == null ? null : shaped(parameter.gradient());
        }

        private Tensor shaped(Tensor tensor) {
            return tensor.reshape(shape.stream().mapToLong(Long::longValue).toArray());
        }
    }

    private final Device device;
    private final ParameterArena arena;
    private final LoadedModel model;
    private final Ops ops;
    private final List<Trained> trained = new ArrayList<>();

    FullParts(LoadedModel model, ParameterArena arena, Ops ops) {
        this.device = model.device();
        this.arena = arena;
        this.model = model;
        this.ops = ops;
    }

    /** Starts from the model's own values. */
    void add(FullTarget target) {
        Tensor own = own(target.name());
        Tensor value = add(target.name(), target.shape()).value();
        if (own.dtype().isQuantized()) {
            ops.quantization().dequantize(own, 0, value);
        } else {
            ops.elementwise().cast(own, value);
        }
    }

    void add(FullTensor tensor) {
        own(tensor.name());
        add(tensor.name(), tensor.shape()).value().copyFrom(device, tensor.values());
    }

    private Trained add(String name, List<Long> shape) {
        long rows = shape.size() == 1 ? 1 : shape.getFirst();
        Trained added = new Trained(name, shape, arena.add(name, rows, shape.getLast()));
        trained.add(added);
        return added;
    }

    /** Puts everything that was added into the model; low-rank updates come after it. */
    void attach(Changes changes) {
        for (Trained tensor : trained) {
            attach(tensor.name(), tensor.value(), tensor.gradient(), changes);
            if (model.isTied() && module(tensor.name()).equals(model.embeddingName())) {
                attach(model.headName() + WEIGHT, tensor.value(), tensor.gradient(), changes);
            }
        }
    }

    private void attach(String name, Tensor value, Tensor gradient, Changes changes) {
        String module = module(name);
        if (module.equals(model.embeddingName())) {
            Embedding embedding = model.lm().embedding();
            Tensor table = embedding.table();
            changes.make(() -> embedding.replaceTable(value, gradient), () -> embedding.replaceTable(table, null));
            return;
        }
        Optional<RmsNorm> norm = model.norm(module);
        if (norm.isPresent()) {
            Tensor weight = norm.get().weight();
            changes.make(
                    () -> norm.get().replaceWeight(value, gradient),
                    () -> norm.get().replaceWeight(weight, null));
            return;
        }
        LinearSlot slot = model.slot(module).orElseThrow(() -> unknown(name));
        DenseLinear linear = (DenseLinear) slot.get();
        DenseLinear replaced =
                name.endsWith(BIAS) ? linear.withBias(value, gradient) : linear.withWeight(value, gradient);
        changes.make(() -> slot.set(replaced), () -> slot.set(linear));
    }

    /** The model's own tensor. */
    private Tensor own(String name) {
        String module = module(name);
        if (module.equals(model.embeddingName())) {
            return model.lm().embedding().table();
        }
        Optional<RmsNorm> norm = model.norm(module);
        if (norm.isPresent()) {
            return norm.get().weight();
        }
        DenseLinear linear = (DenseLinear)
                model.slot(module).orElseThrow(() -> unknown(name)).get();
        Tensor own = name.endsWith(BIAS) ? linear.bias() : linear.weight();
        if (own == null) {
            throw unknown(name);
        }
        return own;
    }

    private static String module(String name) {
        if (!name.endsWith(WEIGHT) && !name.endsWith(BIAS)) {
            throw unknown(name);
        }
        return name.substring(0, name.lastIndexOf('.'));
    }

    private static UserException unknown(String name) {
        return UserException.badInput(
                name + " cannot be trained in full",
                "modules_to_save takes routers, norms, embeddings, the head and other linear layers, but no experts;"
                        + " name experts in target_modules");
    }

    /** Number of tensors. */
    int count() {
        return trained.size();
    }

    /** The current values, copied from the device. */
    List<FullTensor> values() {
        return trained.stream()
                .map(tensor -> new FullTensor(
                        tensor.name(),
                        tensor.shape(),
                        tensor.parameter().value().toFloats(device)))
                .toList();
    }
}
