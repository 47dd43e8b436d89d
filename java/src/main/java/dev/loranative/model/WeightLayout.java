package dev.loranative.model;

import dev.loranative.checkpoint.Checkpoint;
import dev.loranative.checkpoint.ElementType;
import dev.loranative.checkpoint.TensorEntry;
import dev.loranative.checkpoint.TensorStack;
import dev.loranative.errors.UserException;
import dev.loranative.quant.StoredWeight;
import dev.loranative.quant.StoredWeights;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/**
 * The tensors that a model's checkpoint must hold, and their shapes.
 *
 * @param shapes by name as in the checkpoint; a tied head has no tensor
 * @param stacks by name, tensors that may hold several of these
 * @param tiedHead the tensor that a checkpoint may hold as a second copy of {@code embedding}; null if the head is not
 *     tied
 */
public record WeightLayout(
        Map<String, List<Long>> shapes, Map<String, TensorStack> stacks, String embedding, String tiedHead) {

    private static final Set<ElementType> FLOATS = Set.of(ElementType.F32, ElementType.F16, ElementType.BF16);

    /** Names in an error message; the others are only counted. */
    private static final int NAMED = 3;

    public WeightLayout {
        shapes = Collections.unmodifiableMap(new LinkedHashMap<>(shapes));
    }

    public static WeightLayout of(ModelConfig config) {
        TensorNames names = TensorNames.of(config.family());
        Map<String, List<Long>> shapes =
                new LinkedHashMap<>(ModuleTree.of(config).tensors());
        String head = weight(names.head());
        if (config.tieWordEmbeddings()) {
            shapes.remove(head);
        }
        return new WeightLayout(
                shapes, StackedExperts.of(config), weight(names.embedding()), config.tieWordEmbeddings() ? head : null);
    }

    private static String weight(String module) {
        return module + ".weight";
    }

    /** Parameters of the model; a tied head counts once. */
    public long parameters() {
        return shapes.values().stream()
                .mapToLong(shape -> shape.stream().reduce(1L, Math::multiplyExact))
                .reduce(0, Math::addExact);
    }

    /**
     * Compares with a checkpoint, whose tensors must be these and no others, of these shapes, and of a type that can be
     * computed with: F32, F16 or BF16, or 4 bits for a linear layer. Reads no weights, except to compare a tied head's
     * second copy.
     *
     * @param stored the checkpoint's 4-bit weights
     * @throws UserException naming the first tensors that differ, and how many do
     */
    public void check(Checkpoint checkpoint, StoredWeights stored) {
        check(checkpoint, stored, false);
    }

    /** @param extras whether the checkpoint may hold tensors besides these */
    void check(Checkpoint checkpoint, StoredWeights stored, boolean extras) {
        checkStacks(checkpoint, stored);
        List<String> missing = shapes.keySet().stream()
                .filter(name -> !checkpoint.contains(name) && stored.find(name).isEmpty())
                .toList();
        List<String> unexpected = checkpoint.names().stream()
                .filter(name -> !shapes.containsKey(name)
                        && !isTolerated(name)
                        && !stored.isPart(name)
                        && !holdsExpected(stored.in(name)))
                .toList();
        if (!unexpected.isEmpty() && unexpected.stream().anyMatch(WeightLayout::isQuantizationState)) {
            throw UserException.badInput(
                    checkpoint.directory() + " holds weights in a quantised format that cannot be read ("
                            + some(unexpected) + ")",
                    "4-bit weights of bitsandbytes (nf4, fp4) can be; or use the model in bfloat16, float16 or float32");
        }
        if (!missing.isEmpty()) {
            throw UserException.badInput(
                    checkpoint.directory() + " lacks " + missing.size() + " of " + shapes.size() + " tensors: "
                            + some(missing) + (unexpected.isEmpty() ? "" : "; it holds instead " + some(unexpected)),
                    "check that config.json belongs to these weights and that no file is missing");
        }
        if (!unexpected.isEmpty() && !extras) {
            throw UserException.badInput(
                    checkpoint.directory() + " holds " + unexpected.size() + " tensors that the model does not have: "
                            + some(unexpected),
                    "check that config.json belongs to these weights");
        }
        checkEntries(checkpoint, stored);
        checkTiedHead(checkpoint);
    }

    private boolean holdsExpected(List<StoredWeight> weights) {
        return !weights.isEmpty() && weights.stream().allMatch(weight -> shapes.containsKey(weight.name()));
    }

    /** Tensors of several that have the right shape are not found here under their own names. */
    private void checkStacks(Checkpoint checkpoint, StoredWeights stored) {
        List<String> wrong = checkpoint.names().stream()
                .filter(name -> stacks.containsKey(name) && stored.in(name).isEmpty())
                .map(name -> name + " is " + checkpoint.entry(name).shape() + " instead of "
                        + stacks.get(name).shape())
                .toList();
        requireNone(wrong, checkpoint);
    }

    private static void requireNone(List<String> wrongShapes, Checkpoint checkpoint) {
        if (!wrongShapes.isEmpty()) {
            throw UserException.badInput(
                    checkpoint.directory() + " does not fit its config.json: " + some(wrongShapes),
                    "check that config.json belongs to these weights");
        }
    }

    private void checkEntries(Checkpoint checkpoint, StoredWeights stored) {
        List<String> wrongShapes = new ArrayList<>();
        List<String> wrongTypes = new ArrayList<>();
        shapes.forEach((name, shape) -> {
            Optional<StoredWeight> quantized = stored.find(name);
            if (quantized.isPresent()) {
                List<Long> found = quantized.get().shape();
                if (!found.equals(shape)) {
                    wrongShapes.add(
                            name + " is " + found + " in " + quantized.get().stateName() + " instead of " + shape);
                }
                return;
            }
            TensorEntry entry = checkpoint.entry(name);
            if (!entry.shape().equals(shape)) {
                wrongShapes.add(name + " is " + entry.shape() + " instead of " + shape);
            }
            if (!FLOATS.contains(entry.type())) {
                wrongTypes.add(name + " is " + entry.type());
            }
        });
        if (!wrongTypes.isEmpty()) {
            throw UserException.badInput(
                    checkpoint.directory() + " has tensors of a type that cannot be trained on: " + some(wrongTypes),
                    "use the model in bfloat16, float16 or float32 (BF16, F16, F32), or in bitsandbytes' 4-bit format");
        }
        requireNone(wrongShapes, checkpoint);
    }

    private void checkTiedHead(Checkpoint checkpoint) {
        // transformers does not tie such a pair if it differs; then the configuration is wrong, and we say so.
        if (tiedHead != null
                && checkpoint.contains(tiedHead)
                && checkpoint.data(tiedHead).mismatch(checkpoint.data(embedding)) != -1) {
            throw UserException.badInput(
                    checkpoint.directory() + " has tie_word_embeddings true, but " + tiedHead + " differs from "
                            + embedding,
                    "set tie_word_embeddings to false in config.json to use both");
        }
    }

    private boolean isTolerated(String name) {
        // Old checkpoints carry the rotary frequencies, which follow from the configuration.
        return name.equals(tiedHead) || name.endsWith(".rotary_emb.inv_freq");
    }

    private static boolean isQuantizationState(String name) {
        return name.endsWith(".qweight")
                || name.endsWith(".SCB")
                || name.endsWith(".weight_scale_inv")
                || name.endsWith(".weight_packed");
    }

    private static String some(List<String> items) {
        String named = String.join(", ", items.subList(0, Math.min(NAMED, items.size())));
        return items.size() <= NAMED ? named : named + " and " + (items.size() - NAMED) + " more";
    }
}
