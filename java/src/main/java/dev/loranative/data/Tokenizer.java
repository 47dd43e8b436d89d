package dev.loranative.data;

import ai.djl.engine.EngineException;
import ai.djl.huggingface.tokenizers.HuggingFaceTokenizer;
import dev.loranative.errors.UserException;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;

/**
 * A model's own tokenizer, {@code tokenizer.json}, run by Hugging Face's library; nothing is ever downloaded.
 *
 * <p>Nothing is truncated or padded here, whatever {@code tokenizer.json} asks for. Not safe for use after
 * {@link #close()}; safe for several threads before.
 */
public final class Tokenizer implements AutoCloseable {

    static {
        TokenizerLibrary.prepare();
    }

    private final HuggingFaceTokenizer library;
    private final SpecialTokens special;
    private final Optional<String> eosText;

    private Tokenizer(HuggingFaceTokenizer library, SpecialTokens declared) {
        this.library = library;
        this.special = declared.complete(this::singleId);
        boolean textIsToken = declared.eosText().isPresent()
                && singleId(declared.eosText().get()).isPresent();
        this.eosText = textIsToken
                ? declared.eosText()
                : declared.eosIds().stream()
                        .findFirst()
                        .map(id -> decode(new int[] {id}, false))
                        .filter(text -> !text.isEmpty());
    }

    /**
     * Loads {@code tokenizer.json} of a model's folder, with the special tokens of its configuration files.
     *
     * @throws UserException when the file is missing or is no tokenizer
     */
    public static Tokenizer load(Path modelDirectory) {
        Path file = modelDirectory.resolve("tokenizer.json");
        if (!Files.isRegularFile(file)) {
            throw UserException.badInput(
                    modelDirectory + " has no tokenizer.json, which text needs",
                    "copy the model's tokenizer.json there, or use data with input_ids (for generate: --prompt-ids)");
        }
        SpecialTokens special = SpecialTokens.load(modelDirectory);
        // From a stream, so that the library does not read tokenizer_config.json beside it and apply its own limits.
        try (InputStream stream = Files.newInputStream(file)) {
            return new Tokenizer(
                    HuggingFaceTokenizer.newInstance(
                            stream, Map.of("truncation", "do_not_truncate", "padding", "do_not_pad")),
                    special);
        } catch (IOException e) {
            throw UserException.badInput(
                    file + " cannot be read: " + Causes.oneLine(e), "check the file's permissions");
        } catch (UnsatisfiedLinkError | EngineException e) {
            throw new UserException(
                    "the tokenizer library cannot be loaded: " + TokenizerLibrary.firstLine(e),
                    "data with input_ids (for generate: --prompt-ids) needs no tokenizer; doctor shows what works here",
                    UserException.FAILED,
                    e);
        } catch (RuntimeException e) {
            throw new UserException(
                    file + " is no tokenizer that can be used: " + TokenizerLibrary.firstLine(e),
                    "the file is damaged or of a newer kind: copy the model's folder again",
                    UserException.BAD_INPUT,
                    e);
        }
    }

    /**
     * Token ids of a text. A lone surrogate, which has no UTF-8, is read as U+FFFD.
     *
     * @param addSpecialTokens whether to add what the tokenizer adds by default, often a beginning of sequence; the
     *     texts of special tokens inside {@code text} become these tokens either way
     */
    public int[] encode(String text, boolean addSpecialTokens) {
        long[] ids = library.encode(wellFormed(text), addSpecialTokens, false).getIds();
        int[] result = new int[ids.length];
        for (int i = 0; i < ids.length; i++) {
            result[i] = Math.toIntExact(ids[i]);
        }
        return result;
    }

    /**
     * The text of token ids; bytes that form no character become U+FFFD, ids outside the vocabulary nothing.
     *
     * @param skipSpecialTokens whether to leave out tokens such as the end of sequence
     */
    public String decode(int[] ids, boolean skipSpecialTokens) {
        long[] wide = new long[ids.length];
        for (int i = 0; i < ids.length; i++) {
            wide[i] = ids[i];
        }
        return library.decode(wide, skipSpecialTokens);
    }

    /** A decoder for one stream of generated tokens. */
    public IncrementalDecoder incrementalDecoder(boolean skipSpecialTokens) {
        return new IncrementalDecoder(ids -> decode(ids, skipSpecialTokens));
    }

    /** A decoder for what a model writes after {@code prompt}: without special tokens, spaces as they stand after it. */
    public IncrementalDecoder incrementalDecoder(int[] prompt) {
        IncrementalDecoder decoder = incrementalDecoder(true);
        for (int id : prompt) {
            decoder.add(id);
        }
        return decoder;
    }

    /** Why no tokenizer can be used on this machine, one line; empty when the library loads and works. */
    public static Optional<String> unavailabilityCause() {
        String oneWord = "{\"model\":{\"type\":\"WordLevel\",\"vocab\":{\"a\":0},\"unk_token\":\"a\"}}";
        try (InputStream stream = new ByteArrayInputStream(oneWord.getBytes(StandardCharsets.UTF_8));
                HuggingFaceTokenizer tokenizer = HuggingFaceTokenizer.newInstance(stream, Map.of())) {
            long[] ids = tokenizer.encode("a", false, false).getIds();
            return ids.length == 1 ? Optional.empty() : Optional.of("it makes " + ids.length + " tokens of one word");
        } catch (IOException | RuntimeException | LinkageError e) {
            return Optional.of(TokenizerLibrary.firstLine(e));
        }
    }

    /** The folder into which the library unpacks itself. */
    public static String libraryFolder() {
        return TokenizerLibrary.folder();
    }

    /** As in the folder's configuration files, ids found for the texts among them. */
    public SpecialTokens specialTokens() {
        return special;
    }

    /**
     * The text that ends a training sample: the tokenizer's {@code eos_token}, otherwise the text of the first
     * {@code eos_token_id}; empty where the model names neither.
     */
    public Optional<String> eosText() {
        return eosText;
    }

    @Override
    public void close() {
        library.close();
    }

    private OptionalInt singleId(String text) {
        int[] ids = encode(text, false);
        return ids.length == 1 ? OptionalInt.of(ids[0]) : OptionalInt.empty();
    }

    private static String wellFormed(String text) {
        StringBuilder repaired = null;
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            if (!Character.isSurrogate(c)) {
                continue;
            }
            boolean pair = Character.isHighSurrogate(c)
                    && i + 1 < text.length()
                    && Character.isLowSurrogate(text.charAt(i + 1));
            if (pair) {
                i++;
            } else {
                if (repaired == null) {
                    repaired = new StringBuilder(text);
                }
                repaired.setCharAt(i, '\uFFFD');
            }
        }
        return repaired == null ? text : repaired.toString();
    }
}
