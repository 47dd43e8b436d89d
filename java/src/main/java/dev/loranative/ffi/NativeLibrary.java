package dev.loranative.ffi;

import dev.loranative.errors.UserException;
import java.io.IOException;
import java.io.InputStream;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Optional;
import java.util.OptionalInt;

/** An opened native library whose ABI version is the one this code was written for. */
public final class NativeLibrary {

    /** {@code LN_ABI_VERSION} of {@code lora_native.h}; a test compares the two. */
    public static final int ABI_VERSION = 6;

    /** Room for {@link #unfinished}: 16 calls. */
    private static final long LONGEST_TEXT = 8192;

    private static final byte[] ELF = {0x7f, 'E', 'L', 'F'};
    private static final int ELF_HEADER_BYTES = 64;

    private final Path file;
    private final Kernels kernels;

    private NativeLibrary(Path file, Kernels kernels) {
        this.file = file;
        this.kernels = kernels;
    }

    /** The same library, called through other handles. */
    NativeLibrary with(Kernels others) {
        return new NativeLibrary(file, others);
    }

    /** The CPU library; it stays open until the JVM ends. */
    public static NativeLibrary openCpu() {
        return open(LibraryFile.find("lora_native_cpu"));
    }

    /** The CUDA library, where this build has one; it stays open until the JVM ends. It loads without a driver too. */
    public static Optional<NativeLibrary> openCuda() {
        return Cuda.FOUND.library();
    }

    /** Why there is no CUDA library, a sentence without its full stop; empty where there is one. */
    public static Optional<String> cudaUnavailabilityCause() {
        return Cuda.FOUND.cause();
    }

    /**
     * The CUDA runtime inside the CUDA library, {@code 13000} for CUDA 13.0: a driver must support its major version. Empty
     * where the build did not note it.
     */
    public static OptionalInt cudaRuntimeVersion() {
        return Cuda.FOUND.library().isPresent() ? LibraryFile.cudaVersion() : OptionalInt.empty();
    }

    /** Looked for once: it is asked for again and again. */
    private record Cuda(Optional<NativeLibrary> library, Optional<String> cause) {

        static final Cuda FOUND = find();

        private static Cuda find() {
            try {
                Optional<NativeLibrary> library = LibraryFile.findCuda().map(NativeLibrary::open);
                return new Cuda(
                        library,
                        library.isPresent()
                                ? Optional.empty()
                                : Optional.of("this build of lora-native has no CUDA kernels: "
                                        + LibraryFile.text("cuda-unavailable.txt")
                                                .orElse("they were not built")));
            } catch (UserException e) {
                return new Cuda(Optional.empty(), Optional.of(e.getMessage()));
            }
        }
    }

    /** A library that is not the build's own. */
    public static NativeLibrary open(Path file) {
        try {
            requireElf(file);
            SymbolLookup symbols = SymbolLookup.libraryLookup(file, Arena.global());
            int version = abiVersion(symbols, file);
            if (version != ABI_VERSION) {
                throw UserException.badInput(
                        "native library " + file + " has ABI version " + version + ", this program needs "
                                + ABI_VERSION,
                        "use the library of the same build: unset " + LibraryFile.VARIABLE);
            }
            return new NativeLibrary(file, Kernels.bind(symbols));
        } catch (IllegalArgumentException | UnsatisfiedLinkError e) {
            throw new UserException(
                    "native library " + file + " cannot be loaded: " + e.getMessage(),
                    "it must be a lora-native library for this platform; unset " + LibraryFile.VARIABLE
                            + " to use the one inside the jar",
                    UserException.BAD_INPUT,
                    e);
        }
    }

    /** The loader of the JVM prints warnings of its own about any other file. */
    private static void requireElf(Path file) {
        if (!Platform.name().startsWith("linux")) {
            return;
        }
        try (InputStream stream = Files.newInputStream(file)) {
            byte[] header = stream.readNBytes(ELF_HEADER_BYTES);
            if (!Arrays.equals(Arrays.copyOf(header, ELF.length), ELF)) {
                throw new UnsatisfiedLinkError("it is not an ELF file");
            }
            if (header.length < ELF_HEADER_BYTES || Files.size(file) < elfBytes(ByteBuffer.wrap(header))) {
                throw new UnsatisfiedLinkError("it is cut off");
            }
        } catch (IOException e) {
            throw new UnsatisfiedLinkError("it cannot be read (" + e + ")");
        }
    }

    /** Least size of a 64-bit file with this header: the table of sections stands last. A part would crash the JVM. */
    private static long elfBytes(ByteBuffer header) {
        header.order(ByteOrder.nativeOrder());
        return header.getLong(40) + (long) header.getShort(58) * header.getShort(60);
    }

    private static int abiVersion(SymbolLookup symbols, Path file) {
        MemorySegment address = symbols.find("ln_abi_version")
                .orElseThrow(() -> new UnsatisfiedLinkError("it has no symbol ln_abi_version"));
        try {
            return (int) java.lang.foreign.Linker.nativeLinker()
                    .downcallHandle(address, java.lang.foreign.FunctionDescriptor.of(ValueLayout.JAVA_INT))
                    .invokeExact();
        } catch (Throwable e) {
            throw new AssertionError("ln_abi_version of " + file + " failed", e);
        }
    }

    public Path file() {
        return file;
    }

    public Kernels kernels() {
        return kernels;
    }

    /** Text of the last failure of {@code context}, or of creating one when it is NULL. */
    public String lastError(MemorySegment context) {
        return text(kernels.lastError(), context);
    }

    /** The calls of {@code context} that a fault of the device can be of, with their sizes; empty where there are none. */
    public String unfinished(MemorySegment context) {
        return text(kernels.unfinished(), context);
    }

    private static String text(MethodHandle function, MemorySegment context) {
        try {
            MemorySegment text = (MemorySegment) function.invokeExact(context);
            return text.reinterpret(LONGEST_TEXT).getString(0);
        } catch (Throwable e) {
            throw new AssertionError(e);
        }
    }
}
