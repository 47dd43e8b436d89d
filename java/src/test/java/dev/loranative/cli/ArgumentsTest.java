package dev.loranative.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.charset.StandardCharsets;
import org.junit.jupiter.api.Test;

class ArgumentsTest {

    private static final byte[] COMMAND_LINE =
            "java\0-jar\0x.jar\0generate\0--prompt\0Käse 日本\0".getBytes(StandardCharsets.UTF_8);

    @Test
    void lost_characters_come_back_from_the_bytes() {
        String[] lost = {"generate", "--prompt", "K\uFFFD\uFFFDse \uFFFD\uFFFD\uFFFD"};

        assertThat(Arguments.restored(lost, COMMAND_LINE)).containsExactly("generate", "--prompt", "Käse 日本");
    }

    @Test
    void words_that_are_not_those_of_the_process_stay() {
        String[] others = {"eval", "--prompt", "K\uFFFDse"};
        String[] more = {"a", "b", "c", "d", "e", "f", "g", "\uFFFD"};

        assertThat(Arguments.restored(others, COMMAND_LINE)).isSameAs(others);
        assertThat(Arguments.restored(more, COMMAND_LINE)).isSameAs(more);
    }

    @Test
    void ascii_stays_as_it_is() {
        String[] args = {"train", "--r", "8"};

        assertThat(Arguments.asTyped(args)).isSameAs(args);
    }
}
