package dev.loranative.cli;

import dev.loranative.config.ConfigValues;
import dev.loranative.config.Key;
import dev.loranative.config.TrainKeys;
import dev.loranative.data.Tokenizer;
import dev.loranative.errors.UserException;
import java.nio.file.Files;
import java.util.List;
import java.util.Optional;

/**
 * What a model is asked to continue.
 *
 * @param ids at least one, each below the vocabulary's size
 * @param tokenizer of the model; empty if ids were given and the folder has no usable one
 */
record Prompt(int[] ids, Optional<Tokenizer> tokenizer) {

    private static final List<Key<?>> WAYS = List.of(CommandKeys.PROMPT, CommandKeys.PROMPT_IDS, CommandKeys.MESSAGES);

    /** Refuses no prompt, several, and what this version cannot do. */
    static void requireOne(ConfigValues values) {
        List<String> given = WAYS.stream().filter(values::isSet).map(Key::flag).toList();
        if (given.isEmpty()) {
            throw UserException.badInput("prompt is missing", "give --prompt TEXT, or --prompt-ids 1,2,3");
        }
        if (given.size() > 1) {
            throw UserException.badInput(
                    String.join(" and ", given) + " are given, but there can be one prompt only", "keep one of them");
        }
        if (values.isSet(CommandKeys.MESSAGES)) {
            throw UserException.badInput(
                    "--messages " + values.get(CommandKeys.MESSAGES) + ": chat templates are not supported yet",
                    "write the conversation as the model knows it, and give it as --prompt TEXT");
        }
        List<Integer> ids = values.get(CommandKeys.PROMPT_IDS);
        if (ids != null && ids.isEmpty()) {
            throw UserException.badInput("--prompt-ids is empty", "give at least one token: --prompt-ids 1");
        }
    }

    static Prompt of(ConfigValues values, ModelInUse model, Console console) {
        return values.isSet(CommandKeys.PROMPT)
                ? ofText(values.get(CommandKeys.PROMPT), model)
                : ofIds(values, model, console);
    }

    private static Prompt ofText(String text, ModelInUse model) {
        Tokenizer tokenizer = model.tokenizer().get();
        int[] ids = tokenizer.encode(text, true);
        if (ids.length == 0) {
            throw UserException.badInput("the prompt '" + text + "' has no token", "give a longer prompt");
        }
        requireInVocabulary(ids, model, "the tokenizer's token ", "tokenizer.json does not belong to this model");
        return new Prompt(ids, Optional.of(tokenizer));
    }

    private static Prompt ofIds(ConfigValues values, ModelInUse model, Console console) {
        int[] ids = values.get(CommandKeys.PROMPT_IDS).stream()
                .mapToInt(Integer::intValue)
                .toArray();
        requireInVocabulary(ids, model, "--prompt-ids: ", "ids are numbers of tokens, from 0");
        if (!Files.exists(values.get(TrainKeys.MODEL).resolve("tokenizer.json"))) {
            return new Prompt(ids, Optional.empty());
        }
        try {
            return new Prompt(ids, Optional.of(model.tokenizer().get()));
        } catch (UserException e) {
            console.warning("no text, only tokens: " + e.getMessage());
            return new Prompt(ids, Optional.empty());
        }
    }

    private static void requireInVocabulary(int[] ids, ModelInUse model, String what, String hint) {
        int vocabulary = model.config().vocabSize();
        for (int id : ids) {
            if (id >= vocabulary) {
                throw UserException.badInput(
                        what + id + " is outside the vocabulary of " + vocabulary + " tokens", hint);
            }
        }
    }
}
