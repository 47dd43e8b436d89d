package dev.loranative.bench;

import dev.loranative.errors.UserException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collections;
import java.util.List;
import java.util.SplittableRandom;
import java.util.StringJoiner;

/** Writes samples of random tokens, every one of them a target; the same ones every time. */
public final class RandomData {

    private static final long SEED = 2;

    /** Below are the tokens that often mean padding, beginning and end. */
    private static final int FIRST = 3;

    private RandomData() {}

    /**
     * @param vocabulary tokens are below it
     * @param length tokens of each sample
     */
    public static void write(Path file, int vocabulary, int samples, int length) {
        write(file, vocabulary, Collections.nCopies(samples, length));
    }

    /**
     * @param vocabulary tokens are below it
     * @param lengths tokens of every sample
     */
    public static void write(Path file, int vocabulary, List<Integer> lengths) {
        SplittableRandom random = new SplittableRandom(SEED);
        StringBuilder text = new StringBuilder();
        for (int length : lengths) {
            StringJoiner ids = new StringJoiner(",", "[", "]");
            for (int i = 0; i < length; i++) {
                ids.add(Integer.toString(random.nextInt(FIRST, vocabulary)));
            }
            text.append("{\"input_ids\":").append(ids).append("}\n");
        }
        try {
            Files.writeString(file, text);
        } catch (IOException e) {
            throw UserException.failed("cannot write " + file + ": " + e.getMessage(), "check that there is room");
        }
    }
}
