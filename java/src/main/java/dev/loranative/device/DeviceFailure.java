package dev.loranative.device;

import dev.loranative.errors.UserException;

/** A GPU or its driver failed while running: nothing that was not read back yet can be. */
public final class DeviceFailure {

    private DeviceFailure() {}

    /**
     * Kernels run after the call that asked for them has returned, so a fault shows in a later one.
     *
     * @param text what reported it, and how
     */
    public static UserException of(String text) {
        return UserException.failed(
                "the GPU failed: " + text,
                "what was saved before is intact: a training resumes with --resume-from-checkpoint true; run with"
                        + " CUDA_LAUNCH_BLOCKING=1 in the environment to have the op named that fails");
    }
}
