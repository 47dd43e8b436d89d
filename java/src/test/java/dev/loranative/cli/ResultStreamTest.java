package dev.loranative.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.function.BooleanSupplier;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class ResultStreamTest {

    private static OutputStream refusing(String reason) {
        return new OutputStream() {
            @Override
            public void write(int value) throws IOException {
                throw new IOException(reason);
            }
        };
    }

    private static PrintStream print(OutputStream stream) {
        return new PrintStream(new ResultStream(stream), true, StandardCharsets.UTF_8);
    }

    @Test
    void what_is_written_arrives() {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        PrintStream out = print(bytes);
        out.print("loss ä");

        assertThat(bytes.toString(StandardCharsets.UTF_8)).isEqualTo("loss ä");
        assertThat(out.checkError()).isFalse();
    }

    @ParameterizedTest
    @ValueSource(strings = {"Broken pipe", "Bad file descriptor"})
    void a_reader_that_has_gone_is_no_failure(String reason) {
        PrintStream out = print(refusing(reason));
        out.println("loss");

        assertThat(out.checkError()).isFalse();
    }

    @Test
    void a_result_that_is_lost_is_a_failure() {
        BooleanSupplier none = () -> false;
        Console console =
                new Console(print(refusing("No space left on device")), System.err, Terminal.NONE, _ -> none, false);

        assertThat(Main.run(new String[] {"--version"}, console)).isEqualTo(1);
    }
}
