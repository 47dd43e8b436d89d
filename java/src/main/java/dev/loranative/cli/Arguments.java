package dev.loranative.cli;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * The words of the command line as they were typed. In a locale without UTF-8, the usual one of containers, Java replaces
 * every character beyond ASCII before a program sees it; Linux still knows the bytes.
 */
final class Arguments {

    private static final Path COMMAND_LINE = Path.of("/proc/self/cmdline");

    private Arguments() {}

    static String[] asTyped(String[] args) {
        for (String argument : args) {
            if (!isAscii(argument)) {
                try {
                    return restored(args, Files.readAllBytes(COMMAND_LINE));
                } catch (IOException e) {
                    // Not Linux.
                    return args;
                }
            }
        }
        return args;
    }

    /** @param commandLine of the whole process: words that each end with a zero byte, ours last */
    static String[] restored(String[] args, byte[] commandLine) {
        String[] words = new String(commandLine, StandardCharsets.UTF_8).split("\0", -1);
        int count = words.length - 1;
        if (count < args.length) {
            return args;
        }
        String[] restored = new String[args.length];
        System.arraycopy(words, count - args.length, restored, 0, args.length);
        for (int i = 0; i < args.length; i++) {
            // An argument file (@file) of the java launcher shifts the words: then nothing is known.
            if (isAscii(args[i]) && !args[i].equals(restored[i])) {
                return args;
            }
        }
        return restored;
    }

    private static boolean isAscii(String text) {
        return text.chars().allMatch(character -> character < 128);
    }
}
