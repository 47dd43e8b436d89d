package dev.loranative.architecture;

import static org.assertj.core.api.Assertions.assertThat;

import dev.loranative.tensor.cases.OpCase;
import dev.loranative.tensor.cases.OpCases;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** No op of the header is left out where all are checked. */
class CheckedOpsTest {

    private static final Path ROOT = Path.of("..");

    private static final Pattern FUNCTION = Pattern.compile("LN_API \\w+ ln_(\\w+)\\(ln_context\\* context, ");

    /** What computes nothing. */
    private static final Set<String> NO_OPS = Set.of("query", "context_set_scratch", "scratch_bytes");

    private static Set<String> ops() throws IOException {
        Set<String> ops = FUNCTION.matcher(Files.readString(ROOT.resolve("native/include/lora_native.h")))
                .results()
                .map(match -> match.group(1))
                .collect(Collectors.toCollection(TreeSet::new));
        ops.removeAll(NO_OPS);
        assertThat(ops).hasSizeGreaterThan(45);
        return ops;
    }

    @Test
    void the_race_check_runs_all_of_them() throws IOException {
        StringBuilder cases = new StringBuilder();
        try (Stream<Path> files = Files.list(ROOT.resolve("cuda-kernels/tests/smallest"))) {
            for (Path file : files.toList()) {
                cases.append(Files.readString(file));
            }
        }
        String text = cases.toString();
        assertThat(ops()).allMatch(op -> text.contains("ln_" + op + "("));
    }

    @ParameterizedTest
    @EnumSource
    void the_table_of_cases_has_all_of_them(OpCase.Use use) throws IOException {
        assertThat(OpCases.of(use).stream().map(OpCase::op).collect(Collectors.toSet()))
                .containsAll(ops());
    }
}
