package dev.loranative.data;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.loranative.errors.UserException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.OptionalInt;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class SpecialTokensTest {

    @TempDir
    Path directory;

    @Test
    void generationConfigComesBeforeConfig() throws IOException {
        write("generation_config.json", "{\"eos_token_id\": [5, 7, 5], \"bos_token_id\": null}");
        write("config.json", "{\"eos_token_id\": 2, \"bos_token_id\": 1}");
        SpecialTokens tokens = SpecialTokens.load(directory);
        assertThat(tokens.eosIds()).containsExactly(5, 7);
        assertThat(tokens.bosId()).isEqualTo(OptionalInt.of(1));
        assertThat(tokens.padId()).isEmpty();
    }

    @Test
    void aTokensTextIsAStringOrAnObject() throws IOException {
        write(
                "tokenizer_config.json",
                "{\"eos_token\": {\"content\": \"</s>\", \"lstrip\": false}, \"bos_token\": \"<s>\", \"pad_token\": null}");
        SpecialTokens tokens = SpecialTokens.load(directory);
        assertThat(tokens.eosText()).contains("</s>");
        assertThat(tokens.bosText()).contains("<s>");
        assertThat(tokens.padText()).isEmpty();
    }

    @Test
    void anEmptyFolderNamesNone() {
        SpecialTokens tokens = SpecialTokens.load(directory);
        assertThat(tokens.eosIds()).isEmpty();
        assertThat(tokens.eosText()).isEmpty();
    }

    @Test
    void whatIsNoIdIsAnError() throws IOException {
        for (String value : List.of("\"2\"", "-1", "1.5", "[1, null]", "99999999999", "true")) {
            write("config.json", "{\"eos_token_id\": " + value + "}");
            assertThatThrownBy(() -> SpecialTokens.load(directory))
                    .as(value)
                    .isInstanceOf(UserException.class)
                    .hasMessageContaining("config.json: eos_token_id holds");
        }
    }

    @Test
    void malformedJsonIsAnErrorWithItsLine() throws IOException {
        write("generation_config.json", "{\n \"eos_token_id\": 2,\n}");
        assertThatThrownBy(() -> SpecialTokens.load(directory))
                .isInstanceOf(UserException.class)
                .hasMessageContaining("generation_config.json:3: malformed JSON");
        write("generation_config.json", "[1]");
        assertThatThrownBy(() -> SpecialTokens.load(directory))
                .isInstanceOf(UserException.class)
                .hasMessageContaining("generation_config.json holds no JSON object");
    }

    private void write(String name, String content) throws IOException {
        Files.writeString(directory.resolve(name), content);
    }
}
