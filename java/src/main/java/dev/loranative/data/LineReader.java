package dev.loranative.data;

import java.io.IOException;
import java.io.InputStream;
import java.io.PushbackInputStream;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.CharsetDecoder;
import java.util.Arrays;

/** Lines of a UTF-8 stream; splits bytes before decoding them, so that a broken character is known by its line. */
final class LineReader implements AutoCloseable {

    private static final byte[] MARK = {(byte) 0xEF, (byte) 0xBB, (byte) 0xBF};

    private final InputStream stream;
    private final CharsetDecoder decoder = Utf8.strictDecoder();
    private final byte[] buffer = new byte[1 << 16];
    private int position;
    private int filled;
    private byte[] line = new byte[1024];
    private int length;
    private long number;

    LineReader(InputStream stream) throws IOException {
        this.stream = withoutMark(stream);
    }

    /** Moves to the next line; false at the end. */
    boolean next() throws IOException {
        length = 0;
        boolean any = false;
        while (true) {
            if (position == filled) {
                filled = Math.max(0, stream.read(buffer));
                position = 0;
                if (filled == 0) {
                    number += any ? 1 : 0;
                    return any;
                }
            }
            any = true;
            int end = position;
            while (end < filled && buffer[end] != '\n') {
                end++;
            }
            append(end);
            if (end < filled) {
                position = end + 1;
                number++;
                return true;
            }
            position = end;
        }
    }

    /** The number of the current line, from 1. */
    long number() {
        return number;
    }

    /** The current line without its line feed. */
    String text() throws CharacterCodingException {
        return decoder.decode(ByteBuffer.wrap(line, 0, length)).toString();
    }

    @Override
    public void close() throws IOException {
        stream.close();
    }

    /** The stream without a UTF-8 byte-order mark at its start. */
    static InputStream withoutMark(InputStream stream) throws IOException {
        PushbackInputStream result = new PushbackInputStream(stream, MARK.length);
        byte[] start = result.readNBytes(MARK.length);
        if (!Arrays.equals(start, MARK)) {
            result.unread(start);
        }
        return result;
    }

    private void append(int end) {
        int count = end - position;
        if (length + count > line.length) {
            line = Arrays.copyOf(line, Math.max(length + count, 2 * line.length));
        }
        System.arraycopy(buffer, position, line, length, count);
        length += count;
    }
}
