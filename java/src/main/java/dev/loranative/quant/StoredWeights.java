package dev.loranative.quant;

import dev.loranative.checkpoint.Checkpoint;
import dev.loranative.checkpoint.TensorStack;
import dev.loranative.errors.UserException;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/**
 * The 4-bit weights of a checkpoint. A weight is one if a quantisation state stands beside it, whatever lists
 * config.json holds.
 */
public final class StoredWeights {

    private final Map<String, StoredTensor> tensors;
    private final Map<String, List<StoredWeight>> held = new LinkedHashMap<>();
    private final Map<String, StoredWeight> weights = new LinkedHashMap<>();
    private final Set<String> parts = new HashSet<>();

    private StoredWeights(Map<String, StoredTensor> tensors, Map<String, TensorStack> stacks) {
        this.tensors = tensors;
        for (StoredTensor tensor : tensors.values()) {
            parts.addAll(tensor.partNames());
            List<StoredWeight> members = members(tensor, stacks.get(tensor.name()));
            held.put(tensor.name(), members);
            for (StoredWeight weight : members) {
                if (weights.put(weight.name(), weight) != null) {
                    throw broken(weight.name() + " is in 4 bits twice: by itself and in a tensor of several");
                }
            }
        }
    }

    /** Those of a model that has none. */
    public static StoredWeights none() {
        return new StoredWeights(Map.of(), Map.of());
    }

    /** Finds and checks them in a checkpoint in which every weight has a tensor. */
    public static StoredWeights of(Checkpoint checkpoint) {
        return of(checkpoint, Map.of());
    }

    /**
     * Finds and checks them.
     *
     * @param stacks tensors that may hold several weights, by name
     * @throws UserException for a weight of which a part is missing or wrong, and for states of other programs
     */
    public static StoredWeights of(Checkpoint checkpoint, Map<String, TensorStack> stacks) {
        Map<String, StoredTensor> tensors = new LinkedHashMap<>();
        for (String name : checkpoint.names()) {
            int state = name.indexOf(Part.STATE);
            if (state > 0) {
                StoredTensor tensor = read(checkpoint, name.substring(0, state), name);
                if (tensors.put(tensor.name(), tensor) != null) {
                    throw broken(tensor.name() + " has two quantisation states");
                }
            }
        }
        StoredWeights stored = new StoredWeights(tensors, stacks);
        for (String name : checkpoint.names()) {
            if (name.endsWith(".absmax") && !stored.isPart(name)) {
                String weight = name.substring(0, name.lastIndexOf('.'));
                throw broken(checkpoint.directory() + " holds " + name + ", but lacks "
                        + Part.state(weight, QuantType.NF4) + " (or " + QuantType.FP4.word() + ")");
            }
        }
        for (StoredWeight weight : stored.weights.values()) {
            if (!weight.name().equals(weight.tensor().name()) && checkpoint.contains(weight.name())) {
                throw broken(checkpoint.directory() + " holds " + weight.name() + " twice: by itself, and in "
                        + weight.tensor().name());
            }
        }
        return stored;
    }

    private static StoredTensor read(Checkpoint checkpoint, String weight, String stateName) {
        String writer = stateName.substring(weight.length() + Part.STATE.length());
        Optional<QuantType> type = writer.startsWith(Part.WRITER)
                ? QuantType.named(writer.substring(Part.WRITER.length()))
                : Optional.empty();
        if (type.isEmpty()) {
            throw UserException.badInput(
                    stateName + " is a quantisation of an unknown type",
                    "known are bitsandbytes' " + QuantType.words() + "; use the model in bfloat16, float16 or float32");
        }
        if (!checkpoint.contains(weight)) {
            throw broken(checkpoint.directory() + " holds " + stateName + ", but lacks " + weight);
        }
        return StoredTensor.read(checkpoint, weight, stateName);
    }

    private static List<StoredWeight> members(StoredTensor tensor, TensorStack stack) {
        List<Long> shape = tensor.state().shape();
        if (stack == null) {
            return List.of(new StoredWeight(tensor.name(), tensor, 0, shape));
        }
        if (!shape.equals(stack.shape())) {
            throw UserException.badInput(
                    tensor.name() + " is " + shape + " in " + tensor.stateName() + " instead of " + stack.shape(),
                    "check that config.json belongs to these weights");
        }
        List<StoredWeight> members = new ArrayList<>();
        for (String name : stack.members()) {
            long first = members.size() * stack.memberElements();
            members.add(new StoredWeight(name, tensor, first, stack.memberShape()));
        }
        return members;
    }

    public boolean isEmpty() {
        return weights.isEmpty();
    }

    /** All, in the order of the files. */
    public Collection<StoredWeight> all() {
        return Collections.unmodifiableCollection(weights.values());
    }

    /** The weight of this name, empty if it is not in 4 bits. */
    public Optional<StoredWeight> find(String weight) {
        return Optional.ofNullable(weights.get(weight));
    }

    /** Whether a tensor stands beside 4-bit codes and holds none itself. */
    public boolean isPart(String name) {
        return parts.contains(name);
    }

    /** The weights in a tensor of codes: one, or those of several experts; none if it is not in 4 bits. */
    public List<StoredWeight> in(String tensor) {
        return held.getOrDefault(tensor, List.of());
    }

    /** What stands beside a tensor of codes; nothing if it is not in 4 bits. */
    public Set<String> partsOf(String tensor) {
        return tensors.containsKey(tensor) ? tensors.get(tensor).partNames() : Set.of();
    }

    private static UserException broken(String what) {
        return UserException.badInput(what, "copy or download the checkpoint again");
    }
}
