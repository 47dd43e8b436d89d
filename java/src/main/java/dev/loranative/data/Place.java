package dev.loranative.data;

import java.nio.file.Path;

/** Where a sample comes from, for messages. */
public sealed interface Place {

    Path file();

    /** A row of a data set; {@code line} counts from 1. */
    record Line(Path file, long line) implements Place {
        @Override
        public String toString() {
            return file + ":" + line;
        }
    }

    /** A piece that was cut from a plain text; {@code piece} counts from 1. */
    record Piece(Path file, int piece) implements Place {
        @Override
        public String toString() {
            return file + ", piece " + piece;
        }
    }
}
