package dev.loranative.config;

import dev.loranative.errors.ParserMessage;
import dev.loranative.errors.UserException;
import java.io.IOException;
import java.nio.charset.CharacterCodingException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import tools.jackson.core.JacksonException;
import tools.jackson.core.JsonToken;
import tools.jackson.core.StreamReadFeature;
import tools.jackson.dataformat.yaml.YAMLMapper;
import tools.jackson.dataformat.yaml.YAMLParser;

/** Reads the top level of a YAML mapping with the line of every key. */
final class YamlFile {

    private static final YAMLMapper MAPPER = YAMLMapper.builder()
            .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
            .build();

    /** Places in the YAML reader's message; the last one is where it gave up. */
    private static final Pattern PLACE = Pattern.compile(", line (\\d{1,9}), column");

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
        try (YAMLParser parser = (YAMLParser) MAPPER.createParser(text)) {
            return entries(parser, file);
        } catch (JacksonException e) {
            int line = line(e);
            throw UserException.badInput(
                    file + (line > 0 ? ":" + line : "") + " is not valid YAML: " + problem(e),
                    "write one `key: value` a line; put texts with special characters in single quotes");
        }
    }

    /** Of the YAML reader's message, where it gave up and why; what it had begun to read stands before. */
    private static String problem(JacksonException e) {
        List<String> said = e.getOriginalMessage()
                .lines()
                .filter(line -> !line.startsWith(" ") && !line.isBlank())
                .limit(2)
                .toList();
        return ParserMessage.plain(String.join(": ", said));
    }

    private static int line(JacksonException e) {
        Matcher place = PLACE.matcher(e.getOriginalMessage());
        int line = e.getLocation() == null ? 0 : e.getLocation().getLineNr();
        while (place.find()) {
            line = Integer.parseInt(place.group(1));
        }
        return line;
    }

    private static List<Entry> entries(YAMLParser parser, Path file) {
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
            entries.add(new Entry(name, value(parser, value, file), line));
        }
        if (parser.nextToken() != null) {
            throw UserException.badInput(
                    file + ":" + parser.currentTokenLocation().getLineNr() + " begins a second document",
                    "keep one document: remove the lines from `---` on");
        }
        return entries;
    }

    /** The value that begins with this token; the parser stands at its end afterwards. */
    private static Object value(YAMLParser parser, JsonToken token, Path file) {
        if (parser.isCurrentAlias()) {
            throw UserException.badInput(
                    file + ":" + parser.currentTokenLocation().getLineNr() + ": '*" + parser.getString()
                            + "' refers to another value, which is not supported",
                    "write the value itself; a text that begins with * needs single quotes");
        }
        return switch (token) {
            case VALUE_NULL -> null;
            case START_ARRAY -> {
                List<Object> list = new ArrayList<>();
                for (JsonToken next = parser.nextToken(); next != JsonToken.END_ARRAY; next = parser.nextToken()) {
                    list.add(value(parser, next, file));
                }
                yield list;
            }
            case START_OBJECT -> {
                Map<String, Object> map = new LinkedHashMap<>();
                for (String name = parser.nextName(); name != null; name = parser.nextName()) {
                    map.put(name, value(parser, parser.nextToken(), file));
                }
                yield map;
            }
            default -> parser.readValueAs(Object.class);
        };
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
