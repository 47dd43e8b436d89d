package dev.loranative.cli;

import dev.loranative.config.ConfigValues;
import dev.loranative.config.Key;
import dev.loranative.data.DataSet;
import dev.loranative.data.LazyTokenizer;
import dev.loranative.data.Sample;
import dev.loranative.data.SampleOptions;
import dev.loranative.errors.UserException;
import dev.loranative.model.ModelConfig;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.OptionalInt;

/** The tokens on which a merged model is compared with base + adapter: given as text, ids or data, or built in. */
final class VerificationTokens {

    /** Of built-in tokens. */
    private static final int LENGTH = 32;

    /** A multiplier without a factor in common with usual vocabularies, so that the tokens are spread over all of it. */
    private static final long STRIDE = 7919;

    private static final int SAMPLES = 8;
    private static final int SAMPLE_TOKENS = 256;

    private static final List<Key<?>> WAYS =
            List.of(CommandKeys.VERIFY_PROMPT, CommandKeys.VERIFY_IDS, CommandKeys.VERIFY_DATA);

    private VerificationTokens() {}

    /** Refuses several ways at once. */
    static void requireAtMostOne(ConfigValues values) {
        List<String> given = WAYS.stream().filter(values::isSet).map(Key::flag).toList();
        if (given.size() > 1) {
            throw UserException.badInput(
                    String.join(" and ", given) + " are given, but the comparison takes one of them", "keep one");
        }
    }

    static List<int[]> of(ConfigValues values, Path model, ModelConfig config) {
        List<int[]> sequences;
        if (values.isSet(CommandKeys.VERIFY_PROMPT)) {
            try (LazyTokenizer tokenizer = new LazyTokenizer(model)) {
                sequences = List.of(tokenizer.get().encode(values.get(CommandKeys.VERIFY_PROMPT), true));
            }
        } else if (values.isSet(CommandKeys.VERIFY_IDS)) {
            sequences = List.of(values.get(CommandKeys.VERIFY_IDS).stream()
                    .mapToInt(Integer::intValue)
                    .toArray());
        } else if (values.isSet(CommandKeys.VERIFY_DATA)) {
            sequences = ofData(values.get(CommandKeys.VERIFY_DATA), model, config);
        } else {
            sequences = List.of(builtIn(config));
        }
        sequences.forEach(ids -> requireUsable(ids, config));
        return sequences;
    }

    private static int[] builtIn(ModelConfig config) {
        int[] ids = new int[Math.min(LENGTH, config.longestSequence())];
        for (int i = 0; i < ids.length; i++) {
            ids[i] = (int) ((1 + i * STRIDE) % config.vocabSize());
        }
        return ids;
    }

    private static List<int[]> ofData(List<Path> files, Path model, ModelConfig config) {
        try (LazyTokenizer tokenizer = new LazyTokenizer(model)) {
            SampleOptions options = new SampleOptions(
                    OptionalInt.of(Math.min(SAMPLE_TOKENS, config.longestSequence())),
                    config.longestSequence(),
                    config.vocabSize(),
                    true);
            return DataSet.load(files, tokenizer, options).samples().stream()
                    .limit(SAMPLES)
                    .map(Sample::ids)
                    .toList();
        }
    }

    private static void requireUsable(int[] ids, ModelConfig config) {
        if (ids.length == 0) {
            throw UserException.badInput("the text to compare on has no token", "give a longer one");
        }
        if (ids.length > config.longestSequence()) {
            throw UserException.badInput(
                    "the text to compare on has " + ids.length + " tokens, but the model takes at most "
                            + config.longestSequence(),
                    "give a shorter one");
        }
        Arrays.stream(ids).filter(id -> id >= config.vocabSize()).findFirst().ifPresent(id -> {
            throw UserException.badInput(
                    "token " + id + " is outside the vocabulary of " + config.vocabSize() + " tokens",
                    "ids are numbers of tokens, from 0");
        });
    }
}
