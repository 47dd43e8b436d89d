package dev.loranative.data;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.loranative.errors.UserException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import tools.jackson.databind.JsonNode;

class TokenizerTest {

    /** A vocabulary that is not part of the repository; the build may name another place. */
    private static final Path GPT2 = Path.of(System.getProperty("lora.native.gpt2", "../../shared/tokenizer-gpt2"));

    private static Tokenizer tokenizer;

    @TempDir
    Path directory;

    @BeforeAll
    static void load() {
        tokenizer = Tokenizer.load(TinyMoe.directory());
    }

    @AfterAll
    static void close() {
        tokenizer.close();
    }

    /** The ids and texts are those of the Python package {@code tokenizers} for the same file. */
    @Test
    void agreesWithPython() throws IOException {
        JsonNode cases =
                Json.MAPPER.readTree(Files.readString(TinyMoe.directory().resolve("cases.json")));
        assertThat(cases.size()).isEqualTo(18);
        for (JsonNode expected : cases) {
            String text = expected.get("text").stringValue();
            int[] ids = tokenizer.encode(text, true);
            assertThat(ids).as(text).containsExactly(integers(expected, "ids"));
            assertThat(tokenizer.decode(ids, false))
                    .isEqualTo(expected.get("decoded").stringValue());
            assertThat(tokenizer.decode(ids, true))
                    .isEqualTo(expected.get("decoded_skipping").stringValue());
        }
    }

    /** Of the kind of Llama 2: spaces become ▁, characters outside the vocabulary bytes, and a text begins with a token. */
    @Test
    void agreesWithPythonWhereCharactersFallBackToBytes() throws IOException {
        Path folder =
                TinyMoe.resource("/tokenizer/byte-fallback/tokenizer.json").getParent();
        JsonNode cases = Json.MAPPER.readTree(Files.readString(folder.resolve("cases.json")));
        assertThat(cases.size()).isEqualTo(7);
        try (Tokenizer fallback = Tokenizer.load(folder)) {
            assertThat(fallback.specialTokens().eosIds()).containsExactly(2);
            assertThat(fallback.specialTokens().bosId()).isEqualTo(OptionalInt.of(1));
            for (JsonNode expected : cases) {
                String text = expected.get("text").stringValue();
                assertThat(fallback.encode(text, true)).as(text).containsExactly(integers(expected, "ids"));
                assertThat(fallback.encode(text, false)).as(text).containsExactly(integers(expected, "ids_plain"));
                assertThat(fallback.decode(integers(expected, "ids"), false))
                        .isEqualTo(expected.get("decoded").stringValue());
                IncrementalDecoder decoder = fallback.incrementalDecoder(true);
                StringBuilder streamed = new StringBuilder();
                for (int id : integers(expected, "ids")) {
                    streamed.append(decoder.add(id));
                }
                assertThat(streamed.append(decoder.finish()).toString())
                        .isEqualTo(expected.get("decoded_skipping").stringValue());
            }
        }
    }

    @Test
    void agreesWithAnotherImplementationOfGpt2() throws IOException {
        assumeTrue(Files.isDirectory(GPT2), GPT2 + " is absent: GPT-2's tokenizer is not checked");
        JsonNode cases = Json.MAPPER.readTree(Files.readString(GPT2.resolve("cases.json")));
        assertThat(cases.size()).isPositive();
        try (Tokenizer gpt2 = Tokenizer.load(GPT2)) {
            for (JsonNode expected : cases) {
                String text = expected.get("text").stringValue();
                assertThat(gpt2.encode(text, false)).as(text).containsExactly(integers(expected, "ids"));
                assertThat(gpt2.decode(integers(expected, "ids"), false)).isEqualTo(text);
            }
        }
    }

    @Test
    void aLoneSurrogateIsReadAsReplacement() {
        int[] replacement = tokenizer.encode("a\uFFFDb", false);
        assertThat(tokenizer.encode("a\uD83Db", false)).containsExactly(replacement);
        assertThat(tokenizer.encode("a\uDE00b", false)).containsExactly(replacement);
        assertThat(tokenizer.decode(tokenizer.encode("\uD83D", false), false)).isEqualTo("\uFFFD");
        assertThat(tokenizer.decode(tokenizer.encode("\uD83D\uD83D\uDE00", false), false))
                .isEqualTo("\uFFFD😀");
    }

    @Test
    void aLongTextIsNotTruncatedAndManyAreNotPadded() {
        String text = "Speak, speak. ".repeat(5000);
        int[] ids = tokenizer.encode(text, true);
        assertThat(ids.length).isGreaterThan(20_000);
        assertThat(tokenizer.decode(ids, false)).isEqualTo(text);
        assertThat(tokenizer.encode("a", true)).hasSize(1);
    }

    @Test
    void whatTokenizerJsonAsksForInTruncationAndPaddingIsNotDone() throws IOException {
        String json = Files.readString(TinyMoe.directory().resolve("tokenizer.json"))
                .replace(
                        "\"truncation\": null",
                        "\"truncation\": {\"direction\":\"Right\",\"max_length\":4,\"strategy\":\"LongestFirst\","
                                + "\"stride\":0}")
                .replace(
                        "\"padding\": null",
                        "\"padding\": {\"strategy\":{\"Fixed\":16},\"direction\":\"Right\",\"pad_to_multiple_of\":null,"
                                + "\"pad_id\":0,\"pad_type_id\":0,\"pad_token\":\"<|endoftext|>\"}");
        assertThat(json).contains("\"max_length\":4").contains("\"Fixed\":16");
        Files.writeString(directory.resolve("tokenizer.json"), json);
        try (Tokenizer limited = Tokenizer.load(directory)) {
            for (String text : List.of("a", "First Citizen:\nBefore we proceed any further, hear me speak.")) {
                assertThat(limited.encode(text, true)).as(text).containsExactly(tokenizer.encode(text, true));
            }
        }
    }

    @Test
    void specialTokensComeFromTheFolder() {
        assertThat(tokenizer.eosText()).contains("<|im_end|>");
        assertThat(tokenizer.specialTokens().eosIds()).containsExactly(2);
        assertThat(tokenizer.specialTokens().padId()).isEqualTo(OptionalInt.of(0));
        assertThat(tokenizer.specialTokens().bosId()).isEmpty();
    }

    @Test
    void theTokenizersOwnEndIsAddedToThoseOfTheModel() throws IOException {
        copyTokenizer();
        Files.writeString(directory.resolve("config.json"), "{\"eos_token_id\": [0, 1]}");
        Files.writeString(directory.resolve("tokenizer_config.json"), "{\"eos_token\": {\"content\": \"<|im_end|>\"}}");
        try (Tokenizer loaded = Tokenizer.load(directory)) {
            assertThat(loaded.specialTokens().eosIds()).containsExactly(0, 1, 2);
            assertThat(loaded.eosText()).contains("<|im_end|>");
        }
    }

    @Test
    void withoutATextTheFirstIdNamesTheEnd() throws IOException {
        copyTokenizer();
        Files.writeString(directory.resolve("config.json"), "{\"eos_token_id\": 0}");
        try (Tokenizer loaded = Tokenizer.load(directory)) {
            assertThat(loaded.eosText()).contains("<|endoftext|>");
        }
        Files.writeString(directory.resolve("config.json"), "{}");
        try (Tokenizer loaded = Tokenizer.load(directory)) {
            assertThat(loaded.eosText()).isEmpty();
            assertThat(loaded.specialTokens().eosIds()).isEmpty();
        }
    }

    @Test
    void aFolderWithoutTokenizerIsAnErrorThatNamesTheWayOut() {
        assertThatThrownBy(() -> Tokenizer.load(directory)).isInstanceOfSatisfying(UserException.class, e -> {
            assertThat(e).hasMessageContaining(directory.toString()).hasMessageContaining("tokenizer.json");
            assertThat(e.hint()).contains("input_ids").contains("--prompt-ids");
            assertThat(e.exitCode()).isEqualTo(2);
        });
    }

    @Test
    void aDamagedTokenizerIsAnErrorOnOneLine() throws IOException {
        for (String damaged : List.of("", "{", "{\"version\": \"1.0\"}", "no json", "\u0000")) {
            Files.writeString(directory.resolve("tokenizer.json"), damaged);
            assertThatThrownBy(() -> Tokenizer.load(directory))
                    .as(damaged)
                    .isInstanceOfSatisfying(UserException.class, e -> {
                        assertThat(e).hasMessageContaining("tokenizer.json");
                        assertThat(e.getMessage().lines()).hasSize(1);
                        assertThat(e.exitCode()).isEqualTo(2);
                    });
        }
    }

    @Test
    void textComesOutPieceByPieceAndNeverHalfACharacter() {
        for (String text : List.of(
                "First Citizen:\nSpeak.",
                "日本語のテキスト 🦙 👩‍👩‍👧 é",
                "a\uFFFDb\uFFFD",
                "  leading",
                "émigré<|im_end|>x")) {
            int[] ids = tokenizer.encode(text, false);
            IncrementalDecoder decoder = tokenizer.incrementalDecoder(false);
            List<String> pieces = new ArrayList<>();
            for (int id : ids) {
                pieces.add(decoder.add(id));
            }
            pieces.add(decoder.finish());
            assertThat(String.join("", pieces)).isEqualTo(text);
            if (!text.contains("\uFFFD")) {
                assertThat(pieces).noneMatch(piece -> piece.contains("\uFFFD"));
            }
            assertThat(decoder.finish()).isEmpty();
        }
    }

    @Test
    void plainWordsAreNotHeldBack() {
        IncrementalDecoder decoder = tokenizer.incrementalDecoder(true);
        StringBuilder soFar = new StringBuilder();
        int[] ids = tokenizer.encode("Before we proceed any further, hear me speak.", false);
        for (int i = 0; i < ids.length; i++) {
            soFar.append(decoder.add(ids[i]));
            assertThat(soFar.toString()).isEqualTo(tokenizer.decode(Arrays.copyOf(ids, i + 1), true));
        }
    }

    @Test
    void specialTokensCanBeLeftOutOfAStream() {
        IncrementalDecoder decoder = tokenizer.incrementalDecoder(true);
        StringBuilder text = new StringBuilder();
        for (int id : tokenizer.encode("<|im_start|>a<|im_end|> b<|im_end|>", false)) {
            text.append(decoder.add(id));
        }
        assertThat(text.append(decoder.finish()).toString()).isEqualTo("a b");
    }

    /** Alone, the first word of a continuation would lose the space in front of it. */
    @Test
    void aContinuationKeepsTheSpaceBehindItsPrompt() {
        Path folder =
                TinyMoe.resource("/tokenizer/byte-fallback/tokenizer.json").getParent();
        try (Tokenizer fallback = Tokenizer.load(folder)) {
            int[] all = fallback.encode("a leading", true);
            for (int length = 1; length <= all.length; length++) {
                int[] prompt = Arrays.copyOf(all, length);
                IncrementalDecoder decoder = fallback.incrementalDecoder(prompt);
                StringBuilder text = new StringBuilder(fallback.decode(prompt, true));
                for (int i = length; i < all.length; i++) {
                    text.append(decoder.add(all[i]));
                }
                assertThat(text.append(decoder.finish()).toString()).isEqualTo("a leading");
            }
        }
    }

    @Test
    void theLibraryIsUsableHere() {
        assertThat(Tokenizer.unavailabilityCause()).isEmpty();
        assertThat(Tokenizer.libraryFolder()).isNotBlank();
    }

    @Test
    void bytesThatNeverBecomeACharacterDoNotBlockTheStream() {
        int halfCharacter = tokenizer.encode("日", false)[0];
        IncrementalDecoder decoder = tokenizer.incrementalDecoder(false);
        StringBuilder text = new StringBuilder();
        for (int i = 0; i < 100; i++) {
            text.append(decoder.add(halfCharacter));
        }
        assertThat(text.length()).isGreaterThan(50);
        assertThat(text.append(decoder.finish()).toString()).matches("\uFFFD+");
    }

    @Test
    void theNativeLibraryIsUnpackedInTheUsersCache() {
        assertThat(TokenizerLibrary.cacheFolder(Map.of(), "/home/a")).isEqualTo(Path.of("/home/a/.cache/lora-native"));
        assertThat(TokenizerLibrary.cacheFolder(Map.of("XDG_CACHE_HOME", "/x"), "/home/a"))
                .isEqualTo(Path.of("/x/lora-native"));
        assertThat(TokenizerLibrary.cacheFolder(Map.of("LORA_NATIVE_CACHE", "/c", "XDG_CACHE_HOME", "/x"), "/home/a"))
                .isEqualTo(Path.of("/c"));
    }

    @Test
    void aLazyTokenizerIsLoadedWhenAskedFor() {
        try (LazyTokenizer absent = new LazyTokenizer(directory);
                LazyTokenizer present = new LazyTokenizer(TinyMoe.directory())) {
            assertThatThrownBy(absent::get).isInstanceOf(UserException.class);
            assertThat(present.get()).isSameAs(present.get());
        }
    }

    private void copyTokenizer() throws IOException {
        Files.copy(TinyMoe.directory().resolve("tokenizer.json"), directory.resolve("tokenizer.json"));
    }

    private static int[] integers(JsonNode object, String key) {
        JsonNode values = object.get(key);
        return IntStream.range(0, values.size())
                .map(i -> values.get(i).intValue())
                .toArray();
    }
}
