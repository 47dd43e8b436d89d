package dev.loranative.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.loranative.ffi.Compiler;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.DisabledIfSystemProperty;
import org.junit.jupiter.api.condition.EnabledIfSystemProperty;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Commands on machines of all kinds: what the driver says comes from the stand-in's environment. */
@EnabledIfSystemProperty(named = "lora.native.cuda.library", matches = ".+")
@DisabledIfSystemProperty(
        named = "lora.native.cublas",
        matches = "true",
        disabledReason = "it is of machines without cuBLAS")
class MachinesOnFakeGpuTest {

    private static final String LIBRARY_PATH = "LD_LIBRARY_PATH";
    private static final String ADAPTER = "adapter_model.safetensors";

    /** Every optimizer step reads about ten results back, loading reads nothing. */
    private static final int SYNCHRONISATIONS_BEFORE_THE_FAULT = 40;

    @TempDir
    Path temporary;

    private Fork fork() {
        return new Fork(temporary);
    }

    private static Object[] evalOn(String device, Object... more) {
        List<Object> words = new ArrayList<>(List.of(
                "eval", "--model", CommandRun.MOE_MODEL, "--data", CommandRun.MOE_DATA, "--device", device, "--json"));
        words.addAll(List.of(more));
        return words.toArray();
    }

    private Object[] trainInto(String output, Object... more) {
        List<Object> words = new ArrayList<>(List.of(
                "train",
                "--model",
                CommandRun.MOE_MODEL,
                "--data",
                CommandRun.MOE_DATA,
                "--output",
                temporary.resolve(output),
                "--target-modules",
                "router,q_proj",
                "--device",
                "cuda:0"));
        words.addAll(List.of(more));
        return words.toArray();
    }

    @Test
    void doctor_shows_what_there_is() throws Exception {
        CommandRun run = fork().run("doctor");

        assertThat(run.result())
                .containsPattern("ok +CUDA library +.*liblora_native_")
                .containsPattern("ok +NVIDIA driver +supports CUDA 13\\.0")
                .containsPattern("ok +GPU +cuda:0 \\(Fake GPU, 4\\.0 GiB, compute capability 9\\.0\\)")
                .containsPattern(
                        "ok +GPU kernels +compute, \\d\\.\\d\\d GiB free; --device auto takes cuda:0 .*own kernels")
                .containsPattern("ok +GPU products +--gemm can be own; gemm is jcublas, but JCublas needs cuBLAS 12"
                        + " \\(libcublas\\.so\\.12 cannot be loaded\\)")
                .contains("cuBLAS is asked for, but cannot be used");
        assertThat(run.err()).as("warnings of the JVM").isEmpty();
    }

    @Test
    void doctor_shows_who_computes_products_where_cublas_is() throws Exception {
        CommandRun run = fork().environment(
                        LIBRARY_PATH,
                        System.getenv(LIBRARY_PATH) + ":"
                                + Path.of(System.getenv(LIBRARY_PATH)).resolveSibling("fake-cublas"))
                .run("doctor");

        assertThat(run.result())
                .containsPattern("GPU products +--gemm can be jcublas, cublas, own")
                .contains("products by JCublas");
    }

    @Test
    void without_a_device() throws Exception {
        CommandRun doctor = fork().environment("FAKE_CUDA_DEVICES", 0).run("doctor");
        assertThat(doctor.result()).containsPattern("warn +GPU +none in use: the NVIDIA driver finds no device");

        CommandRun named = fork().environment("FAKE_CUDA_DEVICES", 0).run(evalOn("cuda:0"));
        assertThat(named.error(2)).isEqualTo("device 'cuda:0' does not exist");
        assertThat(named.hint()).isEqualTo("the driver has no device; use --device cpu");

        fork().environment("FAKE_CUDA_DEVICES", 0).run(evalOn("auto")).json();
    }

    @Test
    void a_number_that_does_not_exist_is_answered_with_those_that_do() throws Exception {
        CommandRun run = fork().environment("FAKE_CUDA_DEVICES", 2).run(evalOn("cuda:2"));

        assertThat(run.error(2)).isEqualTo("device 'cuda:2' does not exist");
        assertThat(run.hint()).startsWith("use one of cuda:0 (Fake GPU").contains(", cuda:1 (Fake GPU");
    }

    @Test
    void a_device_that_is_too_old() throws Exception {
        CommandRun doctor = fork().environment("FAKE_CUDA_CAPABILITY", 75).run("doctor");
        assertThat(doctor.result())
                .containsPattern("warn +GPU +cuda:0 \\(Fake GPU, 4\\.0 GiB, compute capability 7\\.5\\) is too old")
                .containsPattern("warn +GPU +none in use: ");

        CommandRun named = fork().environment("FAKE_CUDA_CAPABILITY", 75).run(evalOn("cuda:0"));
        assertThat(named.error(2))
                .isEqualTo("cuda:0 (Fake GPU, 4.0 GiB, compute capability 7.5) is too old: compute capability 8.0 is"
                        + " the least");

        fork().environment("FAKE_CUDA_CAPABILITY", 75).run(evalOn("auto")).json();
    }

    @Test
    void a_driver_that_is_too_old_for_the_kernels() throws Exception {
        Path library = Files.copy(
                Path.of(System.getProperty("lora.native.cuda.library")), temporary.resolve("liblora_native_cuda.so"));
        Files.writeString(temporary.resolve("cuda-version.txt"), "13000");
        Fork old = fork().property("lora.native.cuda.library", library).environment("FAKE_CUDA_VERSION", 12080);
        String cause = "the NVIDIA driver supports CUDA 12.8, but the kernels were built with CUDA 13.0: update the"
                + " driver, or build with CUDA 12";

        assertThat(old.run("doctor").result()).contains("none in use: " + cause, "built with CUDA 13.0");
        assertThat(old.run(evalOn("cuda:0")).error(2)).isEqualTo("device 'cuda:0' is not available: " + cause);
        old.run(evalOn("auto")).json();
        assertThat(old.environment("FAKE_CUDA_VERSION", 13020).run("doctor").result())
                .contains("--device auto takes cuda:0");
    }

    @Test
    void kernels_that_were_built_for_other_GPUs() throws Exception {
        Fork foreign = fork().environment("EMULATED_BUILT_FOR", "8.6, 8.9").environment("FAKE_CUDA_CAPABILITY", 90);
        String cause =
                "cuda:0 (Fake GPU, 4.0 GiB, compute capability 9.0) cannot be used: ln_context_create: device 0 has"
                        + " compute capability 9.0, but the kernels were built for 8.6, 8.9 (";

        assertThat(foreign.run("doctor").result())
                .contains("none in use: " + cause)
                .doesNotContain("GPU kernels");
        CommandRun named = foreign.run(evalOn("cuda:0"));
        assertThat(named.error(2)).startsWith(cause);
        assertThat(named.hint())
                .isEqualTo(
                        "delete java/target/lora-native.jar and start ./lora-native, which builds for the GPUs of its"
                                + " machine, or use --device cpu");

        CommandRun auto = foreign.run(evalOn("auto"));
        auto.json();
        assertThat(auto.err()).contains("warning: the GPU is not used: " + cause);
        CommandRun training = foreign.run(trainInto("auto", "--device", "auto", "--max-steps", 1));
        assertThat(training.exitCode()).as(training.err()).isZero();
        assertThat(training.err()).contains("warning: the GPU is not used: " + cause);
        CommandRun merging = foreign.run(
                "merge",
                "--model",
                CommandRun.MOE_MODEL,
                "--adapter",
                CommandRun.MOE.resolve("adapter_final"),
                "--output",
                temporary.resolve("merged"));
        assertThat(merging.exitCode()).as(merging.err()).isZero();
        assertThat(merging.err()).containsOnlyOnce("warning: the GPU is not used: " + cause);
        assertThat(foreign.run(trainInto("bfloat16", "--device", "auto", "--precision", "bfloat16"))
                        .error(2))
                .startsWith("precision is bfloat16, which the CPU's kernels do not compute in (the GPU is not used: ");
    }

    @Test
    void a_driver_that_cannot_start() throws Exception {
        CommandRun run = fork().environment("FAKE_CUDA_INIT", 999).run(evalOn("cuda"));

        assertThat(run.error(2))
                .isEqualTo("device 'cuda' is not available: the NVIDIA driver cannot be used (cuInit:"
                        + " CUDA_ERROR_UNKNOWN)");
    }

    @Test
    void no_driver() throws Exception {
        Fork none = fork().environment(LIBRARY_PATH, temporary);

        assertThat(none.run(evalOn("cuda:0")).error(2))
                .isEqualTo("device 'cuda:0' is not available: there is no NVIDIA driver (libcuda.so.1 cannot be"
                        + " loaded)");
        none.run(evalOn("auto")).json();
        String cause = "there is no NVIDIA driver \\(libcuda\\.so\\.1 cannot be loaded\\)";
        assertThat(none.run("doctor").result())
                .containsPattern("warn +NVIDIA driver +" + cause)
                .containsPattern("warn +GPU +none in use: " + cause)
                .contains("-> nothing to do: training runs on the CPU")
                .endsWith("Training works on this machine.");
    }

    /** A call of a symbol that is missing would end the JVM. */
    @Test
    void a_driver_without_the_symbols_that_are_needed() throws Exception {
        Path made = Compiler.sharedLibrary(temporary, "int cuInit(unsigned flags) { return (int) flags; }");
        Files.move(made, temporary.resolve("libcuda.so.1"));

        assertThat(fork().environment(LIBRARY_PATH, temporary)
                        .run(evalOn("cuda:0"))
                        .error(2))
                .contains("libcuda.so.1 has no cuDriverGetVersion, ")
                .endsWith(": it is too old)");
    }

    /** What lies in the shared folder under the name that JCuda uses is not loaded. */
    @Test
    void a_planted_library_is_not_loaded() throws Exception {
        Path shared = Files.createDirectory(temporary.resolve("shared"));
        Path planted = shared.resolve("libJCudaDriver-12.6.0-linux-x86_64.so");
        Files.writeString(planted, "planted");

        CommandRun run = fork().property("java.io.tmpdir", shared).run("doctor");

        assertThat(run.result()).contains("--device auto takes cuda:0");
        try (Stream<Path> files = Files.list(shared)) {
            assertThat(files).containsExactly(planted);
        }
    }

    @Test
    void too_little_memory_is_said_before_the_first_step() throws Exception {
        CommandRun run = fork().environment("FAKE_CUDA_MEGABYTES", 3)
                .run(trainInto("small", "--batch-size", 8, "--max-steps", 1));

        assertThat(run.exitCode()).as(run.err()).isEqualTo(3);
        assertThat(run.err()).contains("cuda:0 (Fake GPU", "activations", "hint: lower per_device_train_batch_size");
    }

    @Test
    void too_little_memory_for_the_weights_is_not_blamed_on_the_batch() throws Exception {
        CommandRun run = fork().environment("FAKE_CUDA_MEGABYTES", 1).run(evalOn("cuda:0"));

        assertThat(run.error(3))
                .matches("out of memory on cuda:0 \\(Fake GPU.*\\): \\d+ bytes asked for \\(weights\\), 0 taken before,"
                        + " 1048576 free");
        assertThat(run.hint()).isEqualTo("set load_in_4bit, or use a smaller model, or end other programs on the GPU");
    }

    /**
     * Weights, what a step needs; and two for all weights in turn, each of which is quantised with its scales. Steps take
     * nothing, however many.
     */
    @ParameterizedTest
    @CsvSource({"false,false,2", "true,false,3", "true,true,4"})
    void memory_is_taken_from_the_driver_a_few_times(boolean fourBits, boolean nested, int pieces) throws Exception {
        Path count = temporary.resolve("allocations");
        CommandRun run = fork().environment("FAKE_CUDA_ALLOCATIONS", count)
                .run(trainInto(
                        "counted",
                        "--max-steps",
                        3,
                        "--load-in-4bit",
                        fourBits,
                        "--bnb-4bit-use-double-quant",
                        nested));

        assertThat(run.exitCode()).as(run.err()).isZero();
        assertThat(count).hasContent("" + pieces);
    }

    /** However many micro-batches a step has, it is waited for once, and once more for the routing that it counted. */
    @ParameterizedTest
    @CsvSource({"0,1", "0.01,2"})
    void a_step_is_waited_for_at_its_end(double auxiliary, int waits) throws Exception {
        int[] waited = new int[2];
        for (int i = 0; i < 2; i++) {
            Path count = temporary.resolve("waits-" + i);
            CommandRun run = fork().environment("FAKE_CUDA_WAITS", count)
                    .run(trainInto(
                            "steps-" + i,
                            "--max-steps",
                            1 + 3 * i,
                            "--batch-size",
                            1,
                            "--gradient-accumulation-steps",
                            3,
                            "--router-aux-loss-coef",
                            auxiliary));
            assertThat(run.exitCode()).as(run.err()).isZero();
            waited[i] = Integer.parseInt(Files.readString(count));
        }
        assertThat(waited[1] - waited[0]).isEqualTo(3 * waits);
    }

    @Test
    void after_a_kernel_fault_the_run_continues_from_its_last_checkpoint() throws Exception {
        Object[] steps = {"--max-steps", 6, "--save-steps", 1};
        assertThat(fork().run(trainInto("whole", steps)).exitCode()).isZero();

        CommandRun broken = fork().environment("FAKE_CUDA_FAULT_AFTER", SYNCHRONISATIONS_BEFORE_THE_FAULT)
                .run(trainInto("broken", steps));
        assertThat(broken.exitCode()).as(broken.err()).isEqualTo(1);
        assertThat(broken.err())
                .contains(": cuStreamSynchronize reports CUDA_ERROR_ILLEGAL_ADDRESS")
                .contains("CUDA_LAUNCH_BLOCKING=1");
        assertThat(broken.err()).containsPattern("the GPU failed after [1-5] steps?: ");
        Path output = temporary.resolve("broken");
        assertThat(output.resolve("checkpoint-1")).exists();
        assertThat(output.resolve("checkpoint-6")).doesNotExist();

        CommandRun resumed = fork().run(
                        trainInto("broken", "--max-steps", 6, "--save-steps", 1, "--resume-from-checkpoint", "true"));
        assertThat(resumed.exitCode()).as(resumed.err()).isZero();
        assertThat(output.resolve(ADAPTER))
                .hasSameBinaryContentAs(temporary.resolve("whole").resolve(ADAPTER));
    }

    /** A kernel of the third step faults; what sees it is a call that waits, or one that launches. */
    @ParameterizedTest
    @ValueSource(strings = {"500", "500,540"})
    void a_kernel_fault_names_the_ops_that_it_can_be_of(String fault) throws Exception {
        CommandRun broken = fork().environment("EMULATED_FAULT", fault)
                .run(trainInto("broken", "--max-steps", 6, "--save-steps", 1));

        assertThat(broken.exitCode()).as(broken.err()).isEqualTo(1);
        Matcher named = Pattern.compile("the GPU failed after (\\d) steps?: .*; at fault is one of (ln_.*\\))")
                .matcher(broken.err());
        assertThat(named.find()).as(broken.err()).isTrue();
        assertThat(named.group(2).split("\\), "))
                .hasSizeBetween(1, 16)
                .allMatch(call -> call.contains("(") && call.matches(".*\\d.*"));
        int steps = Integer.parseInt(named.group(1));
        assertThat(temporary.resolve("broken/checkpoint-" + steps)).exists();
        assertThat(temporary.resolve("broken/checkpoint-" + (steps + 1))).doesNotExist();
    }

    @Test
    void with_CUDA_LAUNCH_BLOCKING_a_kernel_fault_names_the_op() throws Exception {
        CommandRun broken = fork().environment("EMULATED_FAULT", "500,500")
                .environment("CUDA_LAUNCH_BLOCKING", 1)
                .run(trainInto("broken", "--max-steps", 6));

        assertThat(broken.exitCode()).as(broken.err()).isEqualTo(1);
        Matcher named = Pattern.compile(": (ln_\\w+): cudaErrorIllegalAddress.*; at fault is (ln_\\w+)\\([^)]*\\)\\R")
                .matcher(broken.err());
        assertThat(named.find()).as(broken.err()).isTrue();
        assertThat(named.group(2)).isEqualTo(named.group(1));
    }
}
