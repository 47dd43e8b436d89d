package dev.loranative.device;

import dev.loranative.device.KernelContext.Query;
import dev.loranative.errors.UserException;
import dev.loranative.ffi.NativeLibrary;
import java.util.Locale;
import java.util.Optional;

/** The CPU as a device: kernels of {@code liblora_native_cpu} on the host's memory. */
public final class CpuDevice extends HostDevice {

    /** Names the SIMD tier to use; read by the native library. */
    private static final String SIMD_VARIABLE = "LORA_NATIVE_SIMD";

    private final Optional<String> unusedGpu;

    private CpuDevice(KernelContext context, Optional<String> unusedGpu) {
        super(context);
        this.unusedGpu = unusedGpu;
    }

    /** @param threads worker threads; 0 for one per processor that this process may use */
    public static CpuDevice open(int threads) {
        return open(threads, SimdTier.AUTO);
    }

    public static CpuDevice open(int threads, SimdTier simd) {
        return open(threads, simd, Optional.empty());
    }

    /** @param unusedGpu see {@link #unusedGpu} */
    static CpuDevice open(int threads, SimdTier simd, Optional<String> unusedGpu) {
        try {
            return new CpuDevice(
                    KernelContext.create(NativeLibrary.openCpu(), ContextOptions.cpu(threads, simd)), unusedGpu);
        } catch (KernelContext.Refused refused) {
            String text = refused.getMessage();
            throw UserException.badInput(
                    text,
                    text.contains(SIMD_VARIABLE)
                            ? "unset " + SIMD_VARIABLE
                                    + ", or set it to one that lora-native doctor lists as possible here"
                            : "set threads to at most the number of processors, or leave it out");
        }
    }

    @Override
    public String description() {
        return "CPU, " + threads() + (threads() == 1 ? " thread, " : " threads, ")
                + simd().name().toLowerCase(Locale.ROOT);
    }

    @Override
    public Optional<String> unusedGpu() {
        return unusedGpu;
    }

    public int threads() {
        return (int) kernelContext().query(Query.THREADS);
    }

    /** The tier in use. */
    public SimdTier simd() {
        return SimdTier.values()[(int) kernelContext().query(Query.SIMD)];
    }
}
