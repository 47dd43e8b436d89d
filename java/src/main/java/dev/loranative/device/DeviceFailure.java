package dev.loranative.device;

import dev.loranative.errors.UserException;

/**
 * A GPU or its driver failed while running: nothing that was not read back yet can be. Kernels run after the call that
 * asked for them has returned, so a fault shows in a later one.
 */
public final class DeviceFailure extends UserException {

    private static final long serialVersionUID = 1;

    private final String what;

    private DeviceFailure(String when, String what, DeviceFailure cause) {
        super(
                "the GPU failed" + when + ": " + what,
                "what was saved before is intact: a training resumes with --resume-from-checkpoint true; to find the one"
                        + " op that fails, run again with CUDA_LAUNCH_BLOCKING=1 in the environment",
                FAILED,
                cause);
        this.what = what;
    }

    /** @param report what reported it, and how */
    public static DeviceFailure of(String report) {
        return new DeviceFailure("", report, null);
    }

    /** The same failure, with the calls that it can be of, as {@code ln_unfinished} names them; empty: unknown. */
    public DeviceFailure among(String calls) {
        return calls.isEmpty()
                ? this
                : new DeviceFailure(
                        "", what + "; at fault is " + (calls.contains("), ") ? "one of " : "") + calls, this);
    }

    /** The same failure, with when it was, such as {@code after 3 steps}. */
    public DeviceFailure during(String when) {
        return new DeviceFailure(" " + when, what, this);
    }
}
