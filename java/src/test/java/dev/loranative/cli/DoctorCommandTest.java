package dev.loranative.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.loranative.ffi.NativeLibrary;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;
import tools.jackson.databind.JsonNode;

class DoctorCommandTest {

    private static final String LIBRARY = "lora.native.library";

    @TempDir
    Path temporary;

    @Test
    void where_training_works_it_says_what_is_there() {
        assertThat(CommandRun.of("doctor").result())
                .containsPattern("ok +Java +25")
                .containsPattern("ok +native library +.*liblora_native_cpu.*ABI version " + NativeLibrary.ABI_VERSION)
                .containsPattern("ok +kernels +compute, with \\d+ threads?")
                .containsPattern("SIMD +(reference|generic|avx2|avx512|neon) in use")
                .containsPattern("ok +tokenizer")
                .containsPattern("(ok|warn) +CUDA library +.")
                .containsPattern("(ok|warn) +NVIDIA driver +.")
                .containsPattern("(ok|warn) +GPU +.")
                .endsWith("Training works on this machine.");
    }

    @Test
    void json_has_a_level_for_everything() {
        JsonNode json = CommandRun.of("doctor", "--json").json();

        assertThat(json.get("works").booleanValue()).isTrue();
        assertThat(json.get("findings"))
                .hasSizeGreaterThan(6)
                .allMatch(finding -> finding.get("level").stringValue().matches("ok|warn|fail"));
    }

    @Test
    void without_the_native_library_it_fails_and_says_what_to_do() {
        CommandRun run = withLibrary(temporary.resolve("none.so"), "doctor");

        assertThat(run.exitCode()).isEqualTo(1);
        assertThat(run.out())
                .containsPattern("fail +native library +.*none\\.so")
                .contains("-> unset " + LIBRARY)
                .endsWith("Training does not work on this machine yet.\n");
        assertThat(run.err()).isEmpty();
    }

    @Test
    void other_commands_without_the_native_library_end_with_2() {
        CommandRun run = withLibrary(
                temporary.resolve("none.so"), "eval", "--model", CommandRun.MOE_MODEL, "--data", CommandRun.MOE_DATA);

        assertThat(run.error(2)).contains("none.so");
    }

    /** The loader of the system would end the process with a signal. */
    @Test
    @EnabledOnOs(OS.LINUX)
    void a_library_that_is_cut_off_is_refused() throws IOException {
        byte[] header = ByteBuffer.allocate(64)
                .order(ByteOrder.nativeOrder())
                .put(new byte[] {0x7f, 'E', 'L', 'F'})
                .putLong(40, 5000)
                .putShort(58, (short) 64)
                .putShort(60, (short) 30)
                .array();
        for (int bytes : new int[] {20, 64, 6919}) {
            Path library = Files.write(temporary.resolve("cut.so"), Arrays.copyOf(header, bytes));
            CommandRun run =
                    withLibrary(library, "eval", "--model", CommandRun.MOE_MODEL, "--data", CommandRun.MOE_DATA);

            assertThat(run.error(2)).contains("cut.so", "it is cut off");
        }
    }

    private static CommandRun withLibrary(Path library, Object... args) {
        String before = System.getProperty(LIBRARY);
        System.setProperty(LIBRARY, library.toString());
        try {
            return CommandRun.of(args);
        } finally {
            if (before == null) {
                System.clearProperty(LIBRARY);
            } else {
                System.setProperty(LIBRARY, before);
            }
        }
    }
}
