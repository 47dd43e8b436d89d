package dev.loranative.checkpoint;

import dev.loranative.errors.ParserMessage;
import dev.loranative.errors.UserException;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.CodingErrorAction;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import tools.jackson.core.JacksonException;
import tools.jackson.core.JsonParser;
import tools.jackson.core.JsonToken;
import tools.jackson.core.ObjectReadContext;
import tools.jackson.core.StreamReadFeature;
import tools.jackson.core.json.JsonFactory;

/**
 * The checked header of a safetensors file: eight bytes of length (little endian), a JSON object, then the data.
 *
 * <p>Invariant of every instance: the tensors' byte ranges lie inside the file, do not overlap, leave no hole and no
 * byte behind, and each is as long as its type and shape say.
 *
 * @param tensors by name, in the order of the header
 * @param metadata the strings under {@code __metadata__}, in the order of the header
 */
record SafetensorsHeader(Map<String, TensorEntry> tensors, Map<String, String> metadata) {

    /** Bytes of the length field before the JSON. */
    static final int LENGTH_BYTES = Long.BYTES;

    /** The format's own limit on the JSON. */
    static final long LONGEST_HEADER = 100_000_000;

    static final String METADATA = "__metadata__";

    private static final JsonFactory JSON = JsonFactory.builder()
            .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
            .disable(StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION)
            .build();

    SafetensorsHeader {
        tensors = Collections.unmodifiableMap(tensors);
        metadata = Collections.unmodifiableMap(metadata);
    }

    /**
     * Checks the length field.
     *
     * @param length as read from the first eight bytes
     * @param fileBytes size of the whole file
     */
    static void checkLength(Path file, long length, long fileBytes) {
        // The field is unsigned: what Java sees as negative is far beyond any file.
        if (length < 0 || length > fileBytes - LENGTH_BYTES) {
            throw broken(
                    file,
                    "the header length is " + Long.toUnsignedString(length) + ", but only " + (fileBytes - LENGTH_BYTES)
                            + " bytes follow it");
        }
        if (length > LONGEST_HEADER) {
            throw broken(
                    file,
                    "the header length is " + length + ", above the format's limit of " + LONGEST_HEADER + " bytes");
        }
    }

    /**
     * Reads and checks the JSON of a header.
     *
     * @param json the bytes after the length field
     * @param fileBytes size of the whole file
     */
    static SafetensorsHeader parse(Path file, byte[] json, long fileBytes) {
        String text;
        try {
            text = StandardCharsets.UTF_8
                    .newDecoder()
                    .onMalformedInput(CodingErrorAction.REPORT)
                    .onUnmappableCharacter(CodingErrorAction.REPORT)
                    .decode(ByteBuffer.wrap(json))
                    .toString();
        } catch (CharacterCodingException e) {
            throw broken(file, "the header is not UTF-8");
        }
        if (!text.startsWith("{")) {
            throw broken(file, "the header does not begin with '{'");
        }
        long dataStart = LENGTH_BYTES + json.length;
        SafetensorsHeader header = new Parser(file, dataStart).parse(text);
        checkLayout(file, header.tensors.values(), dataStart, fileBytes);
        return header;
    }

    private static void checkLayout(Path file, Collection<TensorEntry> tensors, long dataStart, long fileBytes) {
        List<TensorEntry> ordered = new ArrayList<>(tensors);
        ordered.sort(Comparator.comparingLong(TensorEntry::offset).thenComparingLong(TensorEntry::bytes));
        // All of these first: beside a tensor that lies outside, another one seems to begin at the wrong place.
        for (TensorEntry tensor : ordered) {
            if (tensor.offset() + tensor.bytes() > fileBytes) {
                throw broken(
                        file,
                        "tensor " + tensor.name() + " has data_offsets " + offsets(tensor, dataStart)
                                + ", outside the file's " + (fileBytes - dataStart) + " bytes of data");
            }
        }
        long end = dataStart;
        for (TensorEntry tensor : ordered) {
            long begin = tensor.offset();
            if (begin != end) {
                throw broken(
                        file,
                        "tensor " + tensor.name() + " has data_offsets " + offsets(tensor, dataStart)
                                + (begin < end ? ", which overlaps the tensor before it" : ", which leaves a hole")
                                + " (expected to begin at " + (end - dataStart) + ")");
            }
            end = begin + tensor.bytes();
        }
        if (end != fileBytes) {
            throw broken(file, (fileBytes - end) + " bytes after the last tensor belong to none");
        }
    }

    private static String offsets(TensorEntry tensor, long dataStart) {
        long begin = tensor.offset() - dataStart;
        return "[" + begin + ", " + (begin + tensor.bytes()) + "]";
    }

    static UserException broken(Path file, String what) {
        // Names come from the file and may hold anything; the message must stay one line.
        return UserException.badInput(
                file + " is not a valid safetensors file: " + what.replaceAll("\\p{Cntrl}", "?"),
                "copy or download the file again; compare its size with the original's");
    }

    /** One pass over the JSON tokens; knows which tensor it is in, so that every error can name it. */
    private static final class Parser {

        private final Path file;
        private final long dataStart;
        private final Map<String, TensorEntry> tensors = new LinkedHashMap<>();
        private final Map<String, String> metadata = new LinkedHashMap<>();
        private String place = "the header";

        Parser(Path file, long dataStart) {
            this.file = file;
            this.dataStart = dataStart;
        }

        SafetensorsHeader parse(String text) {
            try (JsonParser json = JSON.createParser(ObjectReadContext.empty(), text)) {
                json.nextToken();
                for (String name = json.nextName(); name != null; name = json.nextName()) {
                    place = name.equals(METADATA) ? METADATA : "tensor " + name;
                    json.nextToken();
                    if (name.equals(METADATA)) {
                        readMetadata(json);
                    } else {
                        tensors.put(name, readTensor(json, name));
                    }
                    place = "after " + place;
                }
                if (json.nextToken() != null) {
                    throw broken(file, "the header goes on after its JSON object");
                }
            } catch (JacksonException e) {
                throw broken(file, place + ": " + ParserMessage.plain(e.getOriginalMessage()));
            }
            return new SafetensorsHeader(tensors, metadata);
        }

        private void readMetadata(JsonParser json) {
            require(json, JsonToken.START_OBJECT, "an object of strings");
            for (String key = json.nextName(); key != null; key = json.nextName()) {
                json.nextToken();
                require(json, JsonToken.VALUE_STRING, "a string under '" + key + "'");
                metadata.put(key, json.getString());
            }
        }

        private TensorEntry readTensor(JsonParser json, String name) {
            require(json, JsonToken.START_OBJECT, "an object with dtype, shape and data_offsets");
            ElementType type = null;
            List<Long> shape = null;
            List<Long> offsets = null;
            for (String key = json.nextName(); key != null; key = json.nextName()) {
                json.nextToken();
                switch (key) {
                    case "dtype" -> type = readType(json);
                    case "shape" -> shape = readNumbers(json, key);
                    case "data_offsets" -> offsets = readNumbers(json, key);
                    default -> json.skipChildren();
                }
            }
            if (type == null || shape == null || offsets == null) {
                throw broken(
                        file, place + " lacks " + (type == null ? "dtype" : shape == null ? "shape" : "data_offsets"));
            }
            if (offsets.size() != 2 || offsets.get(0) > offsets.get(1)) {
                throw broken(
                        file, place + " has data_offsets " + offsets + ", expected [begin, end] with begin <= end");
            }
            // begin + dataStart could pass the largest long; such an offset is outside any file all the same.
            if (offsets.get(1) > Long.MAX_VALUE - dataStart) {
                throw broken(file, place + " has data_offsets " + offsets + ", outside the file");
            }
            long length = offsets.get(1) - offsets.get(0);
            if (byteCount(type, shape) != length) {
                throw broken(
                        file,
                        place + " has data_offsets " + offsets + " (" + length + " bytes), but dtype " + type
                                + " and shape " + shape + " need " + byteCount(type, shape));
            }
            return new TensorEntry(name, type, shape, file, dataStart + offsets.get(0), length);
        }

        private ElementType readType(JsonParser json) {
            require(json, JsonToken.VALUE_STRING, "a string under 'dtype'");
            String name = json.getString();
            return ElementType.named(name)
                    .orElseThrow(() -> broken(file, place + " has dtype '" + name + "', which is not known"));
        }

        private List<Long> readNumbers(JsonParser json, String key) {
            require(json, JsonToken.START_ARRAY, "an array under '" + key + "'");
            List<Long> numbers = new ArrayList<>();
            while (json.nextToken() != JsonToken.END_ARRAY) {
                require(json, JsonToken.VALUE_NUMBER_INT, "whole numbers under '" + key + "'");
                long number;
                try {
                    number = json.getLongValue();
                } catch (JacksonException e) {
                    throw broken(file, place + " has " + json.getString() + " under '" + key + "', too large");
                }
                if (number < 0) {
                    throw broken(file, place + " has " + number + " under '" + key + "', which must not be negative");
                }
                numbers.add(number);
            }
            return numbers;
        }

        private long byteCount(ElementType type, List<Long> shape) {
            try {
                long bytes = type.bytes();
                for (long size : shape) {
                    bytes = Math.multiplyExact(bytes, size);
                }
                return bytes;
            } catch (ArithmeticException e) {
                throw broken(file, place + " has shape " + shape + ", whose size overflows 64 bits");
            }
        }

        private void require(JsonParser json, JsonToken expected, String wanted) {
            if (json.currentToken() != expected) {
                throw broken(file, place + " has " + json.getString() + " where " + wanted + " is expected");
            }
        }
    }
}
