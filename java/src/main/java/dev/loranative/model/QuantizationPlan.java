package dev.loranative.model;

import dev.loranative.checkpoint.Checkpoint;
import dev.loranative.checkpoint.TensorEntry;
import dev.loranative.config.QuantizationOptions;
import dev.loranative.errors.UserException;
import dev.loranative.model.LinearModule.Kind;
import dev.loranative.quant.QuantState;
import dev.loranative.quant.QuantType;
import dev.loranative.quant.Quantizer;
import dev.loranative.quant.StoredWeight;
import dev.loranative.quant.StoredWeights;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Stream;

/**
 * Which weights of a model are held in 4 bits: those that the checkpoint holds so, and those that {@code load_in_4bit}
 * asks to be quantised.
 *
 * <p>Of a checkpoint that is quantised already, its maker has chosen what stays in 16 bits, with one exception: experts
 * are no linear layers to transformers, which therefore leaves them alone; these are quantised if asked for.
 */
final class QuantizationPlan {

    private static final String WEIGHT = ".weight";
    private static final String FLOAT32 = "float32";

    private final QuantizationOptions options;
    private final StoredWeights stored;

    /** Names of modules. */
    private final Set<String> quantized = new HashSet<>();

    private QuantizationPlan(QuantizationOptions options, StoredWeights stored) {
        this.options = options;
        this.stored = stored;
    }

    /**
     * @throws UserException if the options contradict the checkpoint, a pattern matches nothing, or the experts of a
     *     projection would differ
     */
    static QuantizationPlan of(ModelConfig config, StoredWeights stored, QuantizationOptions options) {
        QuantizationPlan plan = new QuantizationPlan(options, stored);
        ModuleTree tree = ModuleTree.of(config);
        if (options.enabled()) {
            stored.all().forEach(weight -> requireAgreement(weight, options));
            SkippedModules skipped = SkippedModules.of(tree, options);
            boolean untouched = stored.isEmpty();
            for (LinearModule module : tree.modules()) {
                boolean wanted = skipped.isQuantized(module) && (untouched || module.kind() == Kind.EXPERT);
                if (wanted && !plan.isStored(module.name())) {
                    plan.quantized.add(module.name());
                }
            }
            if (options.head() && config.tieWordEmbeddings()) {
                throw UserException.badInput(
                        "bnb_4bit_lm_head is true, but the model's output layer is its embedding, which stays as it is",
                        "leave bnb_4bit_lm_head out");
            }
        }
        plan.requireEqualExperts(tree);
        return plan;
    }

    QuantizationOptions options() {
        return options;
    }

    QuantType type() {
        return QuantType.named(options.type()).orElseThrow();
    }

    /** Whether a module's weight is to be quantised; not if it already is. */
    boolean quantizes(String module) {
        return quantized.contains(module);
    }

    /** As {@link #quantizes}, by the name of the weight's tensor. */
    boolean quantizesTensor(String name) {
        return name.endsWith(WEIGHT) && quantizes(name.substring(0, name.length() - WEIGHT.length()));
    }

    /** Bytes of a tensor once it is written. */
    long writtenBytes(TensorEntry entry) {
        return quantizesTensor(entry.name())
                ? Quantizer.bytes(entry.elements(), options.blockSize(), options.doubleQuantization())
                : entry.bytes();
    }

    /** Number of weights to quantise. */
    int count() {
        return quantized.size();
    }

    StoredWeights stored() {
        return stored;
    }

    /** Whether some weight is in 4 bits once loaded. */
    boolean isQuantized() {
        return !quantized.isEmpty() || !stored.isEmpty();
    }

    /** Elements of the weights to quantise. */
    long elements(Checkpoint checkpoint) {
        return entries(checkpoint).mapToLong(TensorEntry::elements).sum();
    }

    /** Memory of the weights to quantise, once they are. */
    long quantizedBytes(Checkpoint checkpoint) {
        return entries(checkpoint).mapToLong(this::writtenBytes).sum();
    }

    /** Memory of all weights once loaded: those that stay as they are in the files, the quantised, and what is copied. */
    long weightBytes(Checkpoint checkpoint) {
        long replaced = entries(checkpoint).mapToLong(TensorEntry::bytes).sum();
        long copied = stored.all().stream().mapToLong(StoredWeight::copiedBytes).sum();
        return checkpoint.totalBytes() - replaced + quantizedBytes(checkpoint) + copied;
    }

    /** All weights in 4 bits once loaded; empty if there are none. */
    Optional<FourBits> fourBits(Checkpoint checkpoint) {
        if (!isQuantized()) {
            return Optional.empty();
        }
        int weights = quantized.size();
        long elements = elements(checkpoint);
        long bytes = quantizedBytes(checkpoint);
        for (StoredWeight weight : stored.all()) {
            if (weight.isFourBits()) {
                weights++;
                elements += weight.elements();
                bytes += weight.bytes();
            }
        }
        return weights == 0 ? Optional.empty() : Optional.of(new FourBits(weights, 8.0 * bytes / elements));
    }

    /** What deserves to be said about the options before the model is used. */
    List<String> notes(ModuleTree tree) {
        List<String> notes = new ArrayList<>();
        if (!options.enabled() && stored.isEmpty() && !options.changedKeys().isEmpty()) {
            notes.add(String.join(", ", options.changedKeys()) + " has no effect: load_in_4bit is false");
        }
        String compute = options.computeDtype().orElse(FLOAT32);
        if (isQuantized() && !compute.equals(FLOAT32)) {
            notes.add("bnb_4bit_compute_dtype is " + compute + "; arithmetic here is float32 all the same");
        }
        List<StoredWeight> widened =
                stored.all().stream().filter(weight -> !weight.isFourBits()).toList();
        if (!widened.isEmpty()) {
            notes.add(widened.size() + " experts' weights, such as "
                    + widened.getFirst().name()
                    + ", begin inside 32 elements that share a scale: they are held in float32, with the values of the"
                    + " file");
        }
        List<LinearModule> left = tree.modules().stream()
                .filter(module -> module.kind() == Kind.ATTENTION || module.kind() == Kind.MLP)
                .filter(module -> !isStored(module.name()))
                .toList();
        if (options.enabled() && !stored.isEmpty() && !left.isEmpty()) {
            notes.add(left.size() + " linear modules of the checkpoint are not in 4 bits, such as "
                    + left.getFirst().name() + "; they stay as they are");
        }
        return notes;
    }

    private Stream<TensorEntry> entries(Checkpoint checkpoint) {
        return quantized.stream().map(module -> checkpoint.entry(module + WEIGHT));
    }

    private boolean isStored(String module) {
        return stored.find(module + WEIGHT).isPresent();
    }

    private static void requireAgreement(StoredWeight weight, QuantizationOptions options) {
        QuantState state = weight.state();
        options.statedType()
                .filter(type -> !type.equals(state.type().word()))
                .ifPresent(type -> disagree(
                        "bnb_4bit_quant_type", type, weight, state.type().word()));
        options.statedDoubleQuantization()
                .filter(nested -> nested != state.nested().isPresent())
                .ifPresent(nested -> disagree("bnb_4bit_use_double_quant", nested, weight, !nested));
        options.statedBlockSize()
                .filter(size -> size != state.blockSize())
                .ifPresent(size -> disagree("bnb_4bit_blocksize", size, weight, state.blockSize()));
    }

    private static void disagree(String key, Object asked, StoredWeight weight, Object found) {
        throw UserException.badInput(
                key + " is " + asked + ", but the checkpoint is quantised already, with " + found + " in "
                        + weight.stateName(),
                "leave " + key + " out, or start from the model in bfloat16, float16 or float32");
    }

    /** Grouped products take experts of one type. */
    private void requireEqualExperts(ModuleTree tree) {
        Map<List<Object>, LinearModule> first = new LinkedHashMap<>();
        for (LinearModule module : tree.modules()) {
            if (module.kind() != Kind.EXPERT) {
                continue;
            }
            String projection = module.name().substring(module.name().lastIndexOf('.') + 1);
            LinearModule other = first.putIfAbsent(List.of(module.layer(), projection), module);
            if (other != null && !type(other).equals(type(module))) {
                throw UserException.badInput(
                        other.name() + " is " + type(other) + ", but " + module.name() + " is " + type(module)
                                + ": the experts of a layer must be quantised alike",
                        "name all experts of the layer in bnb_4bit_skip_modules, or none");
            }
        }
    }

    private String type(LinearModule module) {
        if (quantizes(module.name())) {
            return options.type();
        }
        return stored.find(module.name() + WEIGHT)
                .map(weight -> weight.state().type().word())
                .orElse("not in 4 bits");
    }
}
