package dev.loranative.benchmarks;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What {@code benchmarks/peers/run} says before it builds or measures anything. The Python is a stand-in: no test needs one. */
class PeersRunTest {

    private static final Path ROOT = Path.of("..").toAbsolutePath().normalize();

    /** Has all packages but peft, if PEFT is set to no; looks at the arguments, and ends where they would be measured. */
    private static final String PYTHON = """
            #!/bin/sh
            if [ "$1" = -c ]; then
              [ "$PEFT" != no ] || { echo "ModuleNotFoundError: No module named 'peft'" >&2; exit 1; }
              exit 0
            fi
            echo "asked: $*"
            exit 7
            """;

    @TempDir
    Path temporary;

    private Path python;

    private record Ended(int exitCode, String output) {}

    @BeforeEach
    void standIn() throws IOException {
        python = Files.writeString(temporary.resolve("python"), PYTHON);
        Files.setPosixFilePermissions(python, PosixFilePermissions.fromString("rwxr-xr-x"));
    }

    private Ended run(String peft, String... words) throws Exception {
        List<String> all = new ArrayList<>(List.of("benchmarks/peers/run"));
        all.addAll(List.of(words));
        ProcessBuilder builder =
                new ProcessBuilder(all).directory(ROOT.toFile()).redirectErrorStream(true);
        builder.environment().remove("PEERS_PYTHON");
        builder.environment().put("PEFT", peft);
        Process process = builder.start();
        String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertThat(process.waitFor(10, TimeUnit.SECONDS)).isTrue();
        return new Ended(process.exitValue(), output);
    }

    @Test
    void aPythonIsAskedFor() throws Exception {
        assertThat(run("yes")).isEqualTo(new Ended(2, """
                error: no Python named
                hint: give --python PATH or set PEERS_PYTHON; docs/benchmarks.md says how to make one
                """));
        assertThat(run("yes", "--python").output()).contains("--python has no value");
        assertThat(run("yes", "--python", temporary + "/absent").output())
                .contains("error: '" + temporary + "/absent' is no program");
    }

    @Test
    void aPackageThatIsMissingIsNamed() throws Exception {
        Ended ended = run("no", "--python", python.toString());

        assertThat(ended.exitCode()).isEqualTo(2);
        assertThat(ended.output())
                .contains("'" + python + "' cannot import torch, transformers, peft and safetensors")
                .contains("No module named 'peft'")
                .contains("hint: docs/benchmarks.md");
    }

    @Test
    void argumentsAreLookedAtBeforeAnythingIsBuilt() throws Exception {
        Ended ended = run("yes", "--python", python.toString(), "--rounds", "0");

        assertThat(ended.exitCode()).isEqualTo(7);
        assertThat(ended.output())
                .isEqualTo("asked: " + ROOT.resolve("benchmarks/peers/compare.py") + " --check --rounds 0\n");
    }

    @Test
    void helpNeedsNoPackage() throws Exception {
        assertThat(run("no", "--python", python.toString(), "--help").output())
                .isEqualTo("asked: " + ROOT.resolve("benchmarks/peers/compare.py") + " --help\n");
    }
}
