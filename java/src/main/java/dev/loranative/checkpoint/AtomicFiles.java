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
import java.util.Comparator;
import java.util.List;
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
        Path hidden = hidden(path, "partial");
        try {
            Files.createDirectories(hidden.getParent());
            try (FileChannel channel = FileChannel.open(
                    hidden,
                    StandardOpenOption.CREATE,
                    StandardOpenOption.TRUNCATE_EXISTING,
                    StandardOpenOption.WRITE)) {
                contents.writeTo(channel);
                channel.force(true);
            }
            Files.move(hidden, path, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
            flushFolder(hidden.getParent());
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
     * An empty hidden folder beside {@code destination}, to be filled and then given to {@link #publishDirectory}. What
     * an interrupted run left there is removed.
     */
    public static Path stagingDirectory(Path destination) {
        Path staging = hidden(destination, "partial");
        try {
            deleteTree(staging);
            return Files.createDirectories(staging);
        } catch (IOException e) {
            throw refused("create", staging, e);
        }
    }

    /**
     * Makes a filled folder appear under its final name in one step, after flushing every file in it. A folder that is
     * already there is replaced; it stays until the new one is complete.
     *
     * @param staging on the same file system as {@code destination}, best from {@link #stagingDirectory}
     * @throws UserException if the disk refuses
     */
    public static void publishDirectory(Path staging, Path destination) {
        Path replaced = hidden(destination, "replaced");
        try {
            flushTree(staging);
            deleteTree(replaced);
            if (Files.exists(destination, LinkOption.NOFOLLOW_LINKS)) {
                Files.move(destination, replaced, StandardCopyOption.ATOMIC_MOVE);
            }
            Files.move(staging, destination, StandardCopyOption.ATOMIC_MOVE);
            flushFolder(destination.toAbsolutePath().getParent());
            deleteTree(replaced);
        } catch (IOException e) {
            throw refused("write", destination, e);
        }
    }

    /**
     * Removes a folder so that it is never seen half empty: it first loses its name, then its files. A folder that is
     * not there is no error.
     */
    public static void deleteDirectory(Path directory) {
        Path deleted = hidden(directory, "deleted");
        try {
            deleteTree(deleted);
            if (Files.exists(directory, LinkOption.NOFOLLOW_LINKS)) {
                Files.move(directory, deleted, StandardCopyOption.ATOMIC_MOVE);
                deleteTree(deleted);
            }
        } catch (IOException e) {
            throw refused("delete", directory, e);
        }
    }

    /** Removes a {@link #stagingDirectory} that will not be published; what cannot be removed stays hidden. */
    public static void discard(Path staging) {
        try {
            deleteTree(staging);
        } catch (IOException e) {
            // The failure that led here is the one to report.
        }
    }

    private static Path hidden(Path path, String state) {
        Path whole = path.toAbsolutePath();
        return whole.resolveSibling("." + whole.getFileName() + "." + state);
    }

    private static void flushTree(Path root) throws IOException {
        List<Path> paths;
        try (Stream<Path> walk = Files.walk(root)) {
            paths = walk.sorted(Comparator.reverseOrder()).toList();
        }
        for (Path path : paths) {
            if (Files.isDirectory(path, LinkOption.NOFOLLOW_LINKS)) {
                flushFolder(path);
            } else if (Files.isRegularFile(path, LinkOption.NOFOLLOW_LINKS)) {
                try (FileChannel channel = FileChannel.open(path, StandardOpenOption.WRITE)) {
                    channel.force(true);
                }
            }
        }
    }

    private static void flushFolder(Path folder) throws IOException {
        // Windows cannot open a folder as a file; there the rename is journalled by the file system.
        if (folder.getFileSystem().supportedFileAttributeViews().contains("posix")) {
            try (FileChannel channel = FileChannel.open(folder, StandardOpenOption.READ)) {
                channel.force(true);
            }
        }
    }

    private static void deleteTree(Path root) throws IOException {
        if (!Files.exists(root, LinkOption.NOFOLLOW_LINKS)) {
            return;
        }
        List<Path> paths;
        try (Stream<Path> walk = Files.walk(root)) {
            paths = walk.sorted(Comparator.reverseOrder()).toList();
        }
        for (Path path : paths) {
            Files.delete(path);
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
        String reason = e instanceof FileSystemException f && f.getReason() != null
                ? f.getReason()
                : e.getClass().getSimpleName() + (e.getMessage() == null ? "" : " " + e.getMessage());
        return new UserException(
                "cannot " + verb + " " + path + ": " + reason,
                "check the folder's permissions and the free space of the disk",
                UserException.FAILED,
                e);
    }
}
