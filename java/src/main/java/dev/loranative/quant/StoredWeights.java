package dev.loranative.quant;

import dev.loranative.checkpoint.Checkpoint;
import dev.loranative.errors.UserException;
import java.util.Collection;
import java.util.Collections;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/**
 * The 4-bit weights of a checkpoint. A weight is one if a quantisation state stands beside it, whatever lists
 * config.json holds.
 */
public final class StoredWeights {

    private final Map<String, StoredWeight> weights;
    private final Set<String> parts = new HashSet<>();

    private StoredWeights(Map<String, StoredWeight> weights) {
        this.weights = weights;
        weights.values().forEach(weight -> parts.addAll(weight.partNames()));
    }

    /**
     * Finds and checks them.
     *
     * @throws UserException for a weight of which a part is missing or wrong, and for states of other programs
     */
    public static StoredWeights of(Checkpoint checkpoint) {
        Map<String, StoredWeight> weights = new LinkedHashMap<>();
        for (String name : checkpoint.names()) {
            int state = name.indexOf(Part.STATE);
            if (state > 0) {
                StoredWeight weight = read(checkpoint, name.substring(0, state), name);
                if (weights.put(weight.name(), weight) != null) {
                    throw broken(weight.name() + " has two quantisation states");
                }
            }
        }
        StoredWeights stored = new StoredWeights(weights);
        for (String name : checkpoint.names()) {
            if (name.endsWith(".absmax") && !stored.isPart(name)) {
                String weight = name.substring(0, name.lastIndexOf('.'));
                throw broken(checkpoint.directory() + " holds " + name + ", but lacks "
                        + Part.state(weight, QuantType.NF4) + " (or " + QuantType.FP4.word() + ")");
            }
        }
        return stored;
    }

    private static StoredWeight read(Checkpoint checkpoint, String weight, String stateName) {
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
        return StoredWeight.read(checkpoint, weight, stateName);
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

    /** Whether a tensor stands beside a 4-bit weight and is no weight itself. */
    public boolean isPart(String name) {
        return parts.contains(name);
    }

    private static UserException broken(String what) {
        return UserException.badInput(what, "copy or download the checkpoint again");
    }
}
