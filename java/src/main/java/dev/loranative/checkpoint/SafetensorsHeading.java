package dev.loranative.checkpoint;

import java.io.StringWriter;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.Comparator;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import tools.jackson.core.JsonGenerator;
import tools.jackson.core.ObjectWriteContext;
import tools.jackson.core.json.JsonFactory;

/** What stands before the data of a safetensors file that is written: the length field and the JSON, padded. */
final class SafetensorsHeading {

    private static final JsonFactory JSON = new JsonFactory();

    /** Data starts at a multiple of this, so that a mapped file's tensors are aligned for their types. */
    private static final int ALIGNMENT = 8;

    /** Wider types first, then by name, as the format's own library does, which aligns every tensor. */
    static final Comparator<TensorPlan> ORDER = Comparator.comparingInt(
                    (TensorPlan tensor) -> -tensor.type().bytes())
            .thenComparing(TensorPlan::name);

    private SafetensorsHeading() {}

    /** @param tensors in the order of their data, without repetition */
    static ByteBuffer bytes(List<TensorPlan> tensors, Map<String, String> metadata) {
        Set<String> names = new HashSet<>();
        for (TensorPlan tensor : tensors) {
            if (!names.add(tensor.name())) {
                throw new IllegalArgumentException(tensor.name() + " is given twice");
            }
        }
        StringWriter text = new StringWriter();
        try (JsonGenerator json = JSON.createGenerator(ObjectWriteContext.empty(), text)) {
            json.writeStartObject();
            if (!metadata.isEmpty()) {
                json.writeName(SafetensorsHeader.METADATA);
                json.writeStartObject();
                new TreeMap<>(metadata).forEach(json::writeStringProperty);
                json.writeEndObject();
            }
            long offset = 0;
            for (TensorPlan tensor : tensors) {
                long end = Math.addExact(offset, tensor.bytes());
                json.writeName(tensor.name());
                json.writeStartObject();
                json.writeStringProperty("dtype", tensor.type().name());
                json.writeName("shape");
                writeArray(json, tensor.shape());
                json.writeName("data_offsets");
                writeArray(json, List.of(offset, end));
                json.writeEndObject();
                offset = end;
            }
            json.writeEndObject();
        }
        byte[] plain = text.toString().getBytes(StandardCharsets.UTF_8);
        int padding = Math.floorMod(-plain.length, ALIGNMENT);
        ByteBuffer heading = ByteBuffer.allocate(SafetensorsHeader.LENGTH_BYTES + plain.length + padding)
                .order(ByteOrder.LITTLE_ENDIAN);
        heading.putLong(plain.length + padding)
                .put(plain)
                .put(" ".repeat(padding).getBytes(StandardCharsets.US_ASCII));
        return heading.flip();
    }

    private static void writeArray(JsonGenerator json, List<Long> numbers) {
        json.writeStartArray();
        numbers.forEach(json::writeNumber);
        json.writeEndArray();
    }
}
