package dev.loranative.ffi;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assumptions.assumeThat;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.SymbolLookup;
import java.util.Set;
import java.util.TreeSet;
import org.junit.jupiter.api.Test;

/** The built library exports the functions of the header, and nothing else. */
class ExportedSymbolsTest {

    private static final Set<String> DECLARED = NativeHeader.read().functions().keySet();

    private final NativeLibrary library = NativeLibrary.openCpu();

    @Test
    void everyFunctionOfTheHeaderIsThere() {
        try (Arena arena = Arena.ofConfined()) {
            SymbolLookup symbols = SymbolLookup.libraryLookup(library.file(), arena);

            assertThat(DECLARED)
                    .allSatisfy(name -> assertThat(symbols.find(name)).as(name).isPresent());
        }
    }

    @Test
    void nothingElseIsExported() throws IOException, InterruptedException {
        boolean mac = Platform.name().startsWith("macos");
        String[] command = mac
                ? new String[] {"nm", "-g", "-U", "-j", library.file().toString()}
                : new String[] {
                    "nm",
                    "-D",
                    "--defined-only",
                    "--format=posix",
                    library.file().toString()
                };
        Process nm;
        try {
            nm = new ProcessBuilder(command).redirectErrorStream(true).start();
        } catch (IOException e) {
            assumeThat(false)
                    .as("no 'nm' to list the library's symbols with: " + e.getMessage())
                    .isTrue();
            return;
        }
        Set<String> exported = new TreeSet<>();
        nm.inputReader().lines().forEach(line -> {
            String name = line.split(" ")[0];
            exported.add(mac ? name.replaceFirst("^_", "") : name);
        });

        assertThat(nm.waitFor()).as(exported.toString()).isZero();
        assertThat(exported).isEqualTo(new TreeSet<>(DECLARED));
    }
}
