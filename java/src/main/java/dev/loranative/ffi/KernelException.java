package dev.loranative.ffi;

/** A kernel refused its arguments; the text is the library's own and names function, argument and value. */
public final class KernelException extends RuntimeException {

    /** The {@code ln_status} of a kernel that found too little scratch, and has written nothing. */
    public static final int SCRATCH_TOO_SMALL = 3;

    private final int status;

    public KernelException(int status, String text) {
        super(text);
        this.status = status;
    }

    /** A value of {@code ln_status}. */
    public int status() {
        return status;
    }
}
