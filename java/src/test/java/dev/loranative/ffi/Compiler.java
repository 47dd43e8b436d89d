package dev.loranative.ffi;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assumptions.assumeThat;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** The C compiler of this machine; a test that needs one is skipped where none is. */
public final class Compiler {

    private Compiler() {}

    public static Path sharedLibrary(Path folder, String source) {
        Path library = folder.resolve(Platform.libraryFile("example"));
        compile(folder, source, "-shared", "-fPIC", "-o", library.toString());
        return library;
    }

    /** Standard output of a program. */
    static String run(Path folder, String source, Path includes) {
        Path program = folder.resolve("example");
        compile(folder, source, "-I" + includes, "-o", program.toString());
        try {
            Process process = new ProcessBuilder(program.toString()).start();
            String output = new String(process.getInputStream().readAllBytes());
            assertThat(process.waitFor()).isZero();
            return output;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        } catch (InterruptedException e) {
            throw new AssertionError(e);
        }
    }

    private static void compile(Path folder, String source, String... options) {
        List<String> command = new ArrayList<>(List.of("cc"));
        command.addAll(List.of(options));
        command.add("example.c");
        try {
            Files.writeString(folder.resolve("example.c"), source);
            Process compiler = start(folder, command);
            String output = new String(compiler.getInputStream().readAllBytes());
            assertThat(compiler.waitFor()).as(output).isZero();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        } catch (InterruptedException e) {
            throw new AssertionError(e);
        }
    }

    private static Process start(Path folder, List<String> command) {
        try {
            return new ProcessBuilder(command)
                    .directory(folder.toFile())
                    .redirectErrorStream(true)
                    .start();
        } catch (IOException e) {
            assumeThat(e).as("this test needs a C compiler 'cc'").isNull();
            throw new AssertionError(e);
        }
    }
}
