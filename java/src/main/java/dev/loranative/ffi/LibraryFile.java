package dev.loranative.ffi;

import dev.loranative.errors.UserException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import java.util.HexFormat;

/**
 * Finds the file of a native library: the one named by {@code LORA_NATIVE_LIBRARY} (or the system property
 * {@code lora.native.library}), else the one inside the jar, extracted once into a cache folder named by its SHA-256.
 */
final class LibraryFile {

    static final String PROPERTY = "lora.native.library";
    static final String VARIABLE = "LORA_NATIVE_LIBRARY";
    static final String CACHE_VARIABLE = "LORA_NATIVE_CACHE";

    private LibraryFile() {}

    static Path find(String library) {
        String named = System.getProperty(PROPERTY, System.getenv(VARIABLE));
        if (named != null && !named.isBlank()) {
            Path file = Path.of(named);
            if (!Files.isRegularFile(file)) {
                throw UserException.badInput(
                        "native library '" + named + "' (from " + VARIABLE + ") does not exist",
                        "unset " + VARIABLE + " to use the library inside the jar");
            }
            return file.toAbsolutePath();
        }
        String resource = "/native/" + Platform.name() + "/" + Platform.libraryFile(library);
        try (InputStream stream = LibraryFile.class.getResourceAsStream(resource)) {
            if (stream == null) {
                throw UserException.badInput(
                        "this jar has no native library for " + Platform.name() + " (" + resource + ")",
                        "build on this machine with ./lora-native, or name a library with " + VARIABLE);
            }
            return extract(stream.readAllBytes(), Platform.libraryFile(library));
        } catch (IOException e) {
            throw UserException.failed(
                    "cannot extract the native library: " + e.getMessage(),
                    "make the cache folder writable, or name another with " + CACHE_VARIABLE);
        }
    }

    /** Complete or absent: another process may be extracting the same file. An existing file is trusted only if equal. */
    private static Path extract(byte[] content, String fileName) throws IOException {
        Path folder = cacheFolder().resolve(sha256(content));
        Path file = folder.resolve(fileName);
        if (Files.isRegularFile(file) && Arrays.equals(Files.readAllBytes(file), content)) {
            return file;
        }
        Files.createDirectories(folder);
        Path temporary = Files.createTempFile(folder, fileName, ".tmp");
        try {
            Files.write(temporary, content);
            Files.move(temporary, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
        } finally {
            Files.deleteIfExists(temporary);
        }
        return file;
    }

    private static Path cacheFolder() {
        String named = System.getenv(CACHE_VARIABLE);
        if (named != null && !named.isBlank()) {
            return Path.of(named);
        }
        String xdg = System.getenv("XDG_CACHE_HOME");
        Path home = xdg != null && !xdg.isBlank() ? Path.of(xdg) : Path.of(System.getProperty("user.home"), ".cache");
        return home.resolve("lora-native");
    }

    private static String sha256(byte[] content) {
        try {
            return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(content));
        } catch (NoSuchAlgorithmException e) {
            throw new AssertionError(e);
        }
    }
}
