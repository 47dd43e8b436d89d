package dev.loranative.quant;

import dev.loranative.errors.ParserMessage;
import dev.loranative.errors.UserException;
import java.math.BigDecimal;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;
import tools.jackson.core.JacksonException;
import tools.jackson.core.StreamReadFeature;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/**
 * The JSON text that a checkpoint holds as a tensor of bytes beside every 4-bit weight. bitsandbytes refuses keys that it
 * does not know, so none is added, and the text is the one that Python's {@code json.dumps} writes.
 */
final class QuantStateJson {

    private static final JsonMapper JSON = JsonMapper.builder()
            .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
            .disable(StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION)
            .build();

    private static final Set<String> DTYPES = Set.of("float32", "bfloat16", "float16");

    /** Sizes of one weight, and of one that holds all experts of a layer. */
    private static final int PLAIN = 2;

    private static final int STACKED = 3;

    /** Far above any weight, far below what overflows. */
    private static final long MOST_ELEMENTS = 1L << 60;

    private final JsonNode root;
    private final String tensor;

    private QuantStateJson(JsonNode root, String tensor) {
        this.root = root;
        this.tensor = tensor;
    }

    /**
     * @param tensor name of the tensor that holds the text, for messages
     * @throws UserException if the text is no JSON, a value is missing, or is none that can be computed with
     */
    static QuantState parse(byte[] text, String tensor) {
        try {
            JsonNode root = JSON.readTree(new String(text, StandardCharsets.UTF_8));
            if (!root.isObject()) {
                throw broken(tensor, "is not a JSON object");
            }
            return new QuantStateJson(root, tensor).read();
        } catch (JacksonException e) {
            throw broken(tensor, "is not JSON: " + ParserMessage.plain(e.getOriginalMessage()));
        }
    }

    private QuantState read() {
        String word = text("quant_type");
        QuantType type = QuantType.named(word)
                .orElseThrow(() -> UserException.badInput(
                        tensor + " has the quant_type '" + word + "'", "known are " + QuantType.words()));
        long blockSize = integer("blocksize");
        if (!QuantState.isBlockSize(blockSize)) {
            throw broken(
                    tensor,
                    "has the blocksize " + blockSize + ", which must be a power of two from " + QuantState.LEAST_BLOCK
                            + " to " + QuantState.LARGEST_BLOCK);
        }
        String dtype = text("dtype");
        if (!DTYPES.contains(dtype)) {
            throw broken(tensor, "has the dtype '" + dtype + "', expected float32, bfloat16 or float16");
        }
        return new QuantState(type, (int) blockSize, dtype, shape(), nested());
    }

    private List<Long> shape() {
        JsonNode shape = node("shape");
        List<Long> sizes = new ArrayList<>();
        long elements = 1;
        for (JsonNode size : shape) {
            boolean possible = size.isIntegralNumber()
                    && size.canConvertToLong()
                    && size.longValue() >= 1
                    && size.longValue() <= MOST_ELEMENTS / elements;
            if (!possible) {
                throw impossible(shape);
            }
            elements *= size.longValue();
            sizes.add(size.longValue());
        }
        if (sizes.size() != PLAIN && sizes.size() != STACKED) {
            throw impossible(shape);
        }
        return sizes;
    }

    private UserException impossible(JsonNode shape) {
        return broken(tensor, "has the shape " + shape + ", expected [out, in] or [experts, out, in]");
    }

    private Optional<QuantState.Nested> nested() {
        List<String> keys = List.of("nested_blocksize", "nested_dtype", "nested_offset");
        List<String> missing =
                keys.stream().filter(key -> !root.hasNonNull(key)).toList();
        if (missing.size() == keys.size()) {
            return Optional.empty();
        }
        if (!missing.isEmpty()) {
            throw broken(tensor, "lacks " + String.join(", ", missing) + " of its double quantisation");
        }
        long blockSize = integer("nested_blocksize");
        if (blockSize != QuantState.NESTED_BLOCK) {
            throw broken(tensor, "has the nested_blocksize " + blockSize + ", expected " + QuantState.NESTED_BLOCK);
        }
        if (!text("nested_dtype").equals("float32")) {
            throw broken(tensor, "has the nested_dtype " + root.get("nested_dtype") + ", expected \"float32\"");
        }
        JsonNode offset = node("nested_offset");
        if (!offset.isNumber() || !Float.isFinite((float) offset.doubleValue())) {
            throw broken(tensor, "has the nested_offset " + offset + ", expected a finite number");
        }
        return Optional.of(new QuantState.Nested((int) blockSize, (float) offset.doubleValue()));
    }

    private JsonNode node(String key) {
        if (!root.hasNonNull(key)) {
            throw broken(tensor, "lacks " + key);
        }
        return root.get(key);
    }

    private String text(String key) {
        JsonNode value = node(key);
        if (!value.isString()) {
            throw broken(tensor, "has the " + key + " " + value + ", expected a string");
        }
        return value.stringValue();
    }

    private long integer(String key) {
        JsonNode value = node(key);
        if (!value.isIntegralNumber() || !value.canConvertToLong()) {
            throw broken(tensor, "has the " + key + " " + value + ", expected a whole number");
        }
        return value.longValue();
    }

    private static UserException broken(String tensor, String what) {
        return UserException.badInput(tensor + " " + what, "copy or download the checkpoint again");
    }

    /** The text of a state, as bitsandbytes writes it. */
    static byte[] write(QuantState state) {
        StringBuilder json = new StringBuilder("{\"quant_type\": \"")
                .append(state.type().word())
                .append("\", \"blocksize\": ")
                .append(state.blockSize())
                .append(", \"dtype\": \"")
                .append(state.dtype())
                .append("\", \"shape\": [")
                .append(state.shape().stream().map(String::valueOf).collect(Collectors.joining(", ")))
                .append(']');
        state.nested()
                .ifPresent(nested -> json.append(", \"nested_blocksize\": ")
                        .append(nested.blockSize())
                        .append(", \"nested_dtype\": \"float32\", \"nested_offset\": ")
                        .append(pythonNumber(nested.offset())));
        return json.append('}').toString().getBytes(StandardCharsets.UTF_8);
    }

    /** The shortest digits that mean this number, in Python's spelling: {@code 0.0001}, {@code 1e-05}, {@code 1e+16}. */
    static String pythonNumber(double value) {
        if (value == 0) {
            return 1 / value < 0 ? "-0.0" : "0.0";
        }
        BigDecimal shortest = new BigDecimal(Double.toString(value)).stripTrailingZeros();
        String digits = shortest.unscaledValue().abs().toString();
        int exponent = digits.length() - 1 - shortest.scale();
        String sign = value < 0 ? "-" : "";
        if (exponent >= -4 && exponent < 16) {
            String plain = shortest.abs().toPlainString();
            return sign + (plain.contains(".") ? plain : plain + ".0");
        }
        String fraction = digits.length() == 1 ? "" : "." + digits.substring(1);
        return sign + digits.charAt(0) + fraction + "e" + (exponent < 0 ? "-" : "+")
                + (Math.abs(exponent) < 10 ? "0" : "") + Math.abs(exponent);
    }
}
