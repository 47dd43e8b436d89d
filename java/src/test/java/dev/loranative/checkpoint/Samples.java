package dev.loranative.checkpoint;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;

/** Files for the tests of this package, well formed or not. */
final class Samples {

    private Samples() {}

    /** A file of length field, header and data; single quotes in the header stand for double ones. */
    static Path write(Path path, String header, int dataBytes) throws IOException {
        byte[] json = header.replace('\'', '"').getBytes(StandardCharsets.UTF_8);
        return write(path, json.length, json, dataBytes);
    }

    static Path write(Path path, long length, byte[] header, int dataBytes) throws IOException {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        bytes.write(ByteBuffer.allocate(Long.BYTES)
                .order(ByteOrder.LITTLE_ENDIAN)
                .putLong(0, length)
                .array());
        bytes.write(header);
        bytes.write(new byte[dataBytes]);
        return Files.write(path, bytes.toByteArray());
    }

    /** A valid file with an F32 vector for every name: element i is i. */
    static Path writeVectors(Path path, int size, String... names) {
        float[] values = new float[size];
        for (int i = 0; i < size; i++) {
            values[i] = i;
        }
        List<SafetensorsWriter.Tensor> tensors = List.of(names).stream()
                .map(name -> new SafetensorsWriter.Tensor(
                        name, ElementType.F32, List.of((long) size), MemorySegment.ofArray(values)))
                .toList();
        SafetensorsWriter.write(path, tensors, Map.of());
        return path;
    }
}
