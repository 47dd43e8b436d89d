package dev.loranative.checkpoint;

import dev.loranative.errors.UserException;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;

/** Writes safetensors files, atomically: afterwards the path holds either the whole new file or what it held before. */
public final class SafetensorsWriter {

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
            long bytes = new TensorPlan(name, type, shape).bytes();
            if (bytes != data.byteSize()) {
                throw new IllegalArgumentException(
                        name + " has " + data.byteSize() + " bytes, but " + type + " " + shape + " needs " + bytes);
            }
        }

        TensorPlan plan() {
            return new TensorPlan(name, type, shape);
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
        ordered.sort(Comparator.comparing(Tensor::plan, SafetensorsHeading.ORDER));
        ByteBuffer heading =
                SafetensorsHeading.bytes(ordered.stream().map(Tensor::plan).toList(), metadata);
        AtomicFiles.write(path, channel -> {
            writeFully(channel, heading);
            try (Arena arena = Arena.ofConfined()) {
                MemorySegment piece = arena.allocate(PIECE_BYTES);
                for (Tensor tensor : ordered) {
                    writeData(channel, tensor.data(), piece);
                }
            }
        });
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
