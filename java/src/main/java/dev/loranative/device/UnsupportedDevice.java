package dev.loranative.device;

import dev.loranative.errors.UserException;

/** The driver has the device, but these kernels cannot run on it. {@code auto} takes another one then. */
public final class UnsupportedDevice extends UserException {

    private static final long serialVersionUID = 1;

    public UnsupportedDevice(String message, String hint) {
        super(message, hint, BAD_INPUT);
    }
}
