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
import java.util.Arrays;
import java.util.List;
import java.util.Optional;

/**
 * The tensors among the {@link Adapters} of a model that are trained as they are: float32 copies in the arena stand in
 * the places of the model's own.
 *
 * <p>Embedding and head of a model that ties them are trained as one tensor: naming either one means both. In a file they
 * are two equal tensors, as PEFT writes them with {@code ensure_weight_tying}; a file with one of them, or two that
 * differ, unties them, as PEFT does.
 */
final class FullParts {

    private static final String WEIGHT = ".weight";
    private static final String BIAS = ".bias";

    /** @param names of the tensors in the checkpoint that share the parameter */
    private record Trained(List<String> names, List<Long> shape, Parameter parameter) {

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

    /** Targets without those that tying makes one with another. */
    static List<FullTarget> distinct(List<FullTarget> targets, LoadedModel model) {
        if (!model.isTied()) {
            return targets;
        }
        String embedding = model.embeddingName() + WEIGHT;
        String head = model.headName() + WEIGHT;
        List<FullTarget> distinct = new ArrayList<>();
        boolean taken = false;
        for (FullTarget target : targets) {
            boolean either = target.name().equals(embedding) || target.name().equals(head);
            if (!either) {
                distinct.add(target);
            } else if (!taken) {
                distinct.add(new FullTarget(embedding, target.shape(), target.origin()));
                taken = true;
            }
        }
        return distinct;
    }

    /** Tensors of a file without those that tying makes one with another. */
    static List<FullTensor> distinctTensors(List<FullTensor> tensors, LoadedModel model) {
        Optional<FullTensor> embedding = find(tensors, model.embeddingName() + WEIGHT);
        Optional<FullTensor> head = find(tensors, model.headName() + WEIGHT);
        boolean one = model.isTied()
                && embedding.isPresent()
                && head.isPresent()
                && Arrays.equals(embedding.get().values(), head.get().values());
        return one ? tensors.stream().filter(tensor -> tensor != head.get()).toList() : tensors;
    }

    private static Optional<FullTensor> find(List<FullTensor> tensors, String name) {
        return tensors.stream().filter(tensor -> tensor.name().equals(name)).findFirst();
    }

    /** Starts from the model's own values. */
    void add(FullTarget target) {
        Tensor own = own(target.name());
        Trained added = add(names(target.name(), model.isTied()), target.shape());
        ops.elementwise().cast(own, added.value());
    }

    /** @param shared whether the tensor stands for a tied one that the file holds, too */
    void add(FullTensor tensor, boolean shared) {
        own(tensor.name());
        Trained added = add(names(tensor.name(), shared), tensor.shape());
        added.value().copyFrom(device, tensor.values());
    }

    private List<String> names(String name, boolean tied) {
        return tied && name.equals(model.embeddingName() + WEIGHT)
                ? List.of(name, model.headName() + WEIGHT)
                : List.of(name);
    }

    private Trained add(List<String> names, List<Long> shape) {
        long rows = shape.size() == 1 ? 1 : shape.getFirst();
        long columns = shape.getLast();
        Trained added = new Trained(names, shape, arena.add(names.getFirst(), rows, columns));
        trained.add(added);
        return added;
    }

    /** Puts everything that was added into the model; low-rank updates come after it. */
    void attach(Changes changes) {
        for (Trained tensor : trained) {
            for (String name : tensor.names()) {
                attach(name, tensor.value(), tensor.gradient(), changes);
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

    /** The current values, copied from the device; a tied tensor under both its names. */
    List<FullTensor> values() {
        List<FullTensor> values = new ArrayList<>();
        for (Trained tensor : trained) {
            float[] numbers = tensor.parameter().value().toFloats(device);
            tensor.names().forEach(name -> values.add(new FullTensor(name, tensor.shape(), numbers)));
        }
        return values;
    }
}
