package dev.loranative.device;

/** Device memory for a short time; used after {@link #close} it is an {@link IllegalStateException}. */
public interface Loan extends AutoCloseable {

    Buffer buffer();

    /** Gives the memory back. */
    @Override
    void close();
}
