package dev.loranative.checkpoint;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Writes files in the GGUF format, version 3, little endian, of llama.cpp; atomically.
 *
 * <p>Header: the letters GGUF, version, number of tensors, number of keys; keys with their values; for every tensor its name,
 * dimensions from the fastest to the slowest, type, and offset into the data, which starts at the next multiple of the
 * alignment, as every tensor does.
 */
public final class GgufWriter {

    private static final int VERSION = 3;

    /** The format's default, so that no key has to name it. */
    private static final int ALIGNMENT = 32;

    private static final int MOST_DIMENSIONS = 4;
    private static final int PIECE_ELEMENTS = 1 << 18;

    private static final int UINT32 = 4;
    private static final int FLOAT32 = 6;
    private static final int STRING = 8;

    private GgufWriter() {}

    /**
     * A tensor to write.
     *
     * @param type F32, F16 or BF16
     * @param shape sizes from the slowest to the fastest dimension, as in safetensors
     * @param values row major; rounded to the type
     */
    public record Tensor(String name, ElementType type, List<Long> shape, float[] values) {

        public Tensor {
            shape = List.copyOf(shape);
            long elements = shape.stream().reduce(1L, Math::multiplyExact);
            if (elements != values.length || shape.isEmpty() || shape.size() > MOST_DIMENSIONS) {
                throw new IllegalArgumentException(name + ": " + values.length + " numbers in shape " + shape);
            }
        }

        long bytes() {
            return (long) values.length * type.bytes();
        }
    }

    /**
     * Writes a file.
     *
     * @param metadata keys with a String, Integer (stored as unsigned) or Float each, in this order
     * @throws dev.loranative.errors.UserException if the disk refuses
     */
    public static void write(Path path, Map<String, Object> metadata, List<Tensor> tensors) {
        ByteBuffer header = header(metadata, tensors);
        AtomicFiles.write(path, channel -> {
            writeFully(channel, header);
            ByteBuffer piece =
                    ByteBuffer.allocateDirect(PIECE_ELEMENTS * Float.BYTES).order(ByteOrder.LITTLE_ENDIAN);
            for (Tensor tensor : tensors) {
                for (int first = 0; first < tensor.values().length; first += PIECE_ELEMENTS) {
                    int count = Math.min(PIECE_ELEMENTS, tensor.values().length - first);
                    FloatCodec.encode(tensor.values(), first, count, tensor.type(), piece.clear());
                    writeFully(channel, piece.flip());
                }
                writeFully(channel, ByteBuffer.allocate((int) padding(tensor.bytes())));
            }
        });
    }

    private static ByteBuffer header(Map<String, Object> metadata, List<Tensor> tensors) {
        Fields fields = new Fields();
        fields.raw("GGUF".getBytes(StandardCharsets.US_ASCII));
        fields.int32(VERSION);
        fields.int64(tensors.size());
        fields.int64(metadata.size());
        metadata.forEach(fields::entry);
        Set<String> names = new HashSet<>();
        long offset = 0;
        for (Tensor tensor : tensors) {
            if (!names.add(tensor.name())) {
                throw new IllegalArgumentException(tensor.name() + " is given twice");
            }
            fields.string(tensor.name());
            fields.int32(tensor.shape().size());
            tensor.shape().reversed().forEach(fields::int64);
            fields.int32(number(tensor.type()));
            fields.int64(offset);
            offset += tensor.bytes() + padding(tensor.bytes());
        }
        fields.raw(new byte[(int) padding(fields.size())]);
        return ByteBuffer.wrap(fields.bytes());
    }

    private static long padding(long bytes) {
        return Math.floorMod(-bytes, (long) ALIGNMENT);
    }

    /** The number of a type among ggml's. */
    private static int number(ElementType type) {
        return switch (type) {
            case F32 -> 0;
            case F16 -> 1;
            case BF16 -> 30;
            default -> throw new IllegalArgumentException(type + " is not written as GGUF");
        };
    }

    private static void writeFully(FileChannel channel, ByteBuffer bytes) throws IOException {
        while (bytes.hasRemaining()) {
            channel.write(bytes);
        }
    }

    /** The header as it grows. */
    private static final class Fields {

        private final ByteArrayOutputStream out = new ByteArrayOutputStream();

        void raw(byte[] bytes) {
            try {
                out.write(bytes);
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }

        void int32(int value) {
            raw(ByteBuffer.allocate(Integer.BYTES)
                    .order(ByteOrder.LITTLE_ENDIAN)
                    .putInt(value)
                    .array());
        }

        void int64(long value) {
            raw(ByteBuffer.allocate(Long.BYTES)
                    .order(ByteOrder.LITTLE_ENDIAN)
                    .putLong(value)
                    .array());
        }

        void string(String text) {
            byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
            int64(bytes.length);
            raw(bytes);
        }

        void entry(String key, Object value) {
            string(key);
            switch (value) {
                case String text -> {
                    int32(STRING);
                    string(text);
                }
                case Integer number -> {
                    int32(UINT32);
                    int32(number);
                }
                case Float number -> {
                    int32(FLOAT32);
                    int32(Float.floatToIntBits(number));
                }
                default -> throw new IllegalArgumentException(key + " has a value of " + value.getClass());
            }
        }

        int size() {
            return out.size();
        }

        byte[] bytes() {
            return out.toByteArray();
        }
    }
}
