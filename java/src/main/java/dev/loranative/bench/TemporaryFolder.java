package dev.loranative.bench;

import dev.loranative.errors.UserException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.stream.Stream;

/** A folder that is gone when it is closed. */
public record TemporaryFolder(Path path) implements AutoCloseable {

    public static TemporaryFolder create() {
        try {
            return new TemporaryFolder(Files.createTempDirectory("lora-native-bench"));
        } catch (IOException e) {
            throw UserException.failed(
                    "cannot create a folder in " + System.getProperty("java.io.tmpdir") + ": " + e.getMessage(),
                    "name another one with JAVA_TOOL_OPTIONS=-Djava.io.tmpdir=FOLDER");
        }
    }

    @Override
    public void close() {
        try (Stream<Path> files = Files.walk(path)) {
            List<Path> deepestFirst = files.sorted(Comparator.reverseOrder()).toList();
            for (Path file : deepestFirst) {
                Files.deleteIfExists(file);
            }
        } catch (IOException e) {
            // The system's own clean-up takes what is left.
        }
    }
}
