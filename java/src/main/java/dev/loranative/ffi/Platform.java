package dev.loranative.ffi;

import java.util.Locale;

/** Names of this machine's platform as they appear in the jar: {@code linux-x86_64}, {@code macos-aarch64}. */
final class Platform {

    private Platform() {}

    static String name() {
        return operatingSystem() + "-" + architecture();
    }

    static String libraryFile(String library) {
        return switch (operatingSystem()) {
            case "windows" -> library + ".dll";
            case "macos" -> "lib" + library + ".dylib";
            default -> "lib" + library + ".so";
        };
    }

    private static String operatingSystem() {
        String name = System.getProperty("os.name", "").toLowerCase(Locale.ROOT);
        if (name.startsWith("mac")) {
            return "macos";
        }
        return name.startsWith("windows") ? "windows" : "linux";
    }

    private static String architecture() {
        String name = System.getProperty("os.arch", "").toLowerCase(Locale.ROOT);
        return switch (name) {
            case "amd64", "x86_64" -> "x86_64";
            case "arm64", "aarch64" -> "aarch64";
            default -> name;
        };
    }
}
