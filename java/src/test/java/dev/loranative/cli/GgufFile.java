package dev.loranative.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** A GGUF file as a reader sees it: an independent one, by the format's description. */
record GgufFile(Map<String, Object> metadata, Map<String, Tensor> tensors) {

    /** @param dimensions from the fastest to the slowest */
    record Tensor(List<Long> dimensions, int type, float[] values) {}

    private record Heading(String name, List<Long> dimensions, int type, long offset) {}

    static GgufFile read(Path path) throws IOException {
        ByteBuffer file = ByteBuffer.wrap(Files.readAllBytes(path)).order(ByteOrder.LITTLE_ENDIAN);
        byte[] magic = new byte[4];
        file.get(magic);
        assertThat(new String(magic, StandardCharsets.US_ASCII)).isEqualTo("GGUF");
        assertThat(file.getInt()).isEqualTo(3);
        long tensorCount = file.getLong();
        long keys = file.getLong();
        Map<String, Object> metadata = new LinkedHashMap<>();
        for (long i = 0; i < keys; i++) {
            String key = text(file);
            int type = file.getInt();
            metadata.put(
                    key,
                    switch (type) {
                        case 4 -> (Object) file.getInt();
                        case 6 -> (Object) file.getFloat();
                        case 8 -> text(file);
                        default -> throw new AssertionError(key + " has type " + type);
                    });
        }
        List<Heading> headings = new ArrayList<>();
        for (long i = 0; i < tensorCount; i++) {
            String name = text(file);
            List<Long> dimensions = new ArrayList<>();
            for (int n = file.getInt(); n > 0; n--) {
                dimensions.add(file.getLong());
            }
            headings.add(new Heading(name, dimensions, file.getInt(), file.getLong()));
        }
        int start = (file.position() + 31) / 32 * 32;
        Map<String, Tensor> tensors = new LinkedHashMap<>();
        int end = start;
        for (Heading heading : headings) {
            assertThat(heading.offset() % 32).isZero();
            assertThat(start + heading.offset())
                    .as("no hole before " + heading.name())
                    .isEqualTo(end);
            int count = Math.toIntExact(heading.dimensions().stream().reduce(1L, (a, b) -> a * b));
            float[] values = new float[count];
            int place = Math.toIntExact(start + heading.offset());
            for (int j = 0; j < count; j++) {
                values[j] = switch (heading.type()) {
                    case 0 -> file.getFloat(place + 4 * j);
                    case 1 -> Float.float16ToFloat(file.getShort(place + 2 * j));
                    default -> throw new AssertionError(heading.name() + " has type " + heading.type());
                };
            }
            end = (place + count * (heading.type() == 0 ? 4 : 2) + 31) / 32 * 32;
            tensors.put(heading.name(), new Tensor(heading.dimensions(), heading.type(), values));
        }
        assertThat(file.capacity()).isEqualTo(end);
        return new GgufFile(metadata, tensors);
    }

    private static String text(ByteBuffer file) {
        byte[] bytes = new byte[Math.toIntExact(file.getLong())];
        file.get(bytes);
        return new String(bytes, StandardCharsets.UTF_8);
    }
}
