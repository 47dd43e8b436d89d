package dev.loranative.checkpoint;

import dev.loranative.errors.UserException;
import java.io.IOException;
import java.io.StringWriter;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import tools.jackson.core.JsonGenerator;
import tools.jackson.core.ObjectWriteContext;
import tools.jackson.core.json.JsonFactory;

/** Writes safetensors files, atomically: afterwards the path holds either the whole new file or what it held before. */
public final class SafetensorsWriter {

    private static final JsonFactory JSON = new JsonFactory();

    /** Data starts at a multiple of this, so that a mapped file's tensors are aligned for their types. */
    private static final int ALIGNMENT = 8;

    /** Heap segments and very long native ones go to the channel in pieces of this size. */
    private static final long PIECE_BYTES = 4L << 20;

    private SafetensorsWriter() {}

    /**
     * A tensor to write.
     *
     * @param name any name but {@code __metadata__}
     * @param shape sizes from the slowest to the fastest dimension
     * @param data exactly the elements, row major, little endian
     */
    public record Tensor(String name, ElementType type, List<Long> shape, MemorySegment data) {

        public Tensor {
            shape = List.copyOf(shape);
            long bytes = type.bytes();
            for (long size : shape) {
                if (size < 0) {
                    throw new IllegalArgumentException(name + " has the negative size " + size + " in " + shape);
                }
                bytes = Math.multiplyExact(bytes, size);
            }
            if (bytes != data.byteSize()) {
                throw new IllegalArgumentException(
                        name + " has " + data.byteSize() + " bytes, but " + type + " " + shape + " needs " + bytes);
            }
            if (name.equals(SafetensorsHeader.METADATA)) {
                throw new IllegalArgumentException(name + " is reserved by the format");
            }
        }
    }

    /**
     * Writes a file. The bytes depend only on names, contents and metadata, not on the order of the arguments: wider
     * types first, then by name, as the format's own library does, which aligns every tensor.
     *
     * @param metadata strings for {@code __metadata__}, for example {@code format: pt}, which transformers demands; may
     *     be empty
     * @throws UserException if the disk refuses
     */
    public static void write(Path path, List<Tensor> tensors, Map<String, String> metadata) {
        List<Tensor> ordered = new ArrayList<>(tensors);
        ordered.sort(Comparator.comparingInt((Tensor tensor) -> -tensor.type().bytes())
                .thenComparing(Tensor::name));
        Set<String> names = new HashSet<>();
        for (Tensor tensor : ordered) {
            if (!names.add(tensor.name())) {
                throw new IllegalArgumentException(tensor.name() + " is given twice");
            }
        }
        byte[] header = header(ordered, metadata);
        AtomicFiles.write(path, channel -> {
            ByteBuffer length =
                    ByteBuffer.allocate(SafetensorsHeader.LENGTH_BYTES).order(ByteOrder.LITTLE_ENDIAN);
            writeFully(channel, length.putLong(0, header.length));
            writeFully(channel, ByteBuffer.wrap(header));
            try (Arena arena = Arena.ofConfined()) {
                MemorySegment piece = arena.allocate(PIECE_BYTES);
                for (Tensor tensor : ordered) {
                    writeData(channel, tensor.data(), piece);
                }
            }
        });
    }

    private static byte[] header(List<Tensor> tensors, Map<String, String> metadata) {
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
            for (Tensor tensor : tensors) {
                long end = Math.addExact(offset, tensor.data().byteSize());
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
        text.append(" ".repeat(Math.floorMod(-utf8Bytes(text), ALIGNMENT)));
        return text.toString().getBytes(StandardCharsets.UTF_8);
    }

    private static int utf8Bytes(StringWriter text) {
        return text.toString().getBytes(StandardCharsets.UTF_8).length;
    }

    private static void writeArray(JsonGenerator json, List<Long> numbers) {
        json.writeStartArray();
        numbers.forEach(json::writeNumber);
        json.writeEndArray();
    }

    private static void writeData(FileChannel channel, MemorySegment data, MemorySegment piece) throws IOException {
        for (long done = 0; done < data.byteSize(); done += PIECE_BYTES) {
            MemorySegment part = data.asSlice(done, Math.min(PIECE_BYTES, data.byteSize() - done));
            if (!part.isNative()) {
                MemorySegment.copy(part, 0, piece, 0, part.byteSize());
                part = piece.asSlice(0, part.byteSize());
            }
            writeFully(channel, part.asByteBuffer());
            Checkpoint.release(part);
        }
    }

    private static void writeFully(FileChannel channel, ByteBuffer bytes) throws IOException {
        while (bytes.hasRemaining()) {
            channel.write(bytes);
        }
    }
}
