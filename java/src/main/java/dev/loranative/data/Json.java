package dev.loranative.data;

import dev.loranative.errors.ParserMessage;
import dev.loranative.errors.UserException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Optional;
import tools.jackson.core.JacksonException;
import tools.jackson.core.StreamReadFeature;
import tools.jackson.databind.DeserializationFeature;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** The one strict JSON reader of this package: a key twice, or text after the value, is an error. */
final class Json {

    static final JsonMapper MAPPER = JsonMapper.builder()
            .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
            .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
            .build();

    private Json() {}

    /** The object in a small file such as {@code config.json}; empty when there is no such file. */
    static Optional<JsonNode> readObject(Path file) {
        try {
            JsonNode node = MAPPER.readTree(Files.readString(file));
            if (!node.isObject()) {
                throw UserException.badInput(
                        file + " holds no JSON object", "the file is damaged: copy the model's folder again");
            }
            return Optional.of(node);
        } catch (NoSuchFileException e) {
            return Optional.empty();
        } catch (JacksonException e) {
            throw UserException.badInput(
                    file + ":" + line(e) + ": malformed JSON: " + reason(e),
                    "the file is damaged: copy the model's folder again");
        } catch (IOException e) {
            throw UserException.badInput(
                    file + " cannot be read: " + Causes.oneLine(e), "check that it is a readable text file");
        }
    }

    /** The line in the text, from 1; 1 where the parser does not know it. */
    static int line(JacksonException e) {
        return e.getLocation() == null ? 1 : Math.max(1, e.getLocation().getLineNr());
    }

    /** {@code " at column N"}; empty where the parser does not know it. */
    static String column(JacksonException e) {
        return e.getLocation() == null ? "" : " at column " + e.getLocation().getColumnNr();
    }

    /** What the parser says, on one line. */
    static String reason(JacksonException e) {
        return ParserMessage.plain(e.getOriginalMessage());
    }
}
