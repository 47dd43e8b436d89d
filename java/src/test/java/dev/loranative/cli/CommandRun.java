package dev.loranative.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.function.BooleanSupplier;
import java.util.stream.Stream;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** A command that has run inside this JVM, and what it wrote. */
record CommandRun(int exitCode, String out, String err) {

    /** A tiny mixture of experts with pre-tokenised data. */
    static final Path MOE = reference("qwen3moe-router");

    static final Path MOE_MODEL = MOE.resolve("model");
    static final Path MOE_DATA = MOE.resolve("data.jsonl");

    /** The example model, with a tokenizer. */
    static final Path EXAMPLE = Path.of("..", "examples", "tiny-moe");

    static Path reference(String name) {
        return Path.of("src", "test", "resources", "reference", name);
    }

    static CommandRun of(Object... args) {
        return interruptible(() -> false, args);
    }

    /** @param interrupted stands for Ctrl-C */
    static CommandRun interruptible(BooleanSupplier interrupted, Object... args) {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        ByteArrayOutputStream err = new ByteArrayOutputStream();
        Console console = new Console(
                new PrintStream(out, true, StandardCharsets.UTF_8),
                new PrintStream(err, true, StandardCharsets.UTF_8),
                Terminal.NONE,
                _ -> interrupted,
                false);
        int exitCode = Main.run(Stream.of(args).map(Object::toString).toArray(String[]::new), console);
        return new CommandRun(exitCode, out.toString(StandardCharsets.UTF_8), err.toString(StandardCharsets.UTF_8));
    }

    /** Exit code 0; the result without the last line's end. */
    String result() {
        assertThat(exitCode).as(err).isZero();
        return out.stripTrailing();
    }

    /** Exit code 0 and one document, nothing else. */
    JsonNode json() {
        assertThat(out.strip().lines()).as(err).hasSize(1);
        return JsonMapper.shared().readTree(result());
    }

    /** Checks the form that every error has, and gives its first line without {@code error:}. */
    String error(int expectedExitCode) {
        List<String> lines = err.lines().toList();
        assertThat(lines).hasSize(2);
        assertThat(lines.get(0)).startsWith("error: ").hasSizeGreaterThan(10);
        assertThat(lines.get(1)).startsWith("hint: ").hasSizeGreaterThan(8);
        assertThat(exitCode).as(err).isEqualTo(expectedExitCode);
        assertThat(out).isEmpty();
        return lines.get(0).substring("error: ".length());
    }

    String hint() {
        return err.lines().toList().getLast().substring("hint: ".length());
    }
}
