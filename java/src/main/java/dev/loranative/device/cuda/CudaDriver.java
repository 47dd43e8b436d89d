package dev.loranative.device.cuda;

import dev.loranative.device.DeviceFailure;
import dev.loranative.ffi.SystemLibrary;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.function.Supplier;
import java.util.stream.Stream;
import jcuda.driver.CUdevice;
import jcuda.driver.CUdevice_attribute;
import jcuda.driver.CUresult;
import jcuda.driver.JCudaDriver;

/**
 * NVIDIA's driver through JCuda: whether it can be used here, and which devices it has. Every other class that touches
 * JCuda may do so only after {@link #unavailabilityCause} was empty.
 */
public final class CudaDriver {

    /** What a device has to have: bfloat16 tensor cores and asynchronous copies. */
    static final int LEAST_CAPABILITY = 80;

    private static final String LIBRARY = "libcuda.so.1";
    private static final String TEMPORARY = "java.io.tmpdir";

    /** Every function of the driver that this package calls. */
    static final List<String> SYMBOLS = List.of(
            "cuInit",
            "cuDriverGetVersion",
            "cuDeviceGetCount",
            "cuDeviceGet",
            "cuDeviceGetName",
            "cuDeviceGetAttribute",
            "cuDeviceTotalMem_v2",
            "cuDevicePrimaryCtxRetain",
            "cuDevicePrimaryCtxRelease_v2",
            "cuCtxSetCurrent",
            "cuMemAlloc_v2",
            "cuMemFree_v2",
            "cuMemAllocHost_v2",
            "cuMemFreeHost",
            "cuMemcpyHtoDAsync_v2",
            "cuMemcpyDtoHAsync_v2",
            "cuMemsetD8Async",
            "cuMemGetInfo_v2",
            "cuStreamCreate",
            "cuStreamDestroy_v2",
            "cuStreamSynchronize",
            "cuEventCreate",
            "cuEventRecord",
            "cuEventSynchronize",
            "cuEventDestroy_v2");

    /** The answer, found once: JCuda cannot be tried twice. */
    private static final class Probe {
        static final Optional<String> CAUSE = probe();
    }

    private CudaDriver() {}

    /** Why no driver can be used, a sentence without its full stop; empty when one can. */
    public static Optional<String> unavailabilityCause() {
        return Probe.CAUSE;
    }

    private static Optional<String> probe() {
        String system = System.getProperty("os.name").toLowerCase(Locale.ROOT);
        String processor = System.getProperty("os.arch");
        if (!system.contains("linux") || !processor.equals("amd64")) {
            return Optional.of("GPUs are used on linux-x86_64 only, this is " + system + " on " + processor);
        }
        Optional<String> library = SystemLibrary.unavailabilityCause(LIBRARY, SYMBOLS);
        if (library.isPresent()) {
            return Optional.of("there is no NVIDIA driver (" + library.get() + ")");
        }
        try {
            int status = extractedPrivately(() -> JCudaDriver.cuInit(0));
            return status == CUresult.CUDA_SUCCESS
                    ? Optional.empty()
                    : Optional.of("the NVIDIA driver cannot be used (cuInit: " + CUresult.stringFor(status) + ")");
        } catch (LinkageError e) {
            return Optional.of("JCuda cannot be loaded (" + firstLine(e) + ")");
        } catch (IOException e) {
            return Optional.of("JCuda has nowhere to unpack its library (" + e + ")");
        }
    }

    /**
     * JCuda unpacks its library to a name in the temporary folder that anybody can guess, and loads what lies there:
     * while it does, that folder is one that only this user can enter.
     */
    static <T> T extractedPrivately(Supplier<T> firstUse) throws IOException {
        String shared = System.getProperty(TEMPORARY);
        Path own = Files.createTempDirectory("lora-native-jcuda"); // rwx for the owner alone
        try {
            System.setProperty(TEMPORARY, own.toString());
            return firstUse.get();
        } finally {
            System.setProperty(TEMPORARY, shared);
            // A loaded library stays loaded when its file is gone.
            try (Stream<Path> files = Files.list(own)) {
                for (Path file : files.toList()) {
                    Files.delete(file);
                }
            }
            Files.delete(own);
        }
    }

    static String firstLine(Throwable e) {
        String text = String.valueOf(e.getMessage());
        return text.lines().findFirst().orElse(text);
    }

    /**
     * Why this driver cannot run kernels of a CUDA runtime, a sentence without its full stop; empty when it can. Within a
     * major version older drivers run newer kernels (CUDA's minor version compatibility).
     *
     * @param runtime {@code 13000} for CUDA 13.0
     */
    public static Optional<String> tooOldFor(int runtime) {
        int supported = version();
        return supported / 1000 >= runtime / 1000
                ? Optional.empty()
                : Optional.of("the NVIDIA driver supports CUDA " + cudaVersion(supported)
                        + ", but the kernels were built with CUDA " + cudaVersion(runtime)
                        + ": update the driver, or build with CUDA " + supported / 1000);
    }

    /** For people: 13000 is {@code 13.0}. */
    public static String cudaVersion(int version) {
        return version / 1000 + "." + version % 1000 / 10;
    }

    /** Also makes sure that JCuda was unpacked where it should be before anything else touches it. */
    private static void requireUsable() {
        unavailabilityCause().ifPresent(cause -> {
            throw new IllegalStateException(cause);
        });
    }

    /** {@code 13000} for CUDA 13.0: the newest runtime that this driver supports. */
    public static int version() {
        requireUsable();
        int[] version = new int[1];
        require(JCudaDriver.cuDriverGetVersion(version), "cuDriverGetVersion");
        return version[0];
    }

    /** All devices, usable or not, in the driver's order. */
    public static List<CudaDeviceInfo> devices() {
        requireUsable();
        int[] count = new int[1];
        require(JCudaDriver.cuDeviceGetCount(count), "cuDeviceGetCount");
        List<CudaDeviceInfo> devices = new ArrayList<>();
        for (int number = 0; number < count[0]; number++) {
            CUdevice device = new CUdevice();
            require(JCudaDriver.cuDeviceGet(device, number), "cuDeviceGet");
            byte[] name = new byte[256];
            require(JCudaDriver.cuDeviceGetName(name, name.length, device), "cuDeviceGetName");
            long[] bytes = new long[1];
            require(JCudaDriver.cuDeviceTotalMem(bytes, device), "cuDeviceTotalMem");
            int capability = 10 * attribute(device, CUdevice_attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)
                    + attribute(device, CUdevice_attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
            devices.add(new CudaDeviceInfo(number, text(name), bytes[0], capability));
        }
        return devices;
    }

    private static int attribute(CUdevice device, int attribute) {
        int[] value = new int[1];
        require(JCudaDriver.cuDeviceGetAttribute(value, attribute, device), "cuDeviceGetAttribute");
        return value[0];
    }

    private static String text(byte[] bytes) {
        int length = 0;
        while (length < bytes.length && bytes[length] != 0) {
            length++;
        }
        return new String(bytes, 0, length, java.nio.charset.StandardCharsets.UTF_8);
    }

    /**
     * The driver reports the failure of this call, or of a kernel that ran before it.
     *
     * @throws dev.loranative.errors.UserException unless {@code status} is success
     */
    static void require(int status, String function) {
        if (status != CUresult.CUDA_SUCCESS) {
            throw DeviceFailure.of(function + " reports " + CUresult.stringFor(status));
        }
    }
}
