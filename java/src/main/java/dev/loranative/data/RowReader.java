package dev.loranative.data;

import de.siegmar.fastcsv.reader.CsvParseException;
import de.siegmar.fastcsv.reader.CsvReader;
import de.siegmar.fastcsv.reader.FieldMismatchStrategy;
import de.siegmar.fastcsv.reader.NamedCsvRecord;
import dev.loranative.errors.UserException;
import java.io.BufferedInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.CharacterCodingException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.function.BiConsumer;
import tools.jackson.core.JacksonException;
import tools.jackson.core.JsonParser;
import tools.jackson.core.JsonToken;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ObjectNode;

/**
 * Reads the rows of a data set as JSON objects, one at a time.
 *
 * <ul>
 *   <li>{@code .jsonl} (or {@code .ndjson}): an object on each line; empty lines are skipped.
 *   <li>{@code .json}: an array of objects; a file that begins with an object is read as {@code .jsonl}.
 *   <li>{@code .csv}: RFC 4180 in UTF-8, the first row names the columns; every value is a string.
 * </ul>
 *
 * Files are UTF-8; a byte-order mark at the start is skipped.
 */
final class RowReader {

    private static final String UTF8_HINT = "save the file as UTF-8";

    private static final String CSV_HINT =
            "every row has as many fields as the header; a field with a comma, quote or line break is quoted";

    private RowReader() {}

    /** @throws UserException with {@code FILE:LINE} when the file cannot be read or a row is no object */
    static void read(Path file, String suffix, BiConsumer<Place, ObjectNode> rows) {
        try {
            switch (suffix) {
                case "jsonl", "ndjson" -> readLines(file, rows);
                case "json" -> readJson(file, rows);
                case "csv" -> readCsv(file, rows);
                default -> throw new IllegalArgumentException(suffix);
            }
        } catch (IOException | UncheckedIOException e) {
            Exception cause = e instanceof UncheckedIOException unchecked ? unchecked.getCause() : e;
            throw UserException.badInput(
                    file + " cannot be read: " + Causes.oneLine(cause),
                    cause instanceof CharacterCodingException ? UTF8_HINT : "check the path and its permissions");
        }
    }

    private static void readLines(Path file, BiConsumer<Place, ObjectNode> rows) throws IOException {
        try (LineReader lines = new LineReader(Files.newInputStream(file))) {
            while (lines.next()) {
                Place place = new Place.Line(file, lines.number());
                String line;
                try {
                    line = lines.text();
                } catch (CharacterCodingException e) {
                    throw UserException.badInput(place + ": not UTF-8", UTF8_HINT);
                }
                if (!line.isBlank()) {
                    rows.accept(place, parseLine(place, line));
                }
            }
        }
    }

    private static ObjectNode parseLine(Place place, String line) {
        try {
            return asObject(place, Json.MAPPER.readTree(line));
        } catch (JacksonException e) {
            throw UserException.badInput(
                    place + ": malformed JSON" + Json.column(e) + ": " + Json.reason(e),
                    "every line is one JSON object on its own, with double quotes");
        }
    }

    private static void readJson(Path file, BiConsumer<Place, ObjectNode> rows) throws IOException {
        if (firstCharacter(file) == '{') {
            readLines(file, rows);
            return;
        }
        try (InputStream stream = Files.newInputStream(file);
                JsonParser parser = Json.MAPPER.createParser(LineReader.withoutMark(stream))) {
            JsonToken first = parser.nextToken();
            if (first != JsonToken.START_ARRAY) {
                throw UserException.badInput(
                        file + " holds " + (first == null ? "nothing" : "no JSON array"),
                        "a .json data set is an array of objects; for one object per line use .jsonl");
            }
            while (parser.nextToken() != JsonToken.END_ARRAY) {
                Place place = new Place.Line(file, parser.currentTokenLocation().getLineNr());
                rows.accept(place, asObject(place, parser.readValueAsTree()));
            }
            if (parser.nextToken() != null) {
                throw UserException.badInput(
                        file + ":" + parser.currentTokenLocation().getLineNr() + ": text after the end of the array",
                        "a .json data set is one array of objects");
            }
        } catch (JacksonException e) {
            throw UserException.badInput(
                    file + ":" + Json.line(e) + ": malformed JSON" + Json.column(e) + ": " + Json.reason(e),
                    "a .json data set is an array of objects; for one object per line use .jsonl");
        }
    }

    private static int firstCharacter(Path file) throws IOException {
        try (InputStream stream = new BufferedInputStream(LineReader.withoutMark(Files.newInputStream(file)))) {
            int c;
            do {
                c = stream.read();
            } while (c == ' ' || c == '\t' || c == '\n' || c == '\r');
            return c;
        }
    }

    private static ObjectNode asObject(Place place, JsonNode node) {
        if (node instanceof ObjectNode object) {
            return object;
        }
        throw UserException.badInput(
                place + ": a row is a JSON object, not "
                        + (node.isMissingNode()
                                ? "empty"
                                : node.getNodeType().name().toLowerCase(Locale.ROOT)),
                "write for example {\"text\": \"…\"} or {\"prompt\": \"…\", \"completion\": \"…\"}");
    }

    private static void readCsv(Path file, BiConsumer<Place, ObjectNode> rows) throws IOException {
        try (CsvReader<NamedCsvRecord> csv = CsvReader.builder()
                .extraFieldStrategy(FieldMismatchStrategy.IGNORE)
                .missingFieldStrategy(FieldMismatchStrategy.IGNORE)
                .allowUnclosedQuote(false)
                .ofNamedCsvRecord(Utf8.strictReader(LineReader.withoutMark(Files.newInputStream(file))))) {
            for (NamedCsvRecord row : csv) {
                Place place = new Place.Line(file, row.getStartingLineNumber());
                List<String> header = row.getHeader();
                if (row.getFieldCount() != header.size()) {
                    throw UserException.badInput(
                            place + ": " + row.getFieldCount() + " fields, but the header has " + header.size(),
                            CSV_HINT);
                }
                ObjectNode object = Json.MAPPER.createObjectNode();
                for (String column : header) {
                    object.put(column, row.getField(column));
                }
                rows.accept(place, object);
            }
        } catch (CsvParseException e) {
            if (e.getCause() instanceof CharacterCodingException) {
                throw UserException.badInput(file + " cannot be read: not UTF-8", UTF8_HINT);
            }
            String reason =
                    Causes.oneLine(e) + (e.getCause() instanceof Exception cause ? ": " + Causes.oneLine(cause) : "");
            throw UserException.badInput(file + ": malformed CSV: " + reason, CSV_HINT);
        }
    }
}
