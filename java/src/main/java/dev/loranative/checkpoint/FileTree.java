package dev.loranative.checkpoint;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Comparator;
import java.util.List;
import java.util.stream.Stream;

/** Files and folders as the steps of an atomic change see them. Links are never followed. */
final class FileTree {

    private FileTree() {}

    /** A name beside a file or folder under which it waits. */
    static Path hidden(Path path, String state) {
        Path whole = path.toAbsolutePath();
        return whole.resolveSibling("." + whole.getFileName() + "." + state);
    }

    /** Removes a folder with all that is in it, or a file; what is not there is no error. */
    static void delete(Path root) throws IOException {
        if (!Files.exists(root, LinkOption.NOFOLLOW_LINKS)) {
            return;
        }
        for (Path path : deepestFirst(root)) {
            Files.deleteIfExists(path);
        }
    }

    /** Brings every file and folder to the disk. */
    static void flush(Path root) throws IOException {
        for (Path path : deepestFirst(root)) {
            if (Files.isDirectory(path, LinkOption.NOFOLLOW_LINKS)) {
                flushFolder(path);
            } else if (Files.isRegularFile(path, LinkOption.NOFOLLOW_LINKS)) {
                try (FileChannel channel = FileChannel.open(path, StandardOpenOption.WRITE)) {
                    channel.force(true);
                }
            }
        }
    }

    /** Brings the names in a folder to the disk. */
    static void flushFolder(Path folder) throws IOException {
        // Windows cannot open a folder as a file; there the rename is journalled by the file system.
        if (folder.getFileSystem().supportedFileAttributeViews().contains("posix")) {
            try (FileChannel channel = FileChannel.open(folder, StandardOpenOption.READ)) {
                channel.force(true);
            }
        }
    }

    private static List<Path> deepestFirst(Path root) throws IOException {
        try (Stream<Path> walk = Files.walk(root)) {
            return walk.sorted(Comparator.reverseOrder()).toList();
        } catch (UncheckedIOException e) {
            // A file that another thread renames or removes meanwhile.
            throw e.getCause();
        }
    }
}
