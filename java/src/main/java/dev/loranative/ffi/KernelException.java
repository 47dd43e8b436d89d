package dev.loranative.ffi;

/** A kernel refused its arguments; the text is the library's own and names function, argument and value. */
public final class KernelException extends RuntimeException {

    /** The {@code ln_status} of what is legal, but not for this library or machine. */
    public static final int UNSUPPORTED = 2;

    /** The {@code ln_status} of a kernel that found too little scratch, and has written nothing. */
    public static final int SCRATCH_TOO_SMALL = 3;

    private static final int DEVICE_ERROR = 6;

    private final int status;

    public KernelException(int status, String text) {
        super(text);
        this.status = status;
    }

    /** {@code LN_DEVICE_ERROR}: no refusal; the device, or its driver, failed in this call or in one before it. */
    public boolean isDeviceError() {
        return status == DEVICE_ERROR;
    }

    /** A value of {@code ln_status}. */
    public int status() {
        return status;
    }
}
