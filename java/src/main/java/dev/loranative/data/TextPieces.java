package dev.loranative.data;

import dev.loranative.errors.UserException;
import java.io.IOException;
import java.io.Reader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;

/**
 * Cuts a plain text into samples: the tokens of the whole file and an end of sequence, in consecutive pieces of
 * {@code max_length} tokens (the model's maximum, where that is less or no length is set). All tokens are learnt. A last
 * piece of a single token, which would predict nothing, is left out.
 *
 * <p>This differs from the text loader of Hugging Face's {@code datasets}, which makes a sample of every line.
 *
 * <p>A file longer than {@link #BLOCK_CHARACTERS} is tokenised in blocks to bound the memory. Blocks end at a line feed
 * between two characters that are no white space, where byte-level tokenizers never join tokens; a tokenizer that marks
 * the start of a text with a space does so at each block.
 */
final class TextPieces {

    private static final int BLOCK_CHARACTERS = 1 << 22;

    private TextPieces() {}

    static List<Sample> cut(Path file, Tokenizer tokenizer, SampleOptions options) {
        return cut(file, tokenizer, options, BLOCK_CHARACTERS);
    }

    static List<Sample> cut(Path file, Tokenizer tokenizer, SampleOptions options, int blockCharacters) {
        int[] ids = tokens(file, tokenizer, blockCharacters);
        for (int i = 0; i < ids.length; i++) {
            if (ids[i] < 0 || ids[i] >= options.vocabularySize()) {
                throw UserException.badInput(
                        file + ": token " + i + " is " + ids[i] + ", outside the vocabulary of "
                                + options.vocabularySize(),
                        "the tokenizer belongs to another model: copy the model's own tokenizer.json");
            }
        }
        int length = options.textLimit();
        List<Sample> pieces = new ArrayList<>();
        for (int start = 0; start < ids.length; start += length) {
            int end = Math.min(ids.length, start + length);
            if (end - start == 1 && start > 0) {
                break;
            }
            int[] piece = Arrays.copyOfRange(ids, start, end);
            pieces.add(new Sample(piece, piece, new Place.Piece(file, pieces.size() + 1)));
        }
        return pieces;
    }

    private static int[] tokens(Path file, Tokenizer tokenizer, int blockCharacters) {
        int[] ids = new int[1024];
        int count = 0;
        boolean first = true;
        StringBuilder pending = new StringBuilder();
        int searched = 0;
        char[] buffer = new char[1 << 16];
        try (Reader reader = Utf8.strictReader(LineReader.withoutMark(Files.newInputStream(file)))) {
            boolean more = true;
            while (more) {
                int read = reader.read(buffer);
                more = read >= 0;
                if (more) {
                    pending.append(buffer, 0, read);
                }
                int end = pending.length();
                if (more) {
                    if (end < blockCharacters) {
                        continue;
                    }
                    end = blockEnd(pending, searched);
                    searched = end == 0 ? pending.length() - 1 : 0;
                }
                if (end == 0) {
                    continue;
                }
                int[] block = tokenizer.encode(pending.substring(0, end), first);
                pending.delete(0, end);
                first = false;
                ids = append(ids, count, block);
                count += block.length;
            }
        } catch (IOException e) {
            throw UserException.badInput(
                    file + " cannot be read: " + Causes.oneLine(e), "save the file as UTF-8 and check its permissions");
        }
        Optional<String> eos = tokenizer.eosText();
        if (count > 0 && eos.isPresent()) {
            int[] end = tokenizer.encode(eos.get(), false);
            if (!endsWith(ids, count, end)) {
                ids = append(ids, count, end);
                count += end.length;
            }
        }
        return Arrays.copyOf(ids, count);
    }

    /** After the last line feed, from {@code start} on, between two characters that are no white space; else 0. */
    private static int blockEnd(CharSequence text, int start) {
        for (int i = text.length() - 2; i >= Math.max(1, start); i--) {
            if (text.charAt(i) == '\n'
                    && !Character.isWhitespace(text.charAt(i - 1))
                    && !Character.isWhitespace(text.charAt(i + 1))) {
                return i + 1;
            }
        }
        return 0;
    }

    private static int[] append(int[] ids, int count, int[] more) {
        int[] result = count + more.length <= ids.length
                ? ids
                : Arrays.copyOf(ids, Math.max(count + more.length, 2 * ids.length));
        System.arraycopy(more, 0, result, count, more.length);
        return result;
    }

    private static boolean endsWith(int[] ids, int count, int[] end) {
        return count >= end.length && Arrays.equals(ids, count - end.length, count, end, 0, end.length);
    }
}
