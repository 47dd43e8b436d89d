package dev.loranative.benchmarks;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * {@code benchmarks/gpu/pack} and {@code benchmarks/gpu/run.sh} as they are used on a machine with a GPU, on the stand-in driver
 * with emulated kernels. Runs behind the packaging: benchmarks.jar is what is packed.
 */
class GpuRunTest {

    private static final Path ROOT = Path.of("..").toAbsolutePath().normalize();

    /** Stands for the tool: runs the program that it is to watch, but for the two that test what becomes of failures. */
    private static final String SANITIZER = """
            #!/bin/sh
            tool=$2
            shift 4
            [ "$tool" != "$SANITIZER_FAILS" ] || { echo "found an error"; exit 1; }
            [ "$tool" != "$SANITIZER_HANGS" ] || exec sleep 60
            exec "$@"
            """;

    @TempDir
    Path temporary;

    private Path results;

    private record Ended(int exitCode, String output) {}

    @BeforeAll
    static void pack() throws Exception {
        Ended packed = start(Map.of(), "benchmarks/gpu/pack", "--emulated", "--built", "--folder", "--no-java");
        assertThat(packed.exitCode()).as(packed.output()).isZero();
    }

    @BeforeEach
    void stubs() throws IOException {
        results = temporary.resolve("results");
        executable("compute-sanitizer", SANITIZER);
        executable("python", "#!/bin/sh\nexit 1\n");
    }

    private void executable(String name, String text) throws IOException {
        Path file = Files.writeString(temporary.resolve(name), text);
        Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rwxr-xr-x"));
    }

    private Ended run(Map<String, String> environment, String... words) throws Exception {
        return ended(started(environment, words));
    }

    private Process started(Map<String, String> environment, String... words) throws Exception {
        List<String> all = new ArrayList<>(List.of("benchmarks/gpu/run.sh", "--pack", "build/gpu/pack", "--quick"));
        all.addAll(List.of("--output", results.toString()));
        all.addAll(List.of("--python", temporary.resolve("python").toString()));
        all.addAll(List.of(words));
        Map<String, String> more = new HashMap<>(environment);
        more.put("PATH", temporary + ":" + System.getenv("PATH"));
        return process(more, all.toArray(String[]::new));
    }

    private static Ended start(Map<String, String> environment, String... words) throws Exception {
        return ended(process(environment, words));
    }

    private static Process process(Map<String, String> environment, String... words) throws IOException {
        ProcessBuilder builder =
                new ProcessBuilder(words).directory(ROOT.toFile()).redirectErrorStream(true);
        builder.environment().put("JAVA_HOME", System.getProperty("java.home"));
        builder.environment().putAll(environment);
        return builder.start();
    }

    private static Ended ended(Process process) throws Exception {
        String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertThat(process.waitFor(10, TimeUnit.SECONDS)).isTrue();
        return new Ended(process.exitValue(), output);
    }

    private String report() throws IOException {
        try (Stream<Path> files = Files.list(results)) {
            return Files.readString(files.filter(file -> file.toString().endsWith(".md"))
                    .findFirst()
                    .orElseThrow());
        }
    }

    @Test
    void everyPartThatNeedsNoTorchRuns() throws Exception {
        Ended ended = run(Map.of());

        assertThat(ended.exitCode()).as(ended.output()).isZero();
        String report = report();
        Ended list = start(Map.of(), "benchmarks/gpu/run.sh", "--list");
        List<String> parts = list.output()
                .lines()
                .skip(1)
                .map(line -> line.split(" ")[0])
                .filter(name -> !name.equals("all"))
                .toList();
        assertThat(parts).hasSizeGreaterThan(15);
        for (String part : parts) {
            assertThat(report)
                    .containsPattern("\\| " + part + ": .* \\| "
                            + (part.equals("torch")
                                    ? "left out: no torch \\|"
                                    : part.equals("peers") ? "left out: no peft \\|" : "right \\| \\d+ \\|"));
        }
        assertThat(report)
                .contains("- kernels emulated, no GPU")
                .contains("- missing: '" + temporary.resolve("python") + "' has no torch that finds a GPU")
                .contains("GPU kernels")
                .containsPattern("cases: \\d\\d+ right, 0 wrong")
                .contains("reference runs: 1 right, 0 wrong")
                .contains("dequantise NF4 to bfloat16", "dequantise, then cuBLAS, 2x64x32", "attention of one query")
                .containsPattern("NF4 experts forward.* % of cuBLAS")
                .contains("of the speed of cuBLAS on a bf16 weight of this shape")
                .contains("tokens/s");
    }

    @Test
    void aPartThatFailsOrHangsLeavesTheOthers() throws Exception {
        Ended ended = run(
                Map.of("SANITIZER_FAILS", "memcheck", "SANITIZER_HANGS", "racecheck"),
                "--only",
                "memcheck,racecheck,synccheck,smallest",
                "--seconds",
                "16");

        assertThat(ended.exitCode()).as(ended.output()).isEqualTo(1);
        assertThat(report())
                .containsPattern("smallest: .* \\| right \\|")
                .containsPattern("memcheck: .* \\| failed, exit code 1 \\|")
                .containsPattern("racecheck: .* \\| stopped after \\d+ s \\|")
                .containsPattern("synccheck: .* \\| left out: no time was left \\|")
                .contains("found an error");
    }

    @Test
    void stoppedInAPartItKeepsWhatThePartsBeforeGave() throws Exception {
        Process process = started(Map.of("SANITIZER_HANGS", "racecheck"), "--only", "smallest,racecheck,synccheck");
        InputStream output = process.getInputStream();
        StringBuilder seen = new StringBuilder();
        while (!seen.toString().contains("== racecheck")) {
            int next = output.read();
            assertThat(next).as(seen.toString()).isNotNegative();
            seen.append((char) next);
        }
        process.toHandle().destroy(); // Process.destroy would close the stream that is read
        Ended ended = ended(process);

        assertThat(ended.exitCode()).as(ended.output()).isEqualTo(128 + 15);
        assertThat(ended.output()).contains("stopped; what was measured is in " + results);
        assertThat(report()).containsPattern("smallest: .* \\| right \\|").doesNotContain("racecheck: ");
    }

    /** Every device fails at its 14th launch: what is behind that has to be reached by leaving out what was there. */
    @Test
    void aGpuThatFailedIsAskedAgainByAnotherProcess() throws Exception {
        Ended ended = run(Map.of("EMULATED_FAULT", "14"), "--only", "cases");

        assertThat(ended.exitCode()).as(ended.output()).isEqualTo(1);
        assertThat(report())
                .containsPattern("cases: .* \\| failed, exit code 1 \\|")
                .containsPattern("FAILED \\w+ .*at fault is one of ln_")
                .contains("going on in another process")
                .containsPattern("products +\\d+ right, 0 wrong")
                .containsPattern("losses +\\d+ right, 0 wrong");
    }

    @Test
    void withoutAGpuItEndsAtOnce() throws Exception {
        Ended ended = run(Map.of("FAKE_CUDA_DEVICES", "0"));

        assertThat(ended.exitCode()).as(ended.output()).isEqualTo(2);
        assertThat(ended.output()).contains("error: no GPU is in use").contains("the NVIDIA driver finds no device");
    }

    @Test
    void wrongWordsAreNamed() throws Exception {
        assertThat(run(Map.of(), "--only", "cases,nonsense").output()).contains("there is no part 'nonsense'");
        assertThat(run(Map.of(), "--seconds", "0").output()).contains("--seconds 0 is no number above 0");
        assertThat(run(Map.of(), "--pack", temporary.toString()).output())
                .contains("is no folder of benchmarks/gpu/pack");
    }
}
