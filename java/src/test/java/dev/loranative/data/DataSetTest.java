package dev.loranative.data;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.loranative.errors.UserException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.OptionalInt;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import tools.jackson.databind.JsonNode;

class DataSetTest extends DataFiles {

    /** The samples are those that TRL's SFTTrainer 1.13 made of the same rows with the same tokenizer. */
    @Test
    void makesTheSamplesOfTrl() throws IOException {
        JsonNode cases = Json.MAPPER.readTree(Files.readString(TinyMoe.resource("/data/trl-samples.json")));
        assertThat(cases.size()).isEqualTo(8);
        for (JsonNode expected : cases) {
            StringBuilder lines = new StringBuilder();
            expected.get("rows").forEach(row -> lines.append(row).append('\n'));
            JsonNode maxLength = expected.get("max_length");
            SampleOptions options = new SampleOptions(
                    maxLength.isNull() ? OptionalInt.empty() : OptionalInt.of(maxLength.intValue()),
                    MAXIMUM,
                    TinyMoe.VOCABULARY,
                    expected.get("completion_only_loss").booleanValue());
            List<Sample> samples = load("rows.jsonl", lines.toString(), options).samples();
            JsonNode wanted = expected.get("samples");
            assertThat(samples).as(expected.toString()).hasSize(wanted.size());
            for (int i = 0; i < samples.size(); i++) {
                assertThat(samples.get(i).ids()).containsExactly(integers(wanted.get(i), "input_ids"));
                assertThat(samples.get(i).labels()).containsExactly(integers(wanted.get(i), "labels"));
            }
        }
    }

    @Test
    void idsAreTakenAsTheyAreAndNeedNoTokenizer() throws IOException {
        Path file = write("ids.jsonl", """
                {"input_ids": [5, 6, 7], "labels": [-100, 6, 1023]}

                {"labels": null, "input_ids": [8, 9], "id": "extra"}
                """);
        DataSet data = DataSet.load(List.of(file), NO_TOKENIZER, OPTIONS);
        assertThat(data.samples()).hasSize(2);
        assertThat(data.samples().get(0).ids()).containsExactly(5, 6, 7);
        assertThat(data.samples().get(0).labels()).containsExactly(-100, 6, 1023);
        assertThat(data.samples().get(1).labels()).containsExactly(8, 9);
        assertThat(data.samples().get(1).place()).hasToString(file + ":3");
        assertThat(data.report()).isEqualTo(new DataReport(2, 5, 3, 0, 0, 0, List.of()));
    }

    @Test
    void masksSelectWhatIsLearntAndPaddingAtTheEndIsLeftOut() throws IOException {
        List<Sample> samples = load("masks.jsonl", """
                        {"input_ids": [1, 2, 3], "completion_mask": [0, 0, 1]}
                        {"input_ids": [1, 2, 3], "completion_mask": [0, 1, 1], "assistant_masks": [1, 1, 0]}
                        {"input_ids": [1, 2, 3, 0, 0], "labels": [1, 2, 3, -100, -100], "attention_mask": [1, 1, 1, 0, 0]}
                        """, OPTIONS).samples();
        assertThat(samples.get(0).labels()).containsExactly(-100, -100, 3);
        assertThat(samples.get(1).labels()).containsExactly(-100, 2, -100);
        assertThat(samples.get(2).ids()).containsExactly(1, 2, 3);
        assertThat(samples.get(2).labels()).containsExactly(1, 2, 3);
    }

    @Test
    void instructionsAreLaidOutAsAlpaca() throws IOException {
        SampleOptions wide = new SampleOptions(OptionalInt.empty(), 512, TinyMoe.VOCABULARY, true);
        List<Sample> samples = load("alpaca.jsonl", """
                        {"instruction": "Say yes.", "input": "", "output": "Yes."}
                        {"instruction": "Say it.", "input": "No.", "output": "No."}
                        {"instruction": "Say yes.", "output": "Yes."}
                        """, wide).samples();
        assertThat(tokenizer.decode(samples.get(0).ids(), false))
                .isEqualTo("Below is an instruction that describes a task. Write a response that appropriately"
                        + " completes the request.\n\n### Instruction:\nSay yes.\n\n### Response:\nYes.<|im_end|>");
        assertThat(tokenizer.decode(samples.get(1).ids(), false))
                .contains("further context.")
                .contains("### Input:\nNo.\n\n### Response:\nNo.<|im_end|>");
        assertThat(samples.get(2).ids()).isEqualTo(samples.get(0).ids());
        assertThat(tokenizer.decode(learnt(samples.get(0)), false)).isEqualTo("Yes.<|im_end|>");
        assertThat(tokenizer.decode(learnt(samples.get(1)), false)).isEqualTo("No.<|im_end|>");
    }

    @Test
    void jsonArraysLinesAndCsvGiveTheSameSamples() throws IOException {
        List<Sample> lines = load(
                        "a.jsonl",
                        "\uFEFF{\"prompt\": \"a\\nb\", \"completion\": \" c, \\\"d\\\"\"}\r\n"
                                + "{\"prompt\": \"é\", \"completion\": \" x\"}",
                        OPTIONS)
                .samples();
        List<Sample> array = load(
                        "a.json",
                        "\uFEFF[\n {\"prompt\": \"a\\nb\", \"completion\": \" c, \\\"d\\\"\"},\n"
                                + " {\"prompt\": \"é\",\n  \"completion\": \" x\"}\n]\n",
                        OPTIONS)
                .samples();
        List<Sample> table = load(
                        "a.csv",
                        "\uFEFFnumber,prompt,completion\r\n1,\"a\nb\",\" c, \"\"d\"\"\"\r\n\r\n2,é, x\r\n",
                        OPTIONS)
                .samples();
        List<Sample> linesNamedJson = load(
                        "b.json",
                        "\n {\"prompt\": \"a\\nb\", \"completion\": \" c, \\\"d\\\"\"}\n"
                                + "{\"prompt\": \"é\", \"completion\": \" x\"}\n",
                        OPTIONS)
                .samples();
        for (List<Sample> other : List.of(array, table, linesNamedJson)) {
            assertThat(other).hasSize(2);
            for (int i = 0; i < 2; i++) {
                assertThat(other.get(i).ids()).isEqualTo(lines.get(i).ids());
                assertThat(other.get(i).labels()).isEqualTo(lines.get(i).labels());
            }
        }
        assertThat(array.get(1).place()).hasToString(directory.resolve("a.json") + ":3");
        assertThat(table.get(1).place()).hasToString(directory.resolve("a.csv") + ":5");
    }

    @Test
    void aTextFileIsCutIntoConsecutivePieces() throws IOException {
        String text = "First Citizen:\nBefore we proceed any further, hear me speak.\n\nAll:\nSpeak, speak.\n";
        int[] all = tokenizer.encode(text + "<|im_end|>", false);
        SampleOptions eight = new SampleOptions(OptionalInt.of(8), MAXIMUM, TinyMoe.VOCABULARY, true);
        DataSet data = load("a.txt", text, eight);
        assertThat(data.samples()).hasSize(Math.ceilDiv(all.length, 8));
        assertThat(data.samples().stream().flatMapToInt(s -> Arrays.stream(s.ids())))
                .containsExactly(box(all));
        assertThat(data.samples().getFirst().labels())
                .hasSize(8)
                .isEqualTo(data.samples().getFirst().ids());
        assertThat(data.samples().getLast().place().toString())
                .endsWith("a.txt, piece " + data.samples().size());
        assertThat(load("a.txt", text, OPTIONS).samples())
                .extracting(Sample::tokens)
                .containsExactly(32, 2);
    }

    @Test
    void aLastPieceOfOneTokenIsLeftOut() throws IOException {
        String text = "Speak, speak.";
        int tokens = tokenizer.encode(text + "<|im_end|>", false).length;
        SampleOptions allButOne = new SampleOptions(OptionalInt.of(tokens - 1), MAXIMUM, TinyMoe.VOCABULARY, true);
        assertThat(load("a.txt", text, allButOne).samples()).hasSize(1);
    }

    @Test
    void aTextInBlocksGivesTheTokensOfTheWhole() throws IOException {
        String text = "First Citizen:\n\n\n  You are all resolved.\nAll:\nResolved. \n\tresolved.\n\n".repeat(4000);
        Path file = write("long.txt", text);
        SampleOptions wide = new SampleOptions(OptionalInt.empty(), 1 << 24, TinyMoe.VOCABULARY, true);
        int[] whole = TextPieces.cut(file, tokenizer, wide, Integer.MAX_VALUE)
                .getFirst()
                .ids();
        int[] blocks = TextPieces.cut(file, tokenizer, wide, 1000).getFirst().ids();
        assertThat(blocks).isEqualTo(whole);
        assertThat(whole).isEqualTo(tokenizer.encode(text + "<|im_end|>", false));
    }

    @Test
    void longTextsAreCutAndCounted() throws IOException {
        SampleOptions beyond = new SampleOptions(OptionalInt.of(1000), MAXIMUM, TinyMoe.VOCABULARY, true);
        String line = "{\"text\": \"" + "Speak, ".repeat(50) + "\"}\n";
        for (SampleOptions options : List.of(OPTIONS, beyond)) {
            DataSet data = load("long.jsonl", "{\"text\": \"a\"}\n" + line + line, options);
            assertThat(data.samples()).extracting(Sample::tokens).containsExactly(2, MAXIMUM, MAXIMUM);
            assertThat(data.report().truncated()).isEqualTo(2);
            assertThat(data.report().warnings())
                    .singleElement()
                    .asString()
                    .contains("long.jsonl:2 (and 1 more)")
                    .contains("are cut to 32");
        }
    }

    @Test
    void idsLongerThanTheModelAreAnErrorUnlessMaxLengthCutsThem() throws IOException {
        String ids = IntStream.range(0, 40).boxed().toList().toString();
        String lines = "{\"input_ids\": [1, 2]}\n{\"input_ids\": " + ids + "}\n";
        assertThatThrownBy(() -> load("long.jsonl", lines, OPTIONS)).isInstanceOfSatisfying(UserException.class, e -> {
            assertThat(e).hasMessageContaining("long.jsonl:2: 40 tokens").hasMessageContaining("at most 32");
            assertThat(e.hint()).contains("max_length");
        });
        SampleOptions ten = new SampleOptions(OptionalInt.of(10), MAXIMUM, TinyMoe.VOCABULARY, true);
        DataSet cut = load("long.jsonl", lines, ten);
        assertThat(cut.samples().get(1).ids()).containsExactly(0, 1, 2, 3, 4, 5, 6, 7, 8, 9);
        assertThat(cut.report().truncated()).isEqualTo(1);
    }

    @Test
    void samplesWithoutLabelsAreDroppedOnlyUnderMaxLength() throws IOException {
        String lines = """
                {"input_ids": [1, 2, 3, 4], "labels": [-100, -100, -100, 4]}
                {"input_ids": [1, 2, 3, 4], "labels": [-100, -100, 3, 4]}
                {"input_ids": [1, 2], "labels": [-100, -100]}
                """;
        assertThat(load("a.jsonl", lines, OPTIONS).samples()).hasSize(3);
        SampleOptions three = new SampleOptions(OptionalInt.of(3), MAXIMUM, TinyMoe.VOCABULARY, true);
        DataSet data = load("a.jsonl", lines, three);
        assertThat(data.samples()).hasSize(1);
        assertThat(data.report().droppedUnlabelled()).isEqualTo(2);
        assertThat(data.report().truncated()).isEqualTo(1);
        assertThat(data.report().targets()).isEqualTo(1);
    }

    @Test
    void aPromptThatMergesWithItsCompletionIsWarnedAbout() throws IOException {
        DataSet data = load(
                "merge.jsonl",
                "{\"prompt\": \"x\", \"completion\": \" y\"}\n{\"prompt\": \"hel\", \"completion\": \"lo there\"}\n",
                OPTIONS);
        assertThat(tokenizer.encode("hello", false)).isNotEqualTo(tokenizer.encode("hel", false));
        assertThat(data.report().warnings()).singleElement().asString().contains("merge.jsonl:2: the prompt's last");
    }

    @Test
    void severalFilesAreReadInTheirOrder() throws IOException {
        Path first = write("b.jsonl", "{\"input_ids\": [1, 2]}\n");
        Path second = write("a.json", "[{\"input_ids\": [3, 4]}]");
        assertThat(DataSet.load(List.of(first, second), NO_TOKENIZER, OPTIONS).samples())
                .extracting(sample -> sample.ids()[0])
                .containsExactly(1, 3);
    }

    private static int[] learnt(Sample sample) {
        return IntStream.range(0, sample.tokens())
                .filter(i -> sample.labels()[i] != Sample.IGNORED)
                .map(i -> sample.ids()[i])
                .toArray();
    }

    private static int[] integers(JsonNode object, String key) {
        List<Integer> values = new ArrayList<>();
        object.get(key).forEach(value -> values.add(value.intValue()));
        return values.stream().mapToInt(Integer::intValue).toArray();
    }

    private static Integer[] box(int[] values) {
        return Arrays.stream(values).boxed().toArray(Integer[]::new);
    }
}
