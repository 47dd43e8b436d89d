package dev.loranative.config;

import dev.loranative.errors.UserException;
import java.io.IOException;
import java.nio.charset.CharacterCodingException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import tools.jackson.core.JacksonException;
import tools.jackson.core.JsonParser;
import tools.jackson.core.JsonToken;
import tools.jackson.core.StreamReadFeature;
import tools.jackson.dataformat.yaml.YAMLMapper;

/** Reads the top level of a YAML mapping with the line of every key. */
final class YamlFile {

    private static final YAMLMapper MAPPER = YAMLMapper.builder()
            .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
            .build();

    private YamlFile() {}

    /**
     * @param value as YAML gives it: String, Boolean, Number, List, Map or null
     * @param line of the key, from 1
     */
    record Entry(String name, Object value, int line) {}

    /**
     * The entries of the file in its order; an empty file has none.
     *
     * @throws UserException if there is no such file, or it holds no YAML mapping, or a key twice
     */
    static List<Entry> entries(Path file) {
        String text;
        try {
            text = Files.readString(file);
        } catch (NoSuchFileException e) {
            throw UserException.badInput(
                    "no such configuration file: " + file, "give the path of a YAML file to --config");
        } catch (CharacterCodingException e) {
            throw UserException.badInput(file + " is not UTF-8 text", "give a YAML file to --config");
        } catch (IOException e) {
            String cause = Files.isDirectory(file) ? "it is a folder" : String.valueOf(e.getMessage());
            throw UserException.badInput("cannot read " + file + ": " + cause, "give a YAML file to --config");
        }
        try (JsonParser parser = MAPPER.createParser(text)) {
            return entries(parser, file);
        } catch (JacksonException e) {
            int line = e.getLocation() == null ? 0 : e.getLocation().getLineNr();
            throw UserException.badInput(
                    file + (line > 0 ? ":" + line : "") + " is not valid YAML: "
                            + e.getOriginalMessage().strip().lines().findFirst().orElse("unreadable"),
                    "write one `key: value` a line; put texts with special characters in single quotes");
        }
    }

    private static List<Entry> entries(JsonParser parser, Path file) {
        List<Entry> entries = new ArrayList<>();
        JsonToken token = parser.nextToken();
        if (token == null || token == JsonToken.VALUE_NULL) {
            return entries;
        }
        if (token != JsonToken.START_OBJECT) {
            throw UserException.badInput(
                    file + " does not hold `key: value` lines", "write one `key: value` a line, for example `r: 8`");
        }
        while (parser.nextToken() == JsonToken.PROPERTY_NAME) {
            String name = parser.currentName();
            int line = parser.currentTokenLocation().getLineNr();
            JsonToken value = parser.nextToken();
            entries.add(new Entry(name, value == JsonToken.VALUE_NULL ? null : parser.readValueAs(Object.class), line));
        }
        return entries;
    }

    /** The value that the text is in YAML's flow form, or the text itself if it is none. */
    static Object value(String text) {
        try {
            return MAPPER.readValue(text, Object.class);
        } catch (JacksonException e) {
            return text;
        }
    }
}
