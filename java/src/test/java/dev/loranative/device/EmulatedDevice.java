package dev.loranative.device;

import dev.loranative.ffi.NativeLibrary;
import java.nio.file.Path;

/**
 * The CUDA kernels as the SIMT emulator runs them, on the host's memory. A schedule is an order in which the threads of a
 * block take turns: 0 is that of their numbers, others are shuffled.
 */
public final class EmulatedDevice extends HostDevice {

    /** Where the build puts the library. */
    private static final String PROPERTY = "lora.native.emulated";

    private final int schedule;

    private EmulatedDevice(KernelContext context, int schedule) {
        super(context);
        this.schedule = schedule;
    }

    public static EmulatedDevice open(int schedule, Precision precision) {
        NativeLibrary library = NativeLibrary.open(Path.of(System.getProperty(PROPERTY)));
        try {
            return new EmulatedDevice(
                    KernelContext.create(library, ContextOptions.cuda(schedule, precision, GemmChoice.OWN, 0)),
                    schedule);
        } catch (KernelContext.Refused refused) {
            throw new AssertionError(refused);
        }
    }

    @Override
    public String description() {
        return "emulated CUDA, schedule " + schedule;
    }
}
