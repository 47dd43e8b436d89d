package dev.loranative.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.loranative.errors.UserException;
import dev.loranative.ffi.KernelException;
import org.junit.jupiter.api.Test;

class FailureTest {

    @Test
    void what_the_user_can_mend_is_shown_as_it_is() {
        assertThat(Failure.of(new UserException("r is 0", "set r", 3))).isEqualTo(new Failure("r is 0", "set r", 3));
    }

    @Test
    void every_message_becomes_one_line() {
        Failure failure = Failure.of(UserException.badInput("first \n second\r\nthird", "do\nthis"));

        assertThat(failure.message()).isEqualTo("first second third");
        assertThat(failure.hint()).isEqualTo("do this");
    }

    @Test
    void names_out_of_files_cannot_steer_the_terminal_nor_fill_it() {
        Failure failure = Failure.of(UserException.badInput("tensor a\u001B[31m\u0000b", "x".repeat(10_000)));

        assertThat(failure.message()).isEqualTo("tensor a?[31m?b");
        assertThat(failure.hint()).hasSizeLessThan(3000).endsWith("…");
    }

    @Test
    void a_kernel_that_refuses_is_a_failure_while_running() {
        Failure failure = Failure.of(new KernelException(2, "ln_linear: rows is -1"));

        assertThat(failure.exitCode()).isEqualTo(1);
        assertThat(failure.message()).contains("ln_linear: rows is -1");
    }

    @Test
    void a_full_heap_is_about_memory_and_names_the_option() {
        Failure failure = Failure.of(new OutOfMemoryError("Java heap space"));

        assertThat(failure.exitCode()).isEqualTo(3);
        assertThat(failure.hint()).containsPattern("-Xmx[1-9][0-9]*g");
    }

    @Test
    void everything_else_is_a_defect() {
        Failure failure = Failure.of(new IllegalStateException("odd"));

        assertThat(failure.exitCode()).isEqualTo(1);
        assertThat(failure.message()).startsWith("internal: ").contains("odd");
        assertThat(failure.hint()).contains("--stacktrace");
        assertThat(Failure.of(new StackOverflowError()).exitCode()).isEqualTo(1);
    }
}
