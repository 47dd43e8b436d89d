package dev.loranative.device;

import dev.loranative.errors.UserException;
import java.util.Optional;

/** Finds the device that a user names: {@code auto}, {@code cpu} or {@code cuda:N}. */
public final class Devices {

    private Devices() {}

    /** @param threads CPU worker threads; 0 for one per processor that this process may use */
    public static Device open(String name, int threads) {
        if (name.equals("cpu") || name.equals("auto")) {
            return CpuDevice.open(threads);
        }
        if (name.matches("cuda(:\\d+)?")) {
            throw UserException.badInput(
                    "device '" + name + "' is not available: "
                            + unavailabilityCause().orElseThrow(),
                    "use --device cpu");
        }
        throw UserException.badInput("device '" + name + "' is unknown", "use auto, cpu or cuda:N");
    }

    /** Why no GPU can be used, one sentence; empty when one can. */
    public static Optional<String> unavailabilityCause() {
        return Optional.of("this build of lora-native has no CUDA library");
    }
}
