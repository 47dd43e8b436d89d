package dev.loranative.config;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.loranative.errors.UserException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.io.TempDir;

/** Configurations of a test's flags and of its run.yaml. */
abstract class ParsedConfig {

    @TempDir
    Path folder;

    Path yaml;

    @BeforeEach
    void name() {
        yaml = folder.resolve("run.yaml");
    }

    void assertRefused(String message, String... flags) {
        assertThatThrownBy(() -> parse(flags)).isInstanceOfSatisfying(UserException.class, e -> {
            assertThat(e).hasMessageContaining(message);
            assertThat(e.exitCode()).isEqualTo(2);
            assertThat(e.getMessage()).doesNotContain("\n");
        });
    }

    static TrainConfig parse(String... flags) {
        List<String> all = new ArrayList<>(List.of("--model", "m", "--data", "d.jsonl", "--output", "o"));
        all.addAll(List.of(flags));
        return TrainConfig.parse(Optional.empty(), all);
    }
}
