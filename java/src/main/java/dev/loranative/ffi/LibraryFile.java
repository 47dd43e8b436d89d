package dev.loranative.ffi;

import dev.loranative.errors.UserException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.NotDirectoryException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.Optional;
import java.util.OptionalInt;

/**
 * Finds the file of a native library: the one named by {@code LORA_NATIVE_LIBRARY} (or the system property
 * {@code lora.native.library}), else the one inside the jar, extracted once into a cache folder named by its SHA-256.
 */
final class LibraryFile {

    static final String PROPERTY = "lora.native.library";
    static final String VARIABLE = "LORA_NATIVE_LIBRARY";
    static final String CUDA_PROPERTY = "lora.native.cuda.library";
    static final String CACHE_VARIABLE = "LORA_NATIVE_CACHE";

    private LibraryFile() {}

    static Path find(String library) {
        String property = System.getProperty(PROPERTY);
        if (property != null && !property.isBlank()) {
            return named(property, PROPERTY);
        }
        String variable = System.getenv(VARIABLE);
        if (variable != null && !variable.isBlank()) {
            return named(variable, VARIABLE);
        }
        return extract(insideJar(library), Platform.libraryFile(library), cacheFolder());
    }

    /** The CUDA library, which not every build has: the one that is named, or the one inside the jar, extracted. */
    static Optional<Path> findCuda() {
        String library = "lora_native_cuda";
        String property = System.getProperty(CUDA_PROPERTY);
        if (property != null && !property.isBlank()) {
            return Optional.of(named(property, CUDA_PROPERTY));
        }
        String fileName = Platform.libraryFile(library);
        return resourceIfPresent(fileName).map(content -> extract(content, fileName, cacheFolder()));
    }

    /** The CUDA runtime that {@link #findCuda} was built with, as the build noted it: {@code 13000} for CUDA 13.0. */
    static OptionalInt cudaVersion() {
        String fileName = "cuda-version.txt";
        String property = System.getProperty(CUDA_PROPERTY);
        return (property != null && !property.isBlank() ? textBeside(Path.of(property), fileName) : text(fileName))
                .map(line -> OptionalInt.of(Integer.parseInt(line)))
                .orElseGet(OptionalInt::empty);
    }

    private static Optional<String> textBeside(Path library, String fileName) {
        try {
            Path file = library.resolveSibling(fileName);
            return Files.exists(file) ? Optional.of(Files.readString(file).strip()) : Optional.empty();
        } catch (IOException e) {
            return Optional.empty();
        }
    }

    /** @param source the variable or property that says so */
    static Path named(String name, String source) {
        Path file = Path.of(name);
        if (!Files.isRegularFile(file)) {
            throw UserException.badInput(
                    "native library '" + name + "' (from " + source + ") does not exist",
                    "unset " + source + " to use the library inside the jar");
        }
        return file.toAbsolutePath();
    }

    /** Content of the library that was built together with these classes. */
    static byte[] insideJar(String library) {
        return resource(Platform.libraryFile(library));
    }

    /** Content of a file that the native build made. */
    static byte[] resource(String fileName) {
        return resourceIfPresent(fileName)
                .orElseThrow(() -> UserException.badInput(
                        "this jar has no native library for " + Platform.name() + " (" + resourceName(fileName) + ")",
                        "build on this machine with ./lora-native, or name a library with " + VARIABLE));
    }

    /** A line that the native build left; empty where it is empty or missing. */
    static Optional<String> text(String fileName) {
        return resourceIfPresent(fileName)
                .map(bytes -> new String(bytes, StandardCharsets.UTF_8).strip())
                .filter(line -> !line.isEmpty());
    }

    private static String resourceName(String fileName) {
        return "/native/" + Platform.name() + "/" + fileName;
    }

    private static Optional<byte[]> resourceIfPresent(String fileName) {
        String resource = resourceName(fileName);
        try (InputStream stream = LibraryFile.class.getResourceAsStream(resource)) {
            return stream == null ? Optional.empty() : Optional.of(stream.readAllBytes());
        } catch (IOException e) {
            throw UserException.failed("cannot read " + resource + " of the jar: " + e.getMessage(), "build it again");
        }
    }

    /** Complete or absent: another process may be extracting the same file. An existing file is trusted only if equal. */
    static Path extract(byte[] content, String fileName, Path cache) {
        Path folder = cache.resolve(sha256(content));
        Path file = folder.resolve(fileName);
        try {
            if (Files.isRegularFile(file) && Arrays.equals(Files.readAllBytes(file), content)) {
                return file.toAbsolutePath();
            }
            Files.createDirectories(folder);
            Path temporary = Files.createTempFile(folder, fileName, ".tmp");
            try {
                Files.write(temporary, content);
                Files.move(temporary, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
            } finally {
                Files.deleteIfExists(temporary);
            }
            return file.toAbsolutePath();
        } catch (IOException e) {
            throw UserException.failed(
                    "cannot extract the native library to '" + file + "': " + cause(e),
                    "make the cache folder writable, or name another with " + CACHE_VARIABLE);
        }
    }

    /** The exceptions of {@code java.nio} often hold only the name of a file. */
    private static String cause(IOException e) {
        return switch (e) {
            case FileAlreadyExistsException occupied -> "'" + occupied.getFile() + "' is not a folder";
            case NotDirectoryException file -> "'" + file.getFile() + "' is not a folder";
            default -> e.toString();
        };
    }

    static Path cacheFolder() {
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
