package dev.loranative.errors;

/**
 * Something the user can mend: a wrong value, a broken file, a machine that is too small.
 *
 * <p>The message is one line that contains the offending value and where it was; the hint says what to do next. The
 * command line prints both and ends with {@link #exitCode()}.
 */
public class UserException extends RuntimeException {

    /** It failed while running. */
    public static final int FAILED = 1;

    /** Usage, configuration or input is wrong; found before any training step. */
    public static final int BAD_INPUT = 2;

    /** It does not fit the memory limit; found before the first step. */
    public static final int DOES_NOT_FIT = 3;

    private final String hint;
    private final int exitCode;

    public UserException(String message, String hint, int exitCode) {
        super(message);
        this.hint = hint;
        this.exitCode = exitCode;
    }

    public UserException(String message, String hint, int exitCode, Throwable cause) {
        super(message, cause);
        this.hint = hint;
        this.exitCode = exitCode;
    }

    public static UserException badInput(String message, String hint) {
        return new UserException(message, hint, BAD_INPUT);
    }

    public static UserException failed(String message, String hint) {
        return new UserException(message, hint, FAILED);
    }

    /** What to do next, one line; never null. */
    public String hint() {
        return hint;
    }

    public int exitCode() {
        return exitCode;
    }
}
