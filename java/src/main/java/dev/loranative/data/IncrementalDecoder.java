package dev.loranative.data;

import java.util.Arrays;
import java.util.function.Function;

/**
 * Turns a stream of token ids into text as soon as it is certain.
 *
 * <p>One character may need several tokens, and a token's text may depend on those before it (a leading space, for
 * example). So a short tail of tokens is decoded twice, without and with the new ones, and the difference is given out
 * once it no longer ends in U+FFFD, the sign of an unfinished character. All pieces together equal the text of all ids,
 * except that runs of bytes that are no UTF-8 may give another number of U+FFFD.
 */
public final class IncrementalDecoder {

    /** No character of UTF-8 needs more bytes; a longer unfinished tail is damage, and waiting would not mend it. */
    private static final int LONGEST_UNFINISHED = 8;

    private final Function<int[], String> decode;
    private int[] tail = new int[16];
    private int length;
    /** Tokens at the front of the tail whose text is out already: context only. */
    private int given;

    IncrementalDecoder(Function<int[], String> decode) {
        this.decode = decode;
    }

    /** The text that has become certain with this token, often empty. */
    public String add(int id) {
        if (length == tail.length) {
            tail = Arrays.copyOf(tail, 2 * length);
        }
        tail[length++] = id;
        String after = decode.apply(Arrays.copyOf(tail, length));
        if (after.endsWith("\uFFFD") && length - given < LONGEST_UNFINISHED) {
            return "";
        }
        return advance(after);
    }

    /** What is left at the end, an unfinished character as U+FFFD. The decoder then starts anew. */
    public String finish() {
        String rest = advance(decode.apply(Arrays.copyOf(tail, length)));
        length = 0;
        given = 0;
        return rest;
    }

    private String advance(String after) {
        String before = decode.apply(Arrays.copyOf(tail, given));
        if (after.length() <= before.length()) {
            return "";
        }
        String piece = after.substring(before.length());
        // The tokens just given out become the context of the next ones; what was context is no longer needed.
        System.arraycopy(tail, given, tail, 0, length - given);
        length -= given;
        given = length;
        return piece;
    }
}
