package dev.loranative.train;

import dev.loranative.errors.UserException;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;

/**
 * Keeps a second process out of an output folder while a run fills it. A killed process leaves the hidden file behind,
 * but not the lock on it.
 *
 * <p>The file is one that nothing else opens: on POSIX systems a process loses its locks on a file as soon as it closes
 * any of its descriptors of that file.
 */
final class RunLock implements AutoCloseable {

    private static final String NAME = ".run.lock";

    private final Path file;
    private final FileChannel channel;

    private RunLock(Path file, FileChannel channel) {
        this.file = file;
        this.channel = channel;
    }

    /** @param folder exists */
    static RunLock acquire(Path folder) {
        Path file = folder.resolve(NAME);
        try {
            FileChannel channel = FileChannel.open(file, StandardOpenOption.CREATE, StandardOpenOption.WRITE);
            if (!isFree(channel)) {
                channel.close();
                throw UserException.badInput(
                        "output_dir '" + folder + "' is in use by another process",
                        "wait until it ends, or choose another --output");
            }
            return new RunLock(file, channel);
        } catch (IOException e) {
            throw UserException.badInput(
                    "output_dir '" + folder + "' cannot be written: " + e.getMessage(), "choose another --output");
        }
    }

    private static boolean isFree(FileChannel channel) {
        try {
            return channel.tryLock() != null;
        } catch (OverlappingFileLockException e) {
            return false;
        } catch (IOException e) {
            // Some network file systems have no locks; the run itself does not need one.
            return true;
        }
    }

    @Override
    public void close() {
        try (channel) {
            Files.deleteIfExists(file);
        } catch (IOException e) {
            // An empty hidden file that stays does no harm.
        }
    }
}
