package dev.loranative.config;

/** A raw value that a {@link ValueType} refuses; the parser adds key, value and place. */
public final class BadValue extends Exception {

    /**
     * @param expectation completes "KEY must be …", for example {@code "a number of at least 0"}
     */
    public BadValue(String expectation) {
        super(expectation, null, false, false);
    }
}
