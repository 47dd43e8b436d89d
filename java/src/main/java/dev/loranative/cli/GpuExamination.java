package dev.loranative.cli;

import dev.loranative.device.Device;
import dev.loranative.device.Devices;
import dev.loranative.device.cuda.CudaDriver;
import dev.loranative.errors.UserException;
import dev.loranative.ffi.NativeLibrary;
import dev.loranative.tensor.DType;
import dev.loranative.tensor.Ops;
import dev.loranative.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.OptionalLong;

/**
 * Looks at what a GPU needs: kernels in the build, the driver, devices, who computes dense products. None of it is needed
 * to train, so what is missing is a warning at most.
 */
final class GpuExamination {

    private static final String CPU_DOES = "nothing to do: training runs on the CPU";

    /** In the order in which {@code auto} prefers them. */
    private static final List<String> GEMMS = List.of("jcublas", "cublas", "own");

    private GpuExamination() {}

    static List<Finding> all() {
        List<Finding> findings = new ArrayList<>(List.of(library(), driver()));
        Optional<String> cause = Devices.unavailabilityCause();
        if (CudaDriver.unavailabilityCause().isEmpty()) {
            findings.addAll(devices());
        }
        if (cause.isPresent()) {
            findings.add(Finding.warn("GPU", "none in use: " + cause.get(), CPU_DOES));
        } else {
            findings.addAll(inUse());
        }
        return findings;
    }

    private static Finding library() {
        OptionalInt runtime = NativeLibrary.cudaRuntimeVersion();
        return NativeLibrary.openCuda()
                .map(library -> Finding.ok(
                        "CUDA library",
                        library.file()
                                + (runtime.isPresent()
                                        ? ", built with CUDA " + CudaDriver.cudaVersion(runtime.getAsInt())
                                        : "")))
                .orElseGet(() -> Finding.warn(
                        "CUDA library",
                        NativeLibrary.cudaUnavailabilityCause().orElseThrow(),
                        "for a GPU, build where nvcc is on the PATH"));
    }

    private static Finding driver() {
        return CudaDriver.unavailabilityCause()
                .map(cause ->
                        Finding.warn("NVIDIA driver", cause, "for a GPU, install the driver; nothing else is needed"))
                .orElseGet(() ->
                        Finding.ok("NVIDIA driver", "supports CUDA " + CudaDriver.cudaVersion(CudaDriver.version())));
    }

    private static List<Finding> devices() {
        return CudaDriver.devices().stream()
                .map(device -> device.isUsable()
                        ? Finding.ok("GPU", device.toString())
                        : Finding.warn(
                                "GPU",
                                device + " is too old",
                                "compute capability 8.0 is the least: Ampere or a newer generation"))
                .toList();
    }

    /** What {@code auto} takes, and how it computes. */
    private static List<Finding> inUse() {
        List<Finding> findings = new ArrayList<>();
        try (Device device = Devices.open("auto", 0)) {
            if (device.unusedGpu().isPresent()) {
                return List.of(
                        Finding.warn("GPU", "none in use: " + device.unusedGpu().get(), CPU_DOES));
            }
            findings.add(kernels(device));
        } catch (UserException e) {
            return List.of(Finding.warn("GPU kernels", e.getMessage(), e.hint()));
        }
        findings.add(products());
        return findings;
    }

    /** A small sum on the device: memory, copies, context and kernels work together. */
    private static Finding kernels(Device device) {
        try {
            OptionalLong free = device.availableBytes();
            Tensor terms = Tensor.allocate(device, DType.F32, 3);
            terms.copyFrom(device, new float[] {1, 2, 3});
            Tensor sum = Tensor.allocate(device, DType.F64, 1);
            new Ops(device).losses().sum(terms, sum);
            double result = sum.toDoubles(device)[0];
            return result == 6
                    ? Finding.ok(
                            "GPU kernels",
                            "compute, " + Quantities.bytes(free.orElse(0)) + " free; --device auto takes "
                                    + device.description())
                    : Finding.warn(
                            "GPU kernels", "1 + 2 + 3 is " + result + " for them", "use --device cpu; report this");
        } catch (UserException e) {
            return Finding.warn("GPU kernels", e.getMessage(), e.hint());
        }
    }

    /** Who can compute dense products, and why the others cannot. */
    private static Finding products() {
        List<String> can = new ArrayList<>();
        List<String> cannot = new ArrayList<>();
        for (String gemm : GEMMS) {
            try (Device _ = Devices.open("auto", 0, "auto", gemm)) {
                can.add(gemm);
            } catch (UserException e) {
                cannot.add(e.getMessage());
            }
        }
        String detail = "--gemm can be " + String.join(", ", can);
        return cannot.isEmpty()
                ? Finding.ok("GPU products", detail)
                : Finding.ok("GPU products", detail + "; " + String.join("; ", cannot));
    }
}
