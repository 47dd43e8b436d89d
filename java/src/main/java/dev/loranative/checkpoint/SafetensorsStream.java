package dev.loranative.checkpoint;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;

/**
 * Writes safetensors files that are larger than the memory: their tensors are made one after the other, in pieces, while
 * the file is written. As atomic as {@link SafetensorsWriter}, and with the same order of tensors.
 */
public final class SafetensorsStream {

    private static final int PIECE_BYTES = 4 << 20;

    private SafetensorsStream() {}

    /** Makes a tensor: gives all its elements to the sink, in order. */
    @FunctionalInterface
    public interface Producer {
        void produce(TensorPlan tensor, Sink sink);
    }

    /** Where the elements of one tensor go. */
    public static final class Sink {

        private final FileChannel channel;
        private final ByteBuffer piece;
        private final TensorPlan tensor;
        private long written;

        private Sink(FileChannel channel, ByteBuffer piece, TensorPlan tensor) {
            this.channel = channel;
            this.piece = piece;
            this.tensor = tensor;
        }

        /** The next {@code count} elements, rounded to the tensor's type. */
        public void floats(float[] values, int count) {
            int step = PIECE_BYTES / tensor.type().bytes();
            for (int first = 0; first < count; first += step) {
                piece.clear();
                FloatCodec.encode(values, first, Math.min(step, count - first), tensor.type(), piece);
                put(piece.flip());
            }
        }

        /** All bytes of a tensor of the same type and shape, as they are. */
        public void copy(Checkpoint checkpoint, String name) {
            MemorySegment data = checkpoint.data(name);
            for (long done = 0; done < data.byteSize(); done += PIECE_BYTES) {
                put(data.asSlice(done, Math.min(PIECE_BYTES, data.byteSize() - done))
                        .asByteBuffer());
            }
        }

        private void put(ByteBuffer bytes) {
            written += bytes.remaining();
            try {
                writeFully(channel, bytes);
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }

        private void requireComplete() {
            if (written != tensor.bytes()) {
                throw new IllegalStateException(
                        tensor.name() + " got " + written + " bytes instead of " + tensor.bytes());
            }
        }
    }

    /**
     * Writes a file.
     *
     * @param metadata strings for {@code __metadata__}
     * @throws dev.loranative.errors.UserException if the disk refuses; what the producer throws goes through
     */
    public static void write(Path path, List<TensorPlan> tensors, Map<String, String> metadata, Producer producer) {
        List<TensorPlan> ordered =
                tensors.stream().sorted(SafetensorsHeading.ORDER).toList();
        ByteBuffer heading = SafetensorsHeading.bytes(ordered, metadata);
        AtomicFiles.write(path, channel -> {
            writeFully(channel, heading);
            ByteBuffer piece = ByteBuffer.allocateDirect(PIECE_BYTES).order(ByteOrder.LITTLE_ENDIAN);
            for (TensorPlan tensor : ordered) {
                Sink sink = new Sink(channel, piece, tensor);
                try {
                    producer.produce(tensor, sink);
                } catch (UncheckedIOException e) {
                    throw e.getCause();
                }
                sink.requireComplete();
            }
        });
    }

    private static void writeFully(FileChannel channel, ByteBuffer bytes) throws IOException {
        while (bytes.hasRemaining()) {
            channel.write(bytes);
        }
    }
}
