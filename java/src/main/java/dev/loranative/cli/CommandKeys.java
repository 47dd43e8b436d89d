package dev.loranative.cli;

import dev.loranative.config.Key;
import dev.loranative.config.Lists;
import dev.loranative.config.Scalars;
import dev.loranative.config.ValueType;
import dev.loranative.lora.merge.AdapterCombination;
import java.nio.file.Path;
import java.util.List;

/** Keys of commands other than train, besides those that they share with it. */
final class CommandKeys {

    private static final String MODEL_GROUP = "Model and data";
    private static final String PROMPT_GROUP = "Prompt";
    private static final String SAMPLING_GROUP = "Sampling";

    static final Key<Path> ADAPTER = required(MODEL_GROUP, "adapter", Scalars.path(), "folder of a PEFT adapter");

    static final Key<List<Path>> ADAPTERS = required(
            MODEL_GROUP, "adapter", Lists.paths(), "folder of a PEFT adapter, or NAME=folder; several by repetition");

    static final Key<List<Double>> ADAPTER_WEIGHTS = required(
            MODEL_GROUP,
            "adapter_weights",
            Lists.of(Scalars.number("a number", _ -> true)),
            "combine the adapters, with one weight for each");

    static final Key<AdapterCombination.Type> COMBINATION_TYPE = Key.of(
            MODEL_GROUP,
            "combination_type",
            Scalars.choice(AdapterCombination.Type.class),
            AdapterCombination.Type.CAT,
            "cat: exact, ranks add up; linear: the rank stays");

    static final Key<List<String>> USE = required(
            MODEL_GROUP,
            "use",
            Lists.of(Scalars.text()),
            "name of the adapter to use, or several, one after the other; base = none");

    static final Key<Path> OUTPUT = required(
                    MODEL_GROUP, "output_dir", Scalars.path(), "folder to write; not there yet, or empty")
            .alias("output");

    static final Key<String> MERGED_DTYPE = required(
            "Result",
            "dtype",
            Scalars.choice("float32", "bfloat16", "float16"),
            "of the weights; by default as in the base model");

    static final Key<Long> MAX_SHARD_SIZE = required(
            "Result",
            "max_shard_size",
            Scalars.bytes(),
            "largest file, for example 5GB; by default files as the base model's");

    static final Key<String> FORMAT =
            required("Result", "format", Scalars.choice("gguf"), "of the file: gguf, for llama.cpp");

    static final Key<Path> OUTPUT_FILE =
            required("Result", "output", Scalars.path(), "file to write; must not exist yet");

    static final Key<String> EXPORTED_DTYPE =
            Key.of("Result", "dtype", Scalars.choice("float32", "float16", "bfloat16"), "float32", "of the tensors");

    private static final String COMPARISON = "Comparison";

    static final Key<String> VERIFY_PROMPT = required(
            COMPARISON, "prompt", Scalars.text(), "compare logits on this text; by default on built-in tokens");

    static final Key<List<Integer>> VERIFY_IDS =
            required(COMPARISON, "prompt_ids", Lists.of(Scalars.count(0)), "on these tokens instead");

    static final Key<List<Path>> VERIFY_DATA =
            required(COMPARISON, "verify_data", Lists.paths(), "on the first samples of these files instead");

    static final Key<String> LIST = Key.of(
            "Result",
            "list",
            Scalars.choice(KindNames.lists().toArray(String[]::new)),
            null,
            "print only the ends of names of one kind, one a line");

    static final Key<List<Path>> EVALUATED = required(
                    MODEL_GROUP, "dataset", Lists.paths(), "what to evaluate on: a file or several")
            .alias("data");

    static final Key<Boolean> PER_EXAMPLE =
            Key.of("Result", "per_example", Scalars.bool(), false, "also the loss of every sample");

    /** Not nullable: {@code none} is a prompt like any other. */
    static final Key<String> PROMPT = required(PROMPT_GROUP, "prompt", Scalars.text(), "the text to continue");

    static final Key<List<Integer>> PROMPT_IDS = required(
            PROMPT_GROUP, "prompt_ids", Lists.of(Scalars.count(0)), "its tokens instead, which needs no tokenizer");

    static final Key<Path> MESSAGES =
            required(PROMPT_GROUP, "messages", Scalars.path(), "a conversation instead; not supported yet");

    static final Key<Integer> MAX_NEW_TOKENS =
            sampling("max_new_tokens", Scalars.count(1), 128, "tokens to write at most");

    static final Key<Double> TEMPERATURE = sampling(
            "temperature",
            Scalars.number("a number of at least 0", value -> value >= 0),
            0.7,
            "logits are divided by it; 0 is greedy: always the likeliest token");

    static final Key<Double> TOP_P = sampling(
            "top_p",
            Scalars.number("a number above 0, up to 1", value -> value > 0 && value <= 1),
            1.0,
            "only the likeliest tokens that together reach this probability");

    static final Key<Integer> TOP_K =
            sampling("top_k", Scalars.count(0), 0, "only so many of the likeliest tokens; 0 = all");

    static final Key<Long> SEED = sampling("seed", Scalars.integer(0, Long.MAX_VALUE), 42L, "same seed, same text");

    private CommandKeys() {}

    /** A key without a default, for which no value means null. */
    private static <T> Key<T> required(String group, String name, ValueType<T> type, String description) {
        return new Key<>(name, List.of(), group, type, null, false, _ -> true, description);
    }

    private static <T> Key<T> sampling(String name, ValueType<T> type, T standard, String description) {
        return Key.of(SAMPLING_GROUP, name, type, standard, description);
    }
}
