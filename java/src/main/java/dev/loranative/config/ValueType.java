package dev.loranative.config;

import java.util.List;

/**
 * How one kind of value is read from a YAML or JSON value, read from the words of a command line, and written back.
 *
 * <p>{@code null} never reaches a type: {@link Key#nullable()} decides about it first.
 */
public interface ValueType<T> {

    /** What stands for the value in the help, for example {@code NUMBER}. */
    String label();

    /**
     * @param raw a String, Boolean, Number, List or Map as a YAML or JSON reader gives it
     */
    T read(Object raw) throws BadValue;

    /**
     * @param words the words after the flag, one for each time it was given; the last one holds unless the type collects
     */
    default T readFlag(List<String> words) throws BadValue {
        return read(words.getLast());
    }

    /** Whether {@link #readFlag} takes every word, and not the last one alone. */
    default boolean collects() {
        return false;
    }

    /** The value as a YAML or JSON writer takes it; {@link #read} gives the same value back. */
    default Object write(T value) {
        return value;
    }
}
