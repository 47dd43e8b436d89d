package dev.loranative.benchmarks;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Pattern;
import java.util.regex.PatternSyntaxException;

/**
 * What to measure.
 *
 * @param only names of rows that contain a match; the whole step is {@code step SHAPE}
 * @param seconds of one iteration
 * @param iterations measured, after two to warm up
 * @param output folder of the result files
 */
record SuiteOptions(Pattern only, List<Integer> threads, double seconds, int iterations, Path output) {

    static final String USAGE = """
            usage: benchmarks/run [--only REGEX] [--threads 1,2] [--seconds 0.3] [--iterations 5] [--quick] [--output DIR]
              --only        rows whose name contains a match, for example 'linear_fwd .*bf16|step moe'
              --threads     thread counts for the ops, each in turn; the last one also for the steps
              --quick       --seconds 0.1 --iterations 3
              --output      default benchmarks/results
            Writes kernels-DATE.json and .md; with --only, kernels-part-DATE: a part must not take the place of the whole.
            """;

    /** @throws IllegalArgumentException in words for people */
    static SuiteOptions parse(List<String> words) {
        Pattern only = Pattern.compile("");
        List<Integer> threads = List.of(1, Math.max(1, Runtime.getRuntime().availableProcessors()));
        double seconds = 0.3;
        int iterations = 5;
        Path output = Path.of("benchmarks", "results");
        for (int i = 0; i < words.size(); i++) {
            String word = words.get(i);
            if (word.equals("--quick")) {
                seconds = 0.1;
                iterations = 3;
                continue;
            }
            if (i + 1 == words.size()) {
                throw new IllegalArgumentException("'" + word + "' is unknown or lacks its value");
            }
            String value = words.get(++i);
            try {
                switch (word) {
                    case "--only" -> only = Pattern.compile(value);
                    case "--threads" -> threads = counts(value);
                    case "--seconds" -> seconds = Double.parseDouble(value);
                    case "--iterations" -> iterations = Integer.parseInt(value);
                    case "--output" -> output = Path.of(value);
                    default -> throw new IllegalArgumentException("unknown option '" + word + "'");
                }
            } catch (NumberFormatException | PatternSyntaxException e) {
                throw new IllegalArgumentException(word + " " + value + ": " + e.getMessage(), e);
            }
        }
        if (!(seconds > 0) || iterations < 1) {
            throw new IllegalArgumentException("--seconds and --iterations must be above 0");
        }
        if (threads.stream().anyMatch(count -> count < 1)) {
            throw new IllegalArgumentException("--threads must all be at least 1");
        }
        return new SuiteOptions(only, threads.stream().distinct().toList(), seconds, iterations, output);
    }

    private static List<Integer> counts(String list) {
        List<Integer> counts = new ArrayList<>();
        for (String count : list.split(",")) {
            counts.add(Integer.parseInt(count.strip()));
        }
        return counts;
    }

    /** Whether rows were chosen. */
    boolean isPart() {
        return !only.pattern().isEmpty();
    }

    boolean wants(String name) {
        return only.matcher(name).find();
    }
}
