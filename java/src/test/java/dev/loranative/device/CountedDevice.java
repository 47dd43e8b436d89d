package dev.loranative.device;

import dev.loranative.ffi.CountedCalls;
import dev.loranative.ffi.NativeLibrary;

/** The CPU, with its kernels' calls counted. */
public final class CountedDevice extends HostDevice {

    private CountedDevice(KernelContext context) {
        super(context);
    }

    public static CountedDevice open(CountedCalls calls) {
        try {
            return new CountedDevice(
                    KernelContext.create(calls.of(NativeLibrary.openCpu()), ContextOptions.cpu(1, SimdTier.AUTO)));
        } catch (KernelContext.Refused refused) {
            throw new AssertionError(refused);
        }
    }

    @Override
    public String description() {
        return "CPU, calls counted";
    }
}
