package dev.loranative.cli;

import java.util.function.LongSupplier;

/**
 * The last line of a terminal, which is written over; nothing where standard error is no terminal. Methods may be called
 * from several threads.
 */
final class StatusLine {

    /** More often than the eye follows only costs time. */
    private static final long REDRAW_NANOS = 100_000_000;

    private static final String CLEAR_LINE = "\r\u001B[2K";

    private final Console console;
    private final LongSupplier nanoTime;
    private boolean drawn;
    private long drawnAt;

    StatusLine(Console console, LongSupplier nanoTime) {
        this.console = console;
        this.nanoTime = nanoTime;
    }

    /** Columns that a line may take: the last one stays free, some terminals begin a new line when it is filled. */
    int width() {
        return console.terminal().width() - 1;
    }

    /** Takes the place of what is there, unless that has just been drawn. */
    synchronized void draw(String line) {
        long now = nanoTime.getAsLong();
        if (!console.terminal().rewrites() || drawn && now - drawnAt < REDRAW_NANOS) {
            return;
        }
        console.err().print((drawn ? CLEAR_LINE : "") + line);
        console.err().flush();
        drawn = true;
        drawnAt = now;
    }

    synchronized void clear() {
        if (drawn) {
            console.err().print(CLEAR_LINE);
            console.err().flush();
            drawn = false;
        }
    }
}
