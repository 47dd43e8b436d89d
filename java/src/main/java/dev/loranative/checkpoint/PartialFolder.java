package dev.loranative.checkpoint;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.locks.LockSupport;

/**
 * A hidden folder that is being filled and will get its name when it is complete. Closed before that, or when the process is
 * asked to end (Ctrl-C, SIGTERM), it disappears.
 */
final class PartialFolder implements AutoCloseable {

    /** Guards what follows, and every step that makes a folder appear or disappear. */
    private static final Object LOCK = new Object();

    private static final Set<PartialFolder> OPEN = new HashSet<>();
    private static boolean watching;
    private static boolean ending;

    private static final int ATTEMPTS = 100;
    private static final long PAUSE_MILLISECONDS = 10;

    private final Path path;
    private final Path destination;

    private PartialFolder(Path path, Path destination) {
        this.path = path;
        this.destination = destination;
    }

    /** An empty folder beside {@code destination}; what a killed process left there is removed. */
    static PartialFolder create(Path destination) throws IOException {
        PartialFolder folder = new PartialFolder(FileTree.hidden(destination, "partial"), destination);
        synchronized (LOCK) {
            if (!ending) {
                if (!watching) {
                    Runtime.getRuntime().addShutdownHook(new Thread(PartialFolder::removeAll, "partial-folders"));
                    watching = true;
                }
                FileTree.delete(folder.path);
                Files.createDirectories(folder.path);
                OPEN.add(folder);
                return folder;
            }
        }
        throw waitForEnd();
    }

    Path path() {
        return path;
    }

    /** Gives the folder its name, in one step, after flushing every file in it; what has that name is replaced. */
    void publish() throws IOException {
        FileTree.flush(path);
        Path replaced = FileTree.hidden(destination, "replaced");
        synchronized (LOCK) {
            if (!ending) {
                FileTree.delete(replaced);
                if (Files.exists(destination, LinkOption.NOFOLLOW_LINKS)) {
                    Files.move(destination, replaced, StandardCopyOption.ATOMIC_MOVE);
                }
                Files.move(path, destination, StandardCopyOption.ATOMIC_MOVE);
                OPEN.remove(this);
                FileTree.flushFolder(destination.toAbsolutePath().getParent());
                FileTree.delete(replaced);
                return;
            }
        }
        throw waitForEnd();
    }

    /** Removes the folder unless it was published. */
    @Override
    public void close() {
        synchronized (LOCK) {
            if (!OPEN.contains(this)) {
                return;
            }
            if (!ending) {
                OPEN.remove(this);
                try {
                    FileTree.delete(path);
                } catch (IOException e) {
                    // The failure that led here is the one to report; what stays is hidden, and removed by the next
                    // attempt.
                }
                return;
            }
        }
        throw waitForEnd();
    }

    /** As {@link Files#createDirectories}, but never brings back a folder that was removed because the process ends. */
    static void createDirectories(Path directory) throws IOException {
        synchronized (LOCK) {
            if (!ending || OPEN.stream().noneMatch(folder -> directory.startsWith(folder.path))) {
                Files.createDirectories(directory);
                return;
            }
        }
        throw waitForEnd();
    }

    /** Other threads still run, and may write a file while it is removed: then once more. */
    private static void removeAll() {
        List<PartialFolder> open;
        synchronized (LOCK) {
            ending = true;
            open = List.copyOf(OPEN);
        }
        for (PartialFolder folder : open) {
            for (int attempt = 0; attempt < ATTEMPTS && !folder.isRemoved(); attempt++) {
                LockSupport.parkNanos(PAUSE_MILLISECONDS * 1_000_000);
            }
        }
    }

    private boolean isRemoved() {
        try {
            FileTree.delete(path);
            return true;
        } catch (IOException e) {
            return false;
        }
    }

    /** The process ends; a thread that goes on would only report that its files are gone. */
    private static IllegalStateException waitForEnd() {
        while (ending()) {
            LockSupport.park();
        }
        return new IllegalStateException("waited for an end that nobody asked for");
    }

    private static boolean ending() {
        synchronized (LOCK) {
            return ending;
        }
    }
}
