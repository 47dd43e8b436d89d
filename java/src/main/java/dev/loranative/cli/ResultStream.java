package dev.loranative.cli;

import java.io.IOException;
import java.io.OutputStream;

/**
 * Standard output. A reader that has gone ({@code | head}), or a stream that was closed on purpose, is no failure: what
 * they do not want is dropped. A disk that is full is one.
 */
final class ResultStream extends OutputStream {

    private final OutputStream stream;
    private boolean unread;

    ResultStream(OutputStream stream) {
        this.stream = stream;
    }

    @Override
    public void write(int value) throws IOException {
        write(new byte[] {(byte) value}, 0, 1);
    }

    @Override
    public void write(byte[] bytes, int offset, int length) throws IOException {
        if (unread) {
            return;
        }
        try {
            stream.write(bytes, offset, length);
        } catch (IOException e) {
            String reason = String.valueOf(e.getMessage());
            unread = reason.contains("Broken pipe") || reason.contains("Bad file descriptor");
            if (!unread) {
                throw e;
            }
        }
    }

    @Override
    public void flush() throws IOException {
        if (!unread) {
            stream.flush();
        }
    }
}
