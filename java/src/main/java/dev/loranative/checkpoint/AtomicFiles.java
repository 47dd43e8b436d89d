package dev.loranative.checkpoint;

import dev.loranative.errors.UserException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.function.Function;
import java.util.stream.Stream;

/**
 * Files and folders that are complete or absent, whatever moment the process or the machine dies.
 *
 * <p>Contents are written beside their place under a hidden name, flushed to the disk, then renamed, which the file
 * system does as one step; at last the parent folder is flushed, so that the new name survives too. What a killed
 * process leaves behind under a hidden name is overwritten by the next one.
 */
public final class AtomicFiles {

    private AtomicFiles() {}

    /** Writes a file's contents to an open, empty channel. */
    @FunctionalInterface
    public interface Contents {
        void writeTo(FileChannel channel) throws IOException;
    }

    /**
     * Writes a file, replacing what is there; creates the folders above it.
     *
     * @throws UserException if the disk refuses; what was there before is untouched
     */
    public static void write(Path path, Contents contents) {
        Path hidden = FileTree.hidden(path, "partial");
        try {
            PartialFolder.createDirectories(hidden.getParent());
            try (FileChannel channel = FileChannel.open(
                    hidden,
                    StandardOpenOption.CREATE,
                    StandardOpenOption.TRUNCATE_EXISTING,
                    StandardOpenOption.WRITE)) {
                contents.writeTo(channel);
                channel.force(true);
            }
            Files.move(hidden, path, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
            FileTree.flushFolder(hidden.getParent());
        } catch (IOException e) {
            deleteQuietly(hidden);
            throw refused("write", path, e);
        } catch (RuntimeException e) {
            deleteQuietly(hidden);
            throw e;
        }
    }

    /** Writes bytes as {@link #write} does. */
    public static void writeBytes(Path path, byte[] bytes) {
        write(path, channel -> {
            ByteBuffer rest = ByteBuffer.wrap(bytes);
            while (rest.hasRemaining()) {
                channel.write(rest);
            }
        });
    }

    /** Writes UTF-8 text as {@link #write} does. */
    public static void writeString(Path path, String text) {
        writeBytes(path, text.getBytes(StandardCharsets.UTF_8));
    }

    /**
     * Refuses a place where something would be lost.
     *
     * @throws UserException unless nothing is there, or an empty folder
     */
    public static void requireFree(Path destination) {
        if (!Files.exists(destination, LinkOption.NOFOLLOW_LINKS)) {
            return;
        }
        if (Files.isDirectory(destination, LinkOption.NOFOLLOW_LINKS)) {
            try (Stream<Path> children = Files.list(destination)) {
                if (children.findAny().isEmpty()) {
                    return;
                }
            } catch (IOException e) {
                throw UserException.badInput(
                        "cannot read the folder '" + destination + "': " + reason(e), "check its permissions");
            }
        }
        throw UserException.badInput(
                "output '" + destination + "' exists already: nothing is overwritten",
                "give a folder that is not there yet, or an empty one, to --output");
    }

    /**
     * Writes a folder, replacing what is there; it appears under its name when it is complete, in one step, after every file
     * in it was flushed. If that fails, or the process is asked to end before, nothing is left of it.
     *
     * @param contents fills the empty folder that it is given
     * @throws UserException if the disk refuses; what was there before is untouched
     */
    public static <T> T writeDirectory(Path destination, Function<Path, T> contents) {
        try (PartialFolder folder = PartialFolder.create(destination)) {
            T result = contents.apply(folder.path());
            folder.publish();
            return result;
        } catch (IOException e) {
            throw refused("write", destination, e);
        }
    }

    /**
     * Removes a folder so that it is never seen half empty: it first loses its name, then its files. A folder that is
     * not there is no error.
     */
    public static void deleteDirectory(Path directory) {
        Path deleted = FileTree.hidden(directory, "deleted");
        try {
            FileTree.delete(deleted);
            if (Files.exists(directory, LinkOption.NOFOLLOW_LINKS)) {
                Files.move(directory, deleted, StandardCopyOption.ATOMIC_MOVE);
                FileTree.delete(deleted);
            }
        } catch (IOException e) {
            throw refused("delete", directory, e);
        }
    }

    private static void deleteQuietly(Path path) {
        try {
            Files.deleteIfExists(path);
        } catch (IOException e) {
            // The first failure is the one to report; the hidden file is overwritten by the next attempt.
        }
    }

    private static UserException refused(String verb, Path path, IOException e) {
        return new UserException(
                "cannot " + verb + " " + path + ": " + reason(e),
                "check the folder's permissions and the free space of the disk",
                UserException.FAILED,
                e);
    }

    private static String reason(IOException e) {
        return e instanceof FileSystemException f && f.getReason() != null
                ? f.getReason()
                : e.getClass().getSimpleName() + (e.getMessage() == null ? "" : " " + e.getMessage());
    }
}
