package dev.loranative.benchmarks;

import java.io.File;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * The words behind a program that checks a device: {@code --name value}, some of them more than once. A GPU that failed
 * answers nothing more in its process, so another process can go on with the same words and more.
 */
record CheckWords(List<String> words) {

    /** @throws IllegalArgumentException for a name that is not in {@code names}, or has no value */
    static CheckWords parse(String[] args, List<String> names) {
        for (int i = 0; i < args.length; i += 2) {
            if (!names.contains(args[i])) {
                throw new IllegalArgumentException("'" + args[i] + "' is unknown; there are " + names);
            }
            if (i + 1 == args.length) {
                throw new IllegalArgumentException(args[i] + " has no value");
            }
        }
        return new CheckWords(List.of(args));
    }

    List<String> all(String name) {
        List<String> values = new ArrayList<>();
        for (int i = 0; i < words.size(); i += 2) {
            if (words.get(i).equals(name)) {
                values.add(words.get(i + 1));
            }
        }
        return values;
    }

    Optional<String> last(String name) {
        List<String> values = all(name);
        return values.isEmpty() ? Optional.empty() : Optional.of(values.getLast());
    }

    String last(String name, String otherwise) {
        return last(name).orElse(otherwise);
    }

    /** Runs {@code program} in a process of its own, with more words behind these, and waits for it. */
    int goOn(Class<?> program, String... more) {
        List<String> command = new ArrayList<>(List.of(
                ProcessHandle.current().info().command().orElse("java"),
                "--enable-native-access=ALL-UNNAMED",
                "-cp",
                System.getProperty("java.class.path")));
        System.getProperties().forEach((name, value) -> {
            if (name.toString().startsWith("lora.native.")) {
                command.add("-D" + name + "=" + value);
            }
        });
        command.add(program.getName());
        command.addAll(words);
        command.addAll(List.of(more));
        try {
            return new ProcessBuilder(command)
                    .inheritIO()
                    .directory(new File("").getAbsoluteFile())
                    .start()
                    .waitFor();
        } catch (IOException e) {
            throw new IllegalStateException("no process to go on in", e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return 1;
        }
    }
}
