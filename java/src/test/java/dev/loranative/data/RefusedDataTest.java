package dev.loranative.data;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.loranative.errors.UserException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.OptionalInt;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What is wrong with data files is named by file and line. */
class RefusedDataTest extends DataFiles {

    /** The parser gives no place for these. */
    @Test
    void rowsNestedBeyondTheParsersLimitAreRefused() throws IOException {
        String deep = "{\"text\": " + "[".repeat(2000) + "]".repeat(2000) + "}";
        for (String name : List.of("deep.jsonl", "deep.json")) {
            Path file = write(name, name.endsWith(".json") ? "[" + deep + "]" : deep);
            assertThatThrownBy(() -> DataSet.load(List.of(file), NO_TOKENIZER, OPTIONS))
                    .isInstanceOf(UserException.class)
                    .hasMessageStartingWith(file + ":1: malformed JSON")
                    .hasMessageContaining("nesting depth");
        }
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "{\"input_ids\": [1, 2|malformed JSON at column",
                "{\"input_ids\": [1, 2]} {}|malformed JSON at column",
                "{\"input_ids\": [1], \"input_ids\": [2]}|malformed JSON at column",
                "{'text': 'a'}|malformed JSON at column",
                "{\"input_ids\": [1, NaN]}|malformed JSON at column",
                "[1, 2]|a row is a JSON object, not array",
                "\"text\"|a row is a JSON object, not string",
                "{\"input_ids\": []}|input_ids is empty",
                "{\"input_ids\": \"1 2\"}|input_ids is \"1 2\", not a list",
                "{\"input_ids\": null}|input_ids is null, not a list",
                "{\"input_ids\": [1, 2.5]}|input_ids[1] is 2.5, not a token id",
                "{\"input_ids\": [1, \"2\"]}|input_ids[1] is \"2\", not a token id",
                "{\"input_ids\": [[1]]}|input_ids[0] is [1], not a token id",
                "{\"input_ids\": [99999999999]}|input_ids[0] is 99999999999, not a token id",
                "{\"input_ids\": [1, 1024]}|input_ids[1] is 1024, outside the vocabulary of 1024",
                "{\"input_ids\": [-1]}|input_ids[0] is -1, outside the vocabulary of 1024",
                "{\"input_ids\": [1, 2], \"labels\": [1]}|labels has 1 values but input_ids 2",
                "{\"input_ids\": [1, 2], \"labels\": [1, 1024]}|labels[1] is 1024, outside the vocabulary of 1024",
                "{\"input_ids\": [1, 2], \"labels\": [-1, 2]}|labels[0] is -1, outside the vocabulary of 1024",
                "{\"input_ids\": [1, 2], \"labels\": 3}|labels is 3, not a list",
                "{\"input_ids\": [1, 2], \"completion_mask\": [1, 2]}|completion_mask[1] is 2",
                "{\"input_ids\": [1, 2], \"attention_mask\": [0, 1]}|attention_mask[0] is 0 before the last",
                "{\"input_ids\": [1, 2], \"attention_mask\": [0, 0]}|attention_mask is 0 everywhere",
                "{\"text\": 5}|text is 5, not a text",
                "{\"text\": null}|text is null, not a text",
                "{\"prompt\": \"a\", \"completion\": null}|completion is null, not a text",
                "{\"prompt\": [{\"role\": \"user\"}], \"completion\": []}|chat templates are not supported yet",
                "{\"messages\": []}|chat templates are not supported yet",
                "{\"conversations\": []}|chat templates are not supported yet",
                "{\"question\": \"a\", \"answer\": \"b\"}|keys [question, answer] are of no known format",
                "{\"prompt\": \"a\"}|keys [prompt] are of no known format",
                "{}|keys [] are of no known format"
            })
    void aWrongRowIsNamedByFileAndLine(String row, String message) {
        assertThatThrownBy(() -> load("bad.jsonl", "{\"input_ids\": [1, 2]}\n\n" + row + "\n", OPTIONS))
                .isInstanceOfSatisfying(UserException.class, e -> {
                    assertThat(e).hasMessageContaining("bad.jsonl:3: ").hasMessageContaining(message);
                    assertThat(e.getMessage().lines()).hasSize(1);
                    assertThat(e.hint()).isNotBlank();
                    assertThat(e.exitCode()).isEqualTo(2);
                });
    }

    @ParameterizedTest
    @ValueSource(strings = {"a.jsonl", "a.json", "a.csv", "a.txt"})
    void anEmptyFileIsAnError(String name) {
        for (String content : List.of("", "\n \n")) {
            if (name.equals("a.txt") && !content.isEmpty()) {
                continue;
            }
            assertThatThrownBy(() -> load(name, content, OPTIONS))
                    .as(content)
                    .isInstanceOf(UserException.class)
                    .hasMessageContaining(name);
        }
    }

    @Test
    void aDataSetWithoutSamplesOrTargetsIsAnError() {
        assertThatThrownBy(() -> load("a.json", "[]", OPTIONS)).hasMessageContaining("no samples in");
        assertThatThrownBy(() -> load("a.csv", "text\n", OPTIONS)).hasMessageContaining("no samples in");
        assertThatThrownBy(() -> DataSet.load(List.of(), NO_TOKENIZER, OPTIONS)).hasMessageContaining("no samples in");
        assertThatThrownBy(() -> load("a.jsonl", "{\"input_ids\": [1, 2], \"labels\": [1, -100]}", OPTIONS))
                .isInstanceOf(UserException.class)
                .hasMessageContaining("no token to learn from");
        SampleOptions one = new SampleOptions(OptionalInt.of(1), MAXIMUM, TinyMoe.VOCABULARY, true);
        assertThatThrownBy(() -> load("a.jsonl", "{\"input_ids\": [1, 2], \"labels\": [-100, 2]}", one))
                .isInstanceOf(UserException.class)
                .hasMessageContaining("1 had no token to learn from");
    }

    @Test
    void brokenFilesAreErrors() throws IOException {
        assertThatThrownBy(() -> load("a.json", "[{\"input_ids\": [1]},\n {\"input_ids\": [1]}", OPTIONS))
                .isInstanceOf(UserException.class)
                .hasMessageContaining("a.json:2: malformed JSON");
        assertThatThrownBy(() -> load("a.json", "[{\"input_ids\": [1]}]\n[]", OPTIONS))
                .hasMessageContaining("a.json:2: text after the end");
        assertThatThrownBy(() -> load("a.json", "[{\"input_ids\": [1]},\n 7]", OPTIONS))
                .hasMessageContaining("a.json:2: a row is a JSON object, not number");
        assertThatThrownBy(() -> load("a.json", "\"text\"", OPTIONS)).hasMessageContaining("no JSON array");
        assertThatThrownBy(() -> load("a.csv", "prompt,completion\na\n", OPTIONS))
                .isInstanceOf(UserException.class)
                .hasMessageContaining("a.csv:2: 1 fields, but the header has 2");
        assertThatThrownBy(() -> load("a.csv", "text,id\nb,1\na,2,3\n", OPTIONS))
                .hasMessageContaining("a.csv:3: 3 fields, but the header has 2");
        assertThatThrownBy(() -> load("a.csv", "text\n\"a", OPTIONS)).hasMessageContaining("malformed CSV");
        assertThatThrownBy(() -> load("a.csv", "text,text\na,b\n", OPTIONS))
                .isInstanceOf(UserException.class)
                .hasMessageContaining("duplicate fields: [text]");
        for (String name : List.of("a.jsonl", "a.json", "a.csv", "a.txt")) {
            byte[] content = (name.equals("a.json")
                            ? "[{\"text\": \"\u00e9\"}]"
                            : "{\"text\": \"a\"}\n{\"text\": \"\u00e9\"}")
                    .getBytes(StandardCharsets.ISO_8859_1);
            Path file = Files.write(directory.resolve(name), content);
            assertThatThrownBy(() -> DataSet.load(List.of(file), () -> tokenizer, OPTIONS))
                    .as(name)
                    .isInstanceOf(UserException.class)
                    .hasMessageContaining(name)
                    .hasMessageContaining("UTF-8");
        }
    }

    @Test
    void filesThatAreNoneAreErrors() throws IOException {
        assertThatThrownBy(() -> DataSet.load(List.of(directory.resolve("none.jsonl")), NO_TOKENIZER, OPTIONS))
                .isInstanceOf(UserException.class)
                .hasMessageContaining("no such data file: ")
                .hasMessageContaining("none.jsonl");
        assertThatThrownBy(() -> DataSet.load(List.of(directory), NO_TOKENIZER, OPTIONS))
                .hasMessageContaining("is a folder");
        assertThatThrownBy(() -> load("a.parquet", "PAR1", OPTIONS)).hasMessageContaining("not supported yet");
        assertThatThrownBy(() -> load("a.tsv", "text", OPTIONS))
                .hasMessageContaining("unknown kind of data file '.tsv'");
        assertThatThrownBy(() -> load("data", "text", OPTIONS)).hasMessageContaining("unknown kind of data file");
    }

    @Test
    void aTokenizerOfAnotherModelIsAnError() {
        SampleOptions small = new SampleOptions(OptionalInt.empty(), MAXIMUM, 100, true);
        for (String name : List.of("a.jsonl", "a.txt")) {
            assertThatThrownBy(() -> load(name, "{\"text\": \"Speak, speak.\"}", small))
                    .isInstanceOfSatisfying(UserException.class, e -> {
                        assertThat(e).hasMessageContaining("outside the vocabulary of 100");
                        assertThat(e.hint()).contains("belongs to another model");
                    });
        }
    }
}
