package dev.loranative.data;

import dev.loranative.errors.UserException;
import java.nio.file.Path;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;
import java.util.function.Function;
import tools.jackson.databind.JsonNode;

/**
 * What a model's folder says about its special tokens; needs no tokenizer.
 *
 * <p>Ids come from {@code generation_config.json}, or where that is silent from {@code config.json} (both allow one id
 * or a list for the end of sequence); texts come from {@code tokenizer_config.json}, where a token is a string or an
 * object with {@code content}. Absent files and null values are no error.
 *
 * @param eosIds every id that ends a generation, in the order given; may be empty
 * @param eosText the text that ends a training sample
 */
public record SpecialTokens(
        List<Integer> eosIds,
        OptionalInt bosId,
        OptionalInt padId,
        Optional<String> eosText,
        Optional<String> bosText,
        Optional<String> padText) {

    public SpecialTokens {
        eosIds = List.copyOf(eosIds);
    }

    /** @throws UserException when one of the files is malformed, or an id is not a non-negative integer */
    public static SpecialTokens load(Path modelDirectory) {
        Path generation = modelDirectory.resolve("generation_config.json");
        Path config = modelDirectory.resolve("config.json");
        Path tokenizer = modelDirectory.resolve("tokenizer_config.json");
        Optional<JsonNode> generationNode = Json.readObject(generation);
        Optional<JsonNode> configNode = Json.readObject(config);
        Optional<JsonNode> tokenizerNode = Json.readObject(tokenizer);
        return new SpecialTokens(
                firstNonEmpty(ids(generationNode, generation, "eos_token_id"), ids(configNode, config, "eos_token_id")),
                first(firstNonEmpty(
                        ids(generationNode, generation, "bos_token_id"), ids(configNode, config, "bos_token_id"))),
                first(firstNonEmpty(
                        ids(generationNode, generation, "pad_token_id"), ids(configNode, config, "pad_token_id"))),
                text(tokenizerNode, "eos_token"),
                text(tokenizerNode, "bos_token"),
                text(tokenizerNode, "pad_token"));
    }

    /** These tokens, with the ids of their texts: one more end of sequence, and the others where no id was given. */
    SpecialTokens complete(Function<String, OptionalInt> idOfText) {
        Set<Integer> ends = new LinkedHashSet<>(eosIds);
        id(eosText, idOfText).ifPresent(ends::add);
        return new SpecialTokens(
                List.copyOf(ends),
                bosId.isPresent() ? bosId : id(bosText, idOfText),
                padId.isPresent() ? padId : id(padText, idOfText),
                eosText,
                bosText,
                padText);
    }

    private static OptionalInt id(Optional<String> text, Function<String, OptionalInt> idOfText) {
        return text.map(idOfText).orElse(OptionalInt.empty());
    }

    private static List<Integer> firstNonEmpty(List<Integer> preferred, List<Integer> otherwise) {
        return preferred.isEmpty() ? otherwise : preferred;
    }

    private static OptionalInt first(List<Integer> ids) {
        return ids.isEmpty() ? OptionalInt.empty() : OptionalInt.of(ids.getFirst());
    }

    private static List<Integer> ids(Optional<JsonNode> file, Path path, String key) {
        JsonNode value = file.map(node -> node.get(key)).orElse(null);
        if (value == null || value.isNull()) {
            return List.of();
        }
        Set<Integer> ids = new LinkedHashSet<>();
        for (JsonNode id : value.isArray() ? value : List.of(value)) {
            if (!id.isIntegralNumber() || !id.canConvertToInt() || id.intValue() < 0) {
                throw UserException.badInput(
                        path + ": " + key + " holds " + id + ", not a token id",
                        "a token id is an integer of at least 0; use null where there is no such token");
            }
            ids.add(id.intValue());
        }
        return List.copyOf(ids);
    }

    private static Optional<String> text(Optional<JsonNode> file, String key) {
        JsonNode value = file.map(node -> node.get(key)).orElse(null);
        if (value != null && value.isObject()) {
            value = value.get("content");
        }
        return value != null && value.isString() && !value.stringValue().isEmpty()
                ? Optional.of(value.stringValue())
                : Optional.empty();
    }
}
