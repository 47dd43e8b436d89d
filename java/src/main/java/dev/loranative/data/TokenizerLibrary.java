package dev.loranative.data;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Objects;
import java.util.stream.Stream;

/**
 * Settings of the tokenizer library that must stand before its first class is loaded.
 *
 * <p>Left alone, it would look for CUDA and fetch another build of itself, report its use to its makers, and unpack
 * into a hidden folder of its own.
 */
final class TokenizerLibrary {

    private static boolean prepared;

    private TokenizerLibrary() {}

    static synchronized void prepare() {
        if (prepared) {
            return;
        }
        prepared = true;
        System.setProperty("ai.djl.offline", "true");
        System.setProperty("OPT_OUT_TRACKING", "true");
        System.setProperty("RUST_FLAVOR", "cpu");
        if (System.getProperty("ENGINE_CACHE_DIR") == null
                && System.getenv("ENGINE_CACHE_DIR") == null
                && System.getenv("DJL_CACHE_DIR") == null) {
            System.setProperty("ENGINE_CACHE_DIR", cacheDirectory().toString());
        }
    }

    /** As the library finds it. */
    static String folder() {
        prepare();
        return Stream.of(
                        System.getProperty("ENGINE_CACHE_DIR"),
                        System.getenv("ENGINE_CACHE_DIR"),
                        System.getenv("DJL_CACHE_DIR"))
                .filter(Objects::nonNull)
                .findFirst()
                .orElseThrow();
    }

    /** The library unpacks once into {@code tokenizers} herein: beside ours, else in a folder of this process alone. */
    private static Path cacheDirectory() {
        Path wanted = cacheFolder(System.getenv(), System.getProperty("user.home"));
        try {
            Files.createDirectories(wanted);
            if (Files.isWritable(wanted)) {
                return wanted;
            }
        } catch (IOException e) {
            // A home that cannot be written is common in containers; the private folder below serves as well.
        }
        try {
            return Files.createTempDirectory("lora-native-tokenizers");
        } catch (IOException e) {
            return wanted;
        }
    }

    /** {@code LORA_NATIVE_CACHE}, as for our own native library, else {@code lora-native} in the user's cache. */
    static Path cacheFolder(Map<String, String> environment, String home) {
        String named = environment.get("LORA_NATIVE_CACHE");
        if (named != null && !named.isBlank()) {
            return Path.of(named).toAbsolutePath();
        }
        String xdg = environment.get("XDG_CACHE_HOME");
        Path cache = xdg != null && !xdg.isBlank() ? Path.of(xdg) : Path.of(home, ".cache");
        return cache.resolve("lora-native").toAbsolutePath();
    }

    static String firstLine(Throwable e) {
        String message = e.getMessage() == null ? e.getClass().getSimpleName() : e.getMessage();
        return message.lines().findFirst().orElse("unknown cause").strip();
    }
}
