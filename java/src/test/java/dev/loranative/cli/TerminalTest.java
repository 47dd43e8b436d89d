package dev.loranative.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Map;
import org.junit.jupiter.api.Test;

class TerminalTest {

    @Test
    void a_file_or_pipe_is_none() {
        assertThat(Terminal.of(false, Map.of("TERM", "xterm", "COLUMNS", "100"), () -> 100))
                .isEqualTo(Terminal.NONE);
        assertThat(Terminal.NONE.rewrites()).isFalse();
    }

    @Test
    void a_dumb_terminal_is_none() {
        assertThat(Terminal.of(true, Map.of("TERM", "dumb"), () -> 100)).isEqualTo(Terminal.NONE);
    }

    @Test
    void the_width_is_that_of_the_environment_else_of_the_device_else_80() {
        assertThat(Terminal.of(true, Map.of("COLUMNS", "100"), () -> 50).width())
                .isEqualTo(100);
        assertThat(Terminal.of(true, Map.of(), () -> 50).width()).isEqualTo(50);
        assertThat(Terminal.of(true, Map.of("COLUMNS", "wide"), () -> 0).width())
                .isEqualTo(80);
        assertThat(Terminal.of(true, Map.of("COLUMNS", "1"), () -> 0).width()).isEqualTo(20);
    }

    @Test
    void no_color_is_respected() {
        assertThat(Terminal.of(true, Map.of(), () -> 0)).isEqualTo(new Terminal(true, true, 80));
        assertThat(Terminal.of(true, Map.of("NO_COLOR", ""), () -> 0).colors()).isTrue();
        assertThat(Terminal.of(true, Map.of("NO_COLOR", "1"), () -> 0)).isEqualTo(new Terminal(true, false, 80));
    }
}
