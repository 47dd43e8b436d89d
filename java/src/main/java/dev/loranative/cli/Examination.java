package dev.loranative.cli;

import com.sun.management.OperatingSystemMXBean;
import dev.loranative.data.Tokenizer;
import dev.loranative.device.CpuDevice;
import dev.loranative.device.HostMemory;
import dev.loranative.device.SimdTier;
import dev.loranative.errors.UserException;
import dev.loranative.ffi.NativeLibrary;
import dev.loranative.tensor.DType;
import dev.loranative.tensor.Ops;
import dev.loranative.tensor.Tensor;
import java.lang.management.ManagementFactory;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.stream.Collectors;

/** Looks at what training needs, thing by thing; a thing that is broken is a finding, not an exception. */
final class Examination {

    /** Below this a model of a billion parameters in 16 bits leaves no room to train. */
    private static final long SMALL_MEMORY = 3L << 30;

    private static final String FORCED_TIER = "LORA_NATIVE_SIMD";

    private Examination() {}

    static List<Finding> all() {
        List<Finding> findings = new ArrayList<>(List.of(java(), system(), memory()));
        Finding library = library();
        findings.add(library);
        if (!library.isFailure()) {
            findings.add(kernels());
            findings.add(simd());
        }
        findings.addAll(GpuExamination.all());
        findings.add(tokenizer());
        return findings;
    }

    private static Finding java() {
        return Finding.ok(
                "Java",
                System.getProperty("java.runtime.version") + " (" + System.getProperty("java.vendor") + "), "
                        + System.getProperty("java.home"));
    }

    private static Finding system() {
        int processors = Runtime.getRuntime().availableProcessors();
        return Finding.ok(
                "system",
                System.getProperty("os.name") + " " + System.getProperty("os.version") + ", "
                        + System.getProperty("os.arch") + ", " + processors
                        + (processors == 1 ? " processor" : " processors"));
    }

    private static Finding memory() {
        long total =
                ManagementFactory.getPlatformMXBean(OperatingSystemMXBean.class).getTotalMemorySize();
        OptionalLong available = HostMemory.availableBytes();
        String detail = Quantities.bytes(total) + " in all"
                + (available.isPresent() ? ", " + Quantities.bytes(available.getAsLong()) + " free" : "")
                + "; Java heap up to " + Quantities.bytes(Runtime.getRuntime().maxMemory());
        return available.orElse(total) < SMALL_MEMORY
                ? Finding.warn("memory", detail, "close other programs, or keep to models below 1 GiB")
                : Finding.ok("memory", detail);
    }

    private static Finding library() {
        try {
            return Finding.ok(
                    "native library", NativeLibrary.openCpu().file() + ", ABI version " + NativeLibrary.ABI_VERSION);
        } catch (UserException e) {
            return Finding.fail("native library", e.getMessage(), e.hint());
        } catch (RuntimeException | LinkageError e) {
            return Finding.fail("native library", oneLine(e), "build it again with ./lora-native");
        }
    }

    /** A small sum on the device: memory, context and a downcall work together. */
    private static Finding kernels() {
        try (CpuDevice device = CpuDevice.open(0)) {
            Tensor terms = Tensor.allocate(device, DType.F32, 3);
            terms.copyFrom(device, new float[] {1, 2, 3});
            Tensor sum = Tensor.allocate(device, DType.F64, 1);
            new Ops(device).losses().sum(terms, sum);
            double result = sum.toDoubles(device)[0];
            return result == 6
                    ? Finding.ok("kernels", "compute, with " + device.threads() + " threads")
                    : Finding.fail("kernels", "1 + 2 + 3 is " + result + " for them", "build again; report this");
        } catch (UserException e) {
            return Finding.fail("kernels", e.getMessage(), e.hint());
        } catch (RuntimeException e) {
            return Finding.fail("kernels", oneLine(e), "build it again with ./lora-native");
        }
    }

    private static Finding simd() {
        List<SimdTier> available = Arrays.stream(SimdTier.values())
                .filter(tier -> tier != SimdTier.AUTO && works(tier))
                .toList();
        Optional<SimdTier> used = used();
        String forced = System.getenv(FORCED_TIER);
        String detail = used.map(Examination::word).orElse("none") + " in use"
                + (forced == null || forced.isBlank() ? "" : " (" + FORCED_TIER + "=" + forced + ")") + "; can do "
                + available.stream().map(Examination::word).collect(Collectors.joining(", "));
        boolean slow = !available.isEmpty()
                && used.map(SimdTier::ordinal).orElse(-1) < available.getLast().ordinal();
        if (slow) {
            return Finding.warn(
                    "SIMD",
                    detail,
                    "for the fastest, unset " + FORCED_TIER + " or set it to " + word(available.getLast()));
        }
        return used.orElse(SimdTier.GENERIC).ordinal() <= SimdTier.GENERIC.ordinal()
                ? Finding.warn("SIMD", detail, "training will be slow: this processor has no AVX2, AVX-512 or NEON")
                : Finding.ok("SIMD", detail);
    }

    private static boolean works(SimdTier tier) {
        try (CpuDevice device = CpuDevice.open(1, tier)) {
            return device.simd() == tier;
        } catch (UserException e) {
            return false;
        }
    }

    private static Optional<SimdTier> used() {
        try (CpuDevice device = CpuDevice.open(1)) {
            return Optional.of(device.simd());
        } catch (UserException e) {
            return Optional.empty();
        }
    }

    private static String word(SimdTier tier) {
        return tier.name().toLowerCase(Locale.ROOT);
    }

    private static Finding tokenizer() {
        return Tokenizer.unavailabilityCause()
                .map(cause -> Finding.warn(
                        "tokenizer",
                        "cannot be loaded: " + cause,
                        "text needs it, data with input_ids does not; its folder is " + Tokenizer.libraryFolder()))
                .orElseGet(() -> Finding.ok("tokenizer", "works, unpacked in " + Tokenizer.libraryFolder()));
    }

    private static String oneLine(Throwable e) {
        return e.toString().replaceAll("\\s*\\R\\s*", " ");
    }
}
