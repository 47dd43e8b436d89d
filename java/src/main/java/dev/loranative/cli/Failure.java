package dev.loranative.cli;

import dev.loranative.errors.UserException;
import dev.loranative.ffi.KernelException;

/**
 * Why a command ended, as the user reads it.
 *
 * @param message one line: what is wrong
 * @param hint one line: what to do
 */
record Failure(String message, String hint, int exitCode) {

    /** Characters of a line; longer ones come from broken files. */
    private static final int LONGEST = 2000;

    Failure {
        message = oneLine(message);
        hint = oneLine(hint);
    }

    static Failure of(Throwable cause) {
        return switch (cause) {
            case UserException e -> new Failure(e.getMessage(), e.hint(), e.exitCode());
            case KernelException e ->
                new Failure(
                        "a kernel refused its arguments: " + e.getMessage(),
                        "this is a defect of lora-native: report it with what --stacktrace prints",
                        UserException.FAILED);
            case OutOfMemoryError e -> outOfMemory(e);
            default ->
                new Failure(
                        "internal: " + cause,
                        "this is a defect of lora-native: run it again with --stacktrace and report what it prints",
                        UserException.FAILED);
        };
    }

    private static Failure outOfMemory(OutOfMemoryError e) {
        long heap = Runtime.getRuntime().maxMemory() >> 20;
        return new Failure(
                "out of memory: " + e.getMessage() + "; the Java heap may take " + heap + " MiB",
                "allow it more: JDK_JAVA_OPTIONS=-Xmx" + Math.max(1, heap * 2 / 1024) + "g ./lora-native …",
                UserException.DOES_NOT_FIT);
    }

    private static String oneLine(String text) {
        // Names come from files: a control character would move the cursor or colour the terminal.
        String line =
                text == null ? "" : text.strip().replaceAll("\\s*\\R\\s*", " ").replaceAll("\\p{Cntrl}", "?");
        return line.length() <= LONGEST ? line : line.substring(0, LONGEST) + "…";
    }
}
