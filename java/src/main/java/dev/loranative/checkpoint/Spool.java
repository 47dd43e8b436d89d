package dev.loranative.checkpoint;

import dev.loranative.errors.UserException;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;

/**
 * A temporary file for data that are made in one order and written in another: they leave the memory at once and come back
 * as a mapping. Closing it deletes the file.
 */
public final class Spool implements AutoCloseable {

    private final Path path;
    private final FileChannel channel;
    private final Arena arena = Arena.ofShared();
    private long bytes;

    private Spool(Path path, FileChannel channel) {
        this.path = path;
        this.channel = channel;
    }

    /** @throws UserException if the file cannot be created */
    public static Spool create(Path path) {
        try {
            return new Spool(
                    path,
                    FileChannel.open(
                            path, StandardOpenOption.CREATE_NEW, StandardOpenOption.READ, StandardOpenOption.WRITE));
        } catch (IOException e) {
            throw refused(path, e);
        }
    }

    /** A range of the file. */
    public record Range(long offset, long bytes) {

        /** @param file what {@link #map} gave */
        public MemorySegment of(MemorySegment file) {
            return file.asSlice(offset, bytes);
        }
    }

    /**
     * Adds data at the end.
     *
     * @param data in native memory
     */
    public Range append(MemorySegment data) {
        try {
            ByteBuffer rest = data.asByteBuffer();
            while (rest.hasRemaining()) {
                channel.write(rest, bytes + rest.position());
            }
        } catch (IOException e) {
            throw refused(path, e);
        }
        Range range = new Range(bytes, data.byteSize());
        bytes += data.byteSize();
        return range;
    }

    /** All that was added, read-only, until the spool is closed; nothing may be added afterwards. */
    public MemorySegment map() {
        try {
            return channel.map(FileChannel.MapMode.READ_ONLY, 0, bytes, arena);
        } catch (IOException e) {
            throw refused(path, e);
        }
    }

    @Override
    public void close() {
        arena.close();
        try {
            channel.close();
            Files.deleteIfExists(path);
        } catch (IOException e) {
            throw refused(path, e);
        }
    }

    private static UserException refused(Path path, IOException e) {
        return new UserException(
                "cannot write " + path + ": " + e.getMessage(),
                "check the folder's permissions and the free space of the disk",
                UserException.FAILED,
                e);
    }
}
