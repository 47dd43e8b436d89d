package dev.loranative.benchmarks;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.LocalDate;
import java.time.ZoneOffset;
import java.util.concurrent.TimeUnit;

/**
 * Where and when something was measured.
 *
 * @param commit of the sources; "-changed" behind it if they were not as committed
 */
record Machine(String date, String processor, int processors, String system, String java, String commit) {

    static Machine here() {
        return new Machine(
                LocalDate.now(ZoneOffset.UTC).toString(),
                findProcessor(),
                Runtime.getRuntime().availableProcessors(),
                System.getProperty("os.name") + " " + System.getProperty("os.version"),
                System.getProperty("java.vm.name") + " " + System.getProperty("java.runtime.version"),
                findCommit());
    }

    private static String findProcessor() {
        try {
            for (String line : Files.readAllLines(Path.of("/proc/cpuinfo"))) {
                if (line.startsWith("model name")) {
                    return line.substring(line.indexOf(':') + 1).strip();
                }
            }
        } catch (IOException e) {
            // Not Linux: the architecture is all that Java knows.
        }
        return System.getProperty("os.arch");
    }

    private static String findCommit() {
        String head = git("rev-parse", "--short=10", "HEAD");
        if (head.isEmpty()) {
            return "unknown";
        }
        // Results of earlier runs are no change of what is measured.
        return git("status", "--porcelain", "--", ".", ":!benchmarks/results").isEmpty() ? head : head + "-changed";
    }

    private static String git(String... words) {
        String[] command = new String[words.length + 1];
        command[0] = "git";
        System.arraycopy(words, 0, command, 1, words.length);
        try {
            Process process = new ProcessBuilder(command)
                    .redirectError(ProcessBuilder.Redirect.DISCARD)
                    .start();
            String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
            return process.waitFor(10, TimeUnit.SECONDS) && process.exitValue() == 0 ? output.strip() : "";
        } catch (IOException e) {
            return "";
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return "";
        }
    }
}
