package dev.loranative.lora;

import dev.loranative.device.Device;
import dev.loranative.errors.UserException;
import dev.loranative.model.LoadedModel;
import dev.loranative.nn.DenseLinear;
import dev.loranative.nn.Parameter;
import dev.loranative.nn.ParameterArena;
import dev.loranative.nn.TrainedRows;
import dev.loranative.tensor.DType;
import dev.loranative.tensor.Ops;
import dev.loranative.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * The rows of the embedding, or of the head, among the {@link Adapters} of a model that are trained as they are. The
 * head of a model that ties it to the embedding follows the embedding's rows.
 */
final class TokenParts {

    private record Trained(String module, List<Integer> indices, Tensor index, Tensor original, Parameter parameter) {}

    private final LoadedModel model;
    private final Device device;
    private final ParameterArena arena;
    private final Ops ops;
    private final List<Trained> trained = new ArrayList<>();

    TokenParts(LoadedModel model, ParameterArena arena, Ops ops) {
        this.model = model;
        this.device = model.device();
        this.arena = arena;
        this.ops = ops;
    }

    /** Starts from the model's own rows. */
    void add(TokenTarget target) {
        Trained added = add(target.module(), target.indices());
        ops.elementwise().copy(added.original(), added.parameter().value());
    }

    void add(TokenRows rows) {
        Trained added = add(rows.module(), rows.indices());
        added.parameter().value().copyFrom(device, rows.values());
    }

    private Trained add(String module, List<Integer> indices) {
        Tensor table = table(module);
        for (int index : indices) {
            if (index < 0 || index >= table.dimension(0)) {
                throw UserException.badInput(
                        "trainable_token_indices: token " + index + " is not one of the " + table.dimension(0) + " of "
                                + module,
                        "name tokens from 0 to " + (table.dimension(0) - 1));
            }
        }
        Tensor index = Tensor.allocate(device, DType.I32, indices.size());
        index.copyFrom(device, indices.stream().mapToInt(Integer::intValue).toArray());
        Tensor original = Tensor.allocate(device, DType.F32, indices.size(), table.dimension(1));
        ops.norms().embeddingForward(table, index, original);
        Parameter parameter = arena.add(ParameterNames.tokens(module), original.dimension(0), original.dimension(1));
        Trained added = new Trained(module, indices, index, original, parameter);
        trained.add(added);
        return added;
    }

    private Tensor table(String module) {
        if (module.equals(model.embeddingName())) {
            return model.lm().embedding().table();
        }
        if (module.equals(model.headName()) && model.slot(module).orElseThrow().get() instanceof DenseLinear linear) {
            return linear.weight();
        }
        throw UserException.badInput(
                "trainable_token_indices: " + module + " is neither the embedding nor the head",
                "name " + model.embeddingName() + " or " + model.headName());
    }

    /** Puts everything that was added into the model. */
    void attach(Changes changes) {
        boolean headHasItsOwn = trained.stream().anyMatch(rows -> rows.module().equals(model.headName()));
        for (Trained added : trained) {
            TrainedRows rows = rows(added);
            boolean embedding = added.module().equals(model.embeddingName());
            if (embedding) {
                changes.make(
                        () -> model.lm().embedding().replaceRows(rows),
                        () -> model.lm().embedding().replaceRows(null));
            }
            if (!embedding || model.isTied()) {
                changes.make(
                        () -> model.lm().head().replaceRows(rows),
                        () -> model.lm().head().replaceRows(null));
            }
        }
    }

    private TrainedRows rows(Trained added) {
        int[] slots = new int[Math.toIntExact(model.lm().vocabulary())];
        Arrays.fill(slots, -1);
        for (int row = 0; row < added.indices().size(); row++) {
            slots[added.indices().get(row)] = row;
        }
        Tensor slotTensor = Tensor.allocate(device, DType.I32, slots.length);
        slotTensor.copyFrom(device, slots);
        Parameter parameter = added.parameter();
        return new TrainedRows(added.index(), slotTensor, added.original(), parameter.value(), parameter.gradient());
    }

    /** Number of rows. */
    int count() {
        return trained.stream().mapToInt(rows -> rows.indices().size()).sum();
    }

    /** The current values, copied from the device. */
    List<TokenRows> values() {
        return trained.stream()
                .map(rows -> new TokenRows(
                        rows.module(), rows.indices(), rows.parameter().value().toFloats(device)))
                .toList();
    }
}
