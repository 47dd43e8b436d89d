package dev.loranative.device;

import dev.loranative.device.cuda.CudaDevice;
import dev.loranative.device.cuda.CudaDeviceInfo;
import dev.loranative.device.cuda.CudaDriver;
import dev.loranative.errors.UserException;
import dev.loranative.ffi.NativeLibrary;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.OptionalInt;

/** Finds the device that a user names: {@code auto}, {@code cpu}, {@code cuda} or {@code cuda:N}. */
public final class Devices {

    private static final String CUDA = "cuda(:\\d{1,4})?";

    private Devices() {}

    /** With products as {@link Precision#AUTO} and {@link GemmChoice#AUTO} choose. */
    public static Device open(String name, int threads) {
        return open(name, threads, "auto", "auto");
    }

    /**
     * @param threads CPU worker threads; 0 for one per processor that this process may use
     * @param precisionName of products on CUDA: {@code auto}, {@code float32} or {@code bfloat16}
     * @param gemmName who computes dense products on CUDA, as {@link GemmChoice} in small letters
     */
    public static Device open(String name, int threads, String precisionName, String gemmName) {
        Precision precision = Precision.named(precisionName);
        GemmChoice gemm = GemmChoice.valueOf(gemmName.toUpperCase(Locale.ROOT));
        if (!name.equals("cpu") && !name.equals("auto") && !name.matches(CUDA)) {
            throw UserException.badInput("device '" + name + "' is unknown", "use auto, cpu or cuda:N");
        }
        if (name.equals("cpu")) {
            return cpu(threads, precision, gemm, Optional.empty());
        }
        if (name.equals("auto")) {
            return auto(threads, precision, gemm);
        }
        // Of a device that is missing or too old, opening it says more.
        Optional<String> cause = libraryOrDriverCause();
        if (cause.isPresent()) {
            throw UserException.badInput("device '" + name + "' is not available: " + cause.get(), "use --device cpu");
        }
        return cuda(name.contains(":") ? Integer.parseInt(name.substring(name.indexOf(':') + 1)) : 0, precision, gemm);
    }

    /** The first GPU that the kernels run on, else the CPU. */
    private static Device auto(int threads, Precision precision, GemmChoice gemm) {
        Optional<String> cause = unavailabilityCause();
        if (cause.isPresent()) {
            return cpu(threads, precision, gemm, hasGpu() ? cause : Optional.empty());
        }
        for (CudaDeviceInfo info : CudaDriver.devices()) {
            if (info.isUsable()) {
                try {
                    return cuda(info.number(), precision, gemm);
                } catch (UnsupportedDevice e) {
                    cause = cause.or(() -> Optional.of(e.getMessage()));
                }
            }
        }
        return cpu(threads, precision, gemm, cause);
    }

    private static boolean hasGpu() {
        return CudaDriver.unavailabilityCause().isEmpty()
                && !CudaDriver.devices().isEmpty();
    }

    private static Device cpu(int threads, Precision precision, GemmChoice gemm, Optional<String> unusedGpu) {
        String why =
                unusedGpu.map(cause -> " (the GPU is not used: " + cause + ")").orElse("");
        if (precision == Precision.BF16) {
            throw UserException.badInput(
                    "precision is bfloat16, which the CPU's kernels do not compute in" + why,
                    "leave precision out, or use a GPU");
        }
        if (gemm == GemmChoice.CUBLAS || gemm == GemmChoice.JCUBLAS) {
            throw UserException.badInput("gemm is for GPUs, and the device is the CPU" + why, "leave gemm out");
        }
        return CpuDevice.open(threads, SimdTier.AUTO, unusedGpu);
    }

    private static Device cuda(int number, Precision precision, GemmChoice gemm) {
        return CudaDevice.open(number, NativeLibrary.openCuda().orElseThrow(), precision, gemm);
    }

    /**
     * Why no GPU can be used, one sentence; empty when one can as far as is known before it is opened: then it also turns
     * out whether the kernels were built for it.
     */
    public static Optional<String> unavailabilityCause() {
        return libraryOrDriverCause().or(() -> {
            List<CudaDeviceInfo> devices = CudaDriver.devices();
            if (devices.stream().anyMatch(CudaDeviceInfo::isUsable)) {
                return Optional.empty();
            }
            return Optional.of(
                    devices.isEmpty()
                            ? "the NVIDIA driver finds no device"
                            : devices.getFirst() + " is too old: compute capability 8.0 is the least");
        });
    }

    private static Optional<String> libraryOrDriverCause() {
        // The driver first: to look for it costs nothing, and the library is large.
        return CudaDriver.unavailabilityCause()
                .or(NativeLibrary::cudaUnavailabilityCause)
                .or(() -> {
                    OptionalInt runtime = NativeLibrary.cudaRuntimeVersion();
                    return runtime.isPresent() ? CudaDriver.tooOldFor(runtime.getAsInt()) : Optional.empty();
                });
    }
}
