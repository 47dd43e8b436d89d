package dev.loranative.config;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * Whether and how linear layers are held in 4 bits. Of a checkpoint that is in 4 bits already, the type, the block size
 * and the double quantisation are what they are; saying otherwise explicitly is a mistake.
 *
 * @param enabled load_in_4bit: quantise what is not quantised yet
 * @param type {@code nf4} or {@code fp4}
 * @param doubleQuantization whether the scales are quantised in turn
 * @param blockSize weights that share a scale
 * @param skipModules patterns of modules that stay as they are, besides routers, embeddings and the head
 * @param head whether the output layer is quantised
 * @param computeDtype float32, bfloat16 or float16, if somebody set it: for other programs; arithmetic here is float32
 * @param storage type under which the codes are written: uint8, float16, bfloat16 or float32
 * @param statedType as {@code type}, if somebody set it
 * @param statedDoubleQuantization as {@code doubleQuantization}, if somebody set it
 * @param statedBlockSize as {@code blockSize}, if somebody set it
 */
public record QuantizationOptions(
        boolean enabled,
        String type,
        boolean doubleQuantization,
        int blockSize,
        List<String> skipModules,
        boolean head,
        Optional<String> computeDtype,
        String storage,
        Optional<String> statedType,
        Optional<Boolean> statedDoubleQuantization,
        Optional<Integer> statedBlockSize) {

    /** Weights stay as they are in the file. */
    public static final QuantizationOptions NONE = from(ConfigValues.defaults(List.copyOf(QuantizationKeys.ALL)));

    public QuantizationOptions {
        skipModules = List.copyOf(skipModules);
    }

    /** From values of a command that knows {@link QuantizationKeys#ALL}, perhaps without load_in_4bit. */
    public static QuantizationOptions from(ConfigValues values) {
        List<String> skipped = values.get(QuantizationKeys.BNB_4BIT_SKIP_MODULES);
        return new QuantizationOptions(
                values.keys().contains(QuantizationKeys.LOAD_IN_4BIT) && values.get(QuantizationKeys.LOAD_IN_4BIT),
                values.get(QuantizationKeys.BNB_4BIT_QUANT_TYPE),
                values.get(QuantizationKeys.BNB_4BIT_USE_DOUBLE_QUANT),
                values.get(QuantizationKeys.BNB_4BIT_BLOCKSIZE),
                skipped == null ? List.of() : skipped,
                values.get(QuantizationKeys.BNB_4BIT_LM_HEAD),
                stated(values, QuantizationKeys.BNB_4BIT_COMPUTE_DTYPE),
                values.get(QuantizationKeys.BNB_4BIT_QUANT_STORAGE),
                stated(values, QuantizationKeys.BNB_4BIT_QUANT_TYPE),
                stated(values, QuantizationKeys.BNB_4BIT_USE_DOUBLE_QUANT),
                stated(values, QuantizationKeys.BNB_4BIT_BLOCKSIZE));
    }

    /** The same, but quantising: what {@code quantize} does whether or not load_in_4bit was given. */
    public QuantizationOptions enable() {
        return new QuantizationOptions(
                true,
                type,
                doubleQuantization,
                blockSize,
                skipModules,
                head,
                computeDtype,
                storage,
                statedType,
                statedDoubleQuantization,
                statedBlockSize);
    }

    /** Keys of settings that are not the default; a file of all values, such as train_config.yaml, states those too. */
    public List<String> changedKeys() {
        Map<Key<?>, Boolean> changed = new LinkedHashMap<>();
        changed.put(QuantizationKeys.BNB_4BIT_QUANT_TYPE, !type.equals(NONE.type));
        changed.put(QuantizationKeys.BNB_4BIT_USE_DOUBLE_QUANT, doubleQuantization != NONE.doubleQuantization);
        changed.put(QuantizationKeys.BNB_4BIT_BLOCKSIZE, blockSize != NONE.blockSize);
        changed.put(QuantizationKeys.BNB_4BIT_SKIP_MODULES, !skipModules.isEmpty());
        changed.put(QuantizationKeys.BNB_4BIT_LM_HEAD, head);
        return changed.entrySet().stream()
                .filter(Map.Entry::getValue)
                .map(entry -> entry.getKey().name())
                .toList();
    }

    private static <T> Optional<T> stated(ConfigValues values, Key<T> key) {
        return values.isSet(key) ? Optional.ofNullable(values.get(key)) : Optional.empty();
    }
}
