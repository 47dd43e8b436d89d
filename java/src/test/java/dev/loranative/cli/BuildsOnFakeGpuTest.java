package dev.loranative.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.loranative.ffi.NativeLibrary;
import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.DisabledIfSystemProperty;
import org.junit.jupiter.api.condition.EnabledIfSystemProperty;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** A GPU and its driver are there; what was built, and what is asked of it, differs. */
@EnabledIfSystemProperty(named = "lora.native.cuda.library", matches = ".+")
@DisabledIfSystemProperty(
        named = "lora.native.cublas",
        matches = "true",
        disabledReason = "it is of machines without cuBLAS")
class BuildsOnFakeGpuTest {

    private static final String CUDA_LIBRARY = "lora.native.cuda.library";

    @TempDir
    Path temporary;

    private static Object[] evalOn(String device, Object... more) {
        List<Object> words = new ArrayList<>(List.of(
                "eval", "--model", CommandRun.MOE_MODEL, "--data", CommandRun.MOE_DATA, "--device", device, "--json"));
        words.addAll(List.of(more));
        return words.toArray();
    }

    @Test
    void without_nvcc_everything_but_the_GPU_works_and_says_why() throws Exception {
        Fork built = new Fork(temporary)
                .property(CUDA_LIBRARY, "")
                .property("lora.native.library", NativeLibrary.openCpu().file())
                .classPath(withoutCudaLibrary());
        String cause = "this build of lora-native has no CUDA kernels: nvcc was not found";

        assertThat(built.run("doctor").result())
                .containsPattern("warn +CUDA library +" + cause)
                .contains("-> for a GPU, build where nvcc is on the PATH", "none in use: " + cause)
                .endsWith("Training works on this machine.");
        CommandRun named = built.run(evalOn("cuda:0"));
        assertThat(named.error(2)).isEqualTo("device 'cuda:0' is not available: " + cause);
        assertThat(named.hint()).isEqualTo("use --device cpu");
        built.run(evalOn("auto")).json();
    }

    /** The links that the class path of a build without nvcc is made of: JUnit warns of those that it finds. */
    @AfterEach
    void unlink() throws IOException {
        Path classes = temporary.resolve("classes");
        if (Files.exists(classes)) {
            try (Stream<Path> entries = Files.list(classes)) {
                for (Path link : entries.filter(Files::isSymbolicLink).toList()) {
                    Files.delete(link);
                }
            }
        }
    }

    /** The class path of this test, in which the build's native files are those of a build without nvcc. */
    private String withoutCudaLibrary() throws IOException {
        Path classes = Files.createDirectory(temporary.resolve("classes"));
        return Stream.of(System.getProperty("java.class.path").split(File.pathSeparator))
                .map(Path::of)
                .map(entry -> entry.endsWith(Path.of("target", "classes")) ? copied(entry, classes) : entry)
                .map(Path::toString)
                .collect(Collectors.joining(File.pathSeparator));
    }

    private static Path copied(Path entry, Path classes) {
        try (Stream<Path> contents = Files.list(entry)) {
            for (Path content : contents.toList()) {
                if (!content.endsWith("native")) {
                    Files.createSymbolicLink(classes.resolve(content.getFileName()), content.toAbsolutePath());
                }
            }
            Path natives = Files.createDirectories(classes.resolve("native/linux-x86_64"));
            Files.writeString(natives.resolve("cuda-unavailable.txt"), "nvcc was not found");
            return classes;
        } catch (IOException e) {
            throw new AssertionError(e);
        }
    }

    /** Kernels of CUDA 12 need a driver of 12 or 13, whatever its minor version. */
    @ParameterizedTest
    @CsvSource({"12080,12040", "12080,13000", "13010,13000"})
    void drivers_of_CUDA_12_and_13_run_what_was_built_with_their_version_or_an_older_one(int kernels, int driver)
            throws Exception {
        Path library =
                Files.copy(Path.of(System.getProperty(CUDA_LIBRARY)), temporary.resolve("liblora_native_cuda.so"));
        Files.writeString(temporary.resolve("cuda-version.txt"), "" + kernels);

        CommandRun run = new Fork(temporary)
                .property(CUDA_LIBRARY, library)
                .environment("FAKE_CUDA_VERSION", driver)
                .run(evalOn("cuda:0"));

        assertThat(run.exitCode()).as(run.err()).isZero();
    }

    @Test
    void cublas_that_is_demanded_and_is_not_there_is_refused() throws Exception {
        CommandRun cublas = new Fork(temporary).run(evalOn("cuda:0", "--gemm", "cublas"));
        assertThat(cublas.error(2)).contains("cannot be used: ", "cuBLAS is asked for, but cannot be used");
        assertThat(cublas.hint()).isEqualTo("use --gemm auto, or install cuBLAS 13 or 12");

        CommandRun jcublas = new Fork(temporary).run(evalOn("cuda:0", "--gemm", "jcublas"));
        assertThat(jcublas.error(2)).startsWith("gemm is jcublas, but JCublas needs cuBLAS 12");
        assertThat(jcublas.hint()).isEqualTo("use --gemm auto");

        new Fork(temporary).run(evalOn("cuda:0", "--gemm", "own")).json();
    }

    @Test
    void another_gemm_is_refused_with_those_there_are() throws Exception {
        CommandRun run = new Fork(temporary).run(evalOn("cuda:0", "--gemm", "magma"));

        assertThat(run.error(2)).contains("gemm", "magma");
        assertThat(run.hint() + run.error(2)).contains("auto", "own", "cublas", "jcublas");
    }
}
