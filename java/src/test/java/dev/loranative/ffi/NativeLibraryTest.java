package dev.loranative.ffi;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import dev.loranative.errors.UserException;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class NativeLibraryTest {

    @TempDir
    private Path folder;

    @Test
    void opensTheLibraryOfThisBuild() {
        NativeLibrary library = NativeLibrary.openCpu();

        assertThat(library.file()).isRegularFile();
        assertThat(library.lastError(MemorySegment.NULL)).isNotNull();
    }

    @Test
    void aTextFileIsNoLibrary() throws IOException {
        Path text = Files.writeString(folder.resolve("liblora_native_cpu.so"), "not a library\n");

        UserException e = refusal(text);

        assertThat(e).hasMessageStartingWith("native library " + text + " cannot be loaded: ");
        assertThat(e.getMessage().lines()).hasSize(1);
        assertThat(e.hint()).contains("LORA_NATIVE_LIBRARY");
        assertThat(e.exitCode()).isEqualTo(UserException.BAD_INPUT);
    }

    @Test
    void aLibraryOfAnotherVersionIsRefusedWithBothVersions() {
        Path file = compile("int ln_abi_version(void) { return 4711; }");

        UserException e = refusal(file);

        assertThat(e)
                .hasMessage("native library " + file + " has ABI version 4711, this program needs "
                        + NativeLibrary.ABI_VERSION);
        assertThat(e.hint()).contains("same build");
        assertThat(e.exitCode()).isEqualTo(UserException.BAD_INPUT);
    }

    @Test
    void aForeignLibraryIsRefused() {
        UserException e = refusal(compile("int some_other_function(void) { return 0; }"));

        assertThat(e).hasMessageContaining("cannot be loaded").hasMessageContaining("ln_abi_version");
        assertThat(e.exitCode()).isEqualTo(UserException.BAD_INPUT);
    }

    @Test
    void aMissingSymbolIsNamed() {
        UserException e = refusal(compile("int ln_abi_version(void) { return " + NativeLibrary.ABI_VERSION + "; }"));

        assertThat(e).hasMessageContaining("no symbol ln_context_create");
        assertThat(e.exitCode()).isEqualTo(UserException.BAD_INPUT);
    }

    private static UserException refusal(Path file) {
        UserException e = catchThrowableOfType(UserException.class, () -> NativeLibrary.open(file));
        assertThat(e).as("refusal of " + file).isNotNull();
        return e;
    }

    private Path compile(String source) {
        return Compiler.sharedLibrary(folder, source);
    }
}
