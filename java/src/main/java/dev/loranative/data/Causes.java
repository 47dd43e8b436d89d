package dev.loranative.data;

import java.nio.charset.CharacterCodingException;
import java.nio.file.AccessDeniedException;
import java.nio.file.NoSuchFileException;

/** Says on one line why a file could not be read; the exceptions of {@code java.nio} often hold only its name. */
final class Causes {

    private Causes() {}

    static String oneLine(Exception e) {
        return switch (e) {
            case NoSuchFileException missing -> "no such file";
            case AccessDeniedException denied -> "permission denied";
            case CharacterCodingException coding -> "not UTF-8";
            default ->
                e.getMessage() == null
                        ? e.getClass().getSimpleName()
                        : e.getMessage().replaceAll("\\s+", " ").strip();
        };
    }
}
