package dev.loranative.ffi;

import dev.loranative.errors.UserException;
import java.nio.file.Path;

/** A program of the native build, which travels in the jar beside the library and is unpacked into the same cache. */
public final class NativeProgram {

    private NativeProgram() {}

    /**
     * @param name of the file
     * @throws UserException if this jar has none for this platform, or it cannot be made executable
     */
    public static Path find(String name) {
        Path file = LibraryFile.extract(LibraryFile.resource(name), name, LibraryFile.cacheFolder());
        if (!file.toFile().setExecutable(true) || !file.toFile().canExecute()) {
            throw UserException.failed(
                    "cannot make '" + file + "' executable",
                    "name a cache folder on a file system that allows programs with " + LibraryFile.CACHE_VARIABLE);
        }
        return file;
    }
}
