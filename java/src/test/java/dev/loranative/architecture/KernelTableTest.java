package dev.loranative.architecture;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** The table of docs/kernels.md has a row for every file of CUDA kernels, and none for a file that is gone. */
class KernelTableTest {

    private static final Path ROOT = Path.of("..");

    private static final Pattern FILE = Pattern.compile("`(\\w+\\.cu)`");

    @Test
    void names_every_file_of_kernels_and_no_other() throws IOException {
        List<String> rows = Files.readAllLines(ROOT.resolve("docs/kernels.md")).stream()
                .filter(line -> line.startsWith("| `"))
                .toList();
        List<String> named = rows.stream()
                .map(row -> row.substring(0, row.indexOf('|', 1)))
                .flatMap(first -> FILE.matcher(first).results().map(match -> match.group(1)))
                .toList();
        try (Stream<Path> files = Files.list(ROOT.resolve("cuda-kernels/src"))) {
            assertThat(files.map(file -> file.getFileName().toString()).filter(name -> name.endsWith(".cu")))
                    .isSubsetOf(named)
                    .containsAll(named);
        }
        assertThat(rows.stream().filter(row -> row.chars().filter(c -> c == '|').count() != 5))
                .as("rows without algorithm, bound or share")
                .isEmpty();
    }
}
