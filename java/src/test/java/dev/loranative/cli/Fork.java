package dev.loranative.cli;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/** The command line in a JVM of its own, with another environment and other system properties than the tests have. */
final class Fork {

    private final Path folder;
    private final Map<String, String> environment = new LinkedHashMap<>();
    private final Map<String, String> properties = new LinkedHashMap<>();
    private String classPath = System.getProperty("java.class.path");

    /** @param folder for what it writes */
    Fork(Path folder) {
        this.folder = folder;
        for (String inherited : List.of("lora.native.library", "lora.native.cuda.library")) {
            String value = System.getProperty(inherited);
            if (value != null) {
                properties.put(inherited, value);
            }
        }
    }

    Fork environment(String name, Object value) {
        environment.put(name, value.toString());
        return this;
    }

    Fork property(String name, Object value) {
        properties.put(name, value.toString());
        return this;
    }

    Fork classPath(String other) {
        classPath = other;
        return this;
    }

    CommandRun run(Object... arguments) throws IOException, InterruptedException {
        List<String> words = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "--enable-native-access=ALL-UNNAMED",
                "-XX:TieredStopAtLevel=1",
                "-cp",
                classPath));
        properties.forEach((name, value) -> words.add("-D" + name + "=" + value));
        words.add(Main.class.getName());
        for (Object argument : arguments) {
            words.add(argument.toString());
        }
        Path out = Files.createTempFile(folder, "out", ".txt");
        Path err = Files.createTempFile(folder, "err", ".txt");
        ProcessBuilder builder =
                new ProcessBuilder(words).redirectOutput(out.toFile()).redirectError(err.toFile());
        builder.environment().putAll(environment);
        Process process = builder.start();
        if (!process.waitFor(5, TimeUnit.MINUTES)) {
            process.destroyForcibly();
            throw new AssertionError("still running: " + words);
        }
        return new CommandRun(process.exitValue(), Files.readString(out), Files.readString(err));
    }
}
