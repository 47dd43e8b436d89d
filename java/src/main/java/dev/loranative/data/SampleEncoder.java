package dev.loranative.data;

import dev.loranative.errors.UserException;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.function.Supplier;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ObjectNode;

/**
 * Turns one row of a data set into token ids and labels, as TRL's supervised fine-tuning does.
 *
 * <ul>
 *   <li>{@code input_ids} (+ {@code labels}, or {@code completion_mask} and {@code assistant_masks}): taken as they are.
 *   <li>{@code prompt} + {@code completion}: joined, an end of sequence added unless it is there; only tokens after the
 *       prompt's are learnt, unless {@code completion_only_loss} is false.
 *   <li>{@code instruction} (+ {@code input}) + {@code output}: laid out as {@link Alpaca}, then as above.
 *   <li>{@code text}: an end of sequence added unless it is there; all tokens are learnt.
 * </ul>
 *
 * Where a row fits several, the first of this list is taken. Other columns are ignored.
 */
final class SampleEncoder {

    static final String KNOWN_FORMATS =
            "input_ids (+ labels) | prompt + completion | instruction (+ input) + output | text";

    private final Supplier<Tokenizer> tokenizer;
    private final SampleOptions options;
    private final Warnings warnings;

    SampleEncoder(Supplier<Tokenizer> tokenizer, SampleOptions options, Warnings warnings) {
        this.tokenizer = tokenizer;
        this.options = options;
        this.warnings = warnings;
    }

    /**
     * The sample at full length; the caller shortens it.
     *
     * @throws UserException naming the place, when the row is of no known format or its values are wrong
     */
    Sample encode(Place place, ObjectNode row) {
        if (row.has("input_ids")) {
            return tokenised(place, row);
        }
        if (row.has("prompt") && row.has("completion")) {
            return completion(place, string(place, row, "prompt"), string(place, row, "completion"));
        }
        if (row.has("instruction") && row.has("output")) {
            String input = row.hasNonNull("input") ? string(place, row, "input") : "";
            String prompt = Alpaca.prompt(string(place, row, "instruction"), input);
            return completion(place, prompt, string(place, row, "output"));
        }
        if (row.has("text")) {
            int[] ids = tokens(place, withEos(place, string(place, row, "text")));
            return new Sample(ids, ids, place);
        }
        for (String chat : List.of("messages", "conversations")) {
            if (row.has(chat)) {
                throw chatNotSupported(place, chat);
            }
        }
        throw UserException.badInput(
                place + ": keys " + row.propertyNames() + " are of no known format", "known formats: " + KNOWN_FORMATS);
    }

    private Sample tokenised(Place place, ObjectNode row) {
        int[] ids = integers(place, row, "input_ids");
        if (ids.length == 0) {
            throw UserException.badInput(place + ": input_ids is empty", "remove the row or give it tokens");
        }
        checkIds(place, "input_ids", ids, "ids lie in 0 … vocab_size - 1: was the data made with another tokenizer?");
        int[] labels;
        if (row.hasNonNull("labels")) {
            labels = sameLength(place, row, "labels", ids.length);
            for (int i = 0; i < labels.length; i++) {
                if (labels[i] != Sample.IGNORED && (labels[i] < 0 || labels[i] >= options.vocabularySize())) {
                    throw UserException.badInput(
                            place + ": labels[" + i + "] is " + labels[i] + ", outside the vocabulary of "
                                    + options.vocabularySize(),
                            "a label is a token id, or -100 for a token that is not to be learnt");
                }
            }
        } else {
            labels = ids.clone();
            if (options.completionOnlyLoss()) {
                applyMask(place, row, "completion_mask", labels);
            }
            applyMask(place, row, "assistant_masks", labels);
        }
        int kept = attended(place, row, ids.length);
        return new Sample(Arrays.copyOf(ids, kept), Arrays.copyOf(labels, kept), place);
    }

    private Sample completion(Place place, String prompt, String completion) {
        int[] promptIds = tokens(place, prompt);
        int[] ids = tokens(place, prompt + withEos(place, completion));
        if (!options.completionOnlyLoss()) {
            return new Sample(ids, ids, place);
        }
        int learntFrom = Math.min(promptIds.length, ids.length);
        if (!Arrays.equals(promptIds, 0, learntFrom, ids, 0, learntFrom) || promptIds.length > ids.length) {
            warnings.add(
                    "prompt-boundary",
                    place,
                    "the prompt's last tokens merge with the completion's first, so the boundary of what is learnt is"
                            + " off by a token or so; begin the completion, or end the prompt, with a space or newline");
        }
        int[] labels = ids.clone();
        Arrays.fill(labels, 0, learntFrom, Sample.IGNORED);
        return new Sample(ids, labels, place);
    }

    private int[] tokens(Place place, String text) {
        int[] ids = tokenizer.get().encode(text, true);
        checkIds(place, "token", ids, "the tokenizer belongs to another model: copy the model's own tokenizer.json");
        return ids;
    }

    private String withEos(Place place, String text) {
        Optional<String> eos = tokenizer.get().eosText();
        if (eos.isEmpty()) {
            warnings.add(
                    "no-eos",
                    place,
                    "the model names no end-of-sequence token, so none is added and the model cannot learn to stop");
            return text;
        }
        return text.endsWith(eos.get()) ? text : text + eos.get();
    }

    private void checkIds(Place place, String what, int[] ids, String hint) {
        for (int i = 0; i < ids.length; i++) {
            if (ids[i] < 0 || ids[i] >= options.vocabularySize()) {
                throw UserException.badInput(
                        place + ": " + what + "[" + i + "] is " + ids[i] + ", outside the vocabulary of "
                                + options.vocabularySize(),
                        hint);
            }
        }
    }

    private static void applyMask(Place place, ObjectNode row, String key, int[] labels) {
        if (!row.hasNonNull(key)) {
            return;
        }
        int[] mask = bits(place, row, key, labels.length);
        for (int i = 0; i < labels.length; i++) {
            if (mask[i] == 0) {
                labels[i] = Sample.IGNORED;
            }
        }
    }

    /** How many tokens remain when padding at the end, which attention_mask marks by 0, is left off. */
    private static int attended(Place place, ObjectNode row, int length) {
        if (!row.hasNonNull("attention_mask")) {
            return length;
        }
        int[] mask = bits(place, row, "attention_mask", length);
        int kept = length;
        while (kept > 0 && mask[kept - 1] == 0) {
            kept--;
        }
        for (int i = 0; i < kept; i++) {
            if (mask[i] == 0) {
                throw UserException.badInput(
                        place + ": attention_mask[" + i + "] is 0 before the last token that is attended",
                        "only padding at the end is understood; leave the padding out, it is not needed");
            }
        }
        if (kept == 0) {
            throw UserException.badInput(place + ": attention_mask is 0 everywhere", "remove the row");
        }
        return kept;
    }

    private static int[] bits(Place place, ObjectNode row, String key, int length) {
        int[] bits = sameLength(place, row, key, length);
        for (int i = 0; i < length; i++) {
            if (bits[i] != 0 && bits[i] != 1) {
                throw UserException.badInput(
                        place + ": " + key + "[" + i + "] is " + bits[i], "a mask holds 0 and 1 only");
            }
        }
        return bits;
    }

    private static int[] sameLength(Place place, ObjectNode row, String key, int length) {
        int[] values = integers(place, row, key);
        if (values.length != length) {
            throw UserException.badInput(
                    place + ": " + key + " has " + values.length + " values but input_ids " + length,
                    "give one value for each token");
        }
        return values;
    }

    private static int[] integers(Place place, ObjectNode row, String key) {
        JsonNode array = row.get(key);
        if (!array.isArray()) {
            throw UserException.badInput(
                    place + ": " + key + " is " + abbreviated(array) + ", not a list",
                    "write " + key + " as a list of integers: [1, 2, 3]");
        }
        int[] values = new int[array.size()];
        for (int i = 0; i < values.length; i++) {
            JsonNode value = array.get(i);
            if (!value.isIntegralNumber() || !value.canConvertToInt()) {
                throw UserException.badInput(
                        place + ": " + key + "[" + i + "] is " + abbreviated(value) + ", not a token id",
                        "write " + key + " as a list of integers: [1, 2, 3]");
            }
            values[i] = value.intValue();
        }
        return values;
    }

    private static String string(Place place, ObjectNode row, String key) {
        JsonNode value = row.get(key);
        if (value.isString()) {
            return value.stringValue();
        }
        if (value.isArray() && (key.equals("prompt") || key.equals("completion"))) {
            throw chatNotSupported(place, key);
        }
        throw UserException.badInput(
                place + ": " + key + " is " + abbreviated(value) + ", not a text", "write it in double quotes");
    }

    private static UserException chatNotSupported(Place place, String key) {
        return UserException.badInput(
                place + ": '" + key + "' is a list of chat messages; chat templates are not supported yet",
                "write the conversation as text in prompt and completion");
    }

    private static String abbreviated(JsonNode value) {
        String text = value.toString();
        return text.length() <= 40 ? text : text.substring(0, 40) + "…";
    }
}
