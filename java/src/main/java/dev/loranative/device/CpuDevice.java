package dev.loranative.device;

import dev.loranative.errors.UserException;
import dev.loranative.ffi.Frame;
import dev.loranative.ffi.NativeLibrary;
import dev.loranative.ffi.Structs;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;

/** The CPU as a device: memory of an {@link Arena}, kernels of {@code liblora_native_cpu}. */
public final class CpuDevice implements Device {

    /** Names the SIMD tier to use; read by the native library. */
    private static final String SIMD_VARIABLE = "LORA_NATIVE_SIMD";

    private static final int QUERY_SIMD = 0;
    private static final int QUERY_THREADS = 1;
    private static final long ALIGNMENT = 64;

    private final NativeLibrary library;
    private final Arena arena = Arena.ofShared();
    private final MemorySegment context;
    private long allocatedBytes;
    private boolean closed;

    private CpuDevice(NativeLibrary library, int threads, SimdTier simd) {
        this.library = library;
        MemorySegment pointer = arena.allocate(ValueLayout.ADDRESS);
        Frame options = new Frame(Structs.CONTEXT_OPTIONS, arena)
                .int32("device", -1)
                .int32("threads", threads)
                .int32("simd", simd.ordinal());
        int status;
        try {
            status = (int) library.kernels().contextCreate().invokeExact(options.memory(), pointer);
        } catch (Throwable e) {
            throw new AssertionError(e);
        }
        if (status != 0) {
            String text = library.lastError(MemorySegment.NULL);
            arena.close();
            throw UserException.badInput(
                    text,
                    text.contains(SIMD_VARIABLE)
                            ? "unset " + SIMD_VARIABLE
                                    + ", or set it to one that lora-native doctor lists as possible here"
                            : "set threads to at most the number of processors, or leave it out");
        }
        this.context = pointer.get(ValueLayout.ADDRESS, 0);
    }

    /** @param threads worker threads; 0 for one per processor that this process may use */
    public static CpuDevice open(int threads) {
        return open(threads, SimdTier.AUTO);
    }

    public static CpuDevice open(int threads, SimdTier simd) {
        return new CpuDevice(NativeLibrary.openCpu(), threads, simd);
    }

    @Override
    public String description() {
        return "CPU, " + threads() + (threads() == 1 ? " thread, " : " threads, ")
                + simd().name().toLowerCase(Locale.ROOT);
    }

    public int threads() {
        return (int) query(QUERY_THREADS);
    }

    /** The tier in use. */
    public SimdTier simd() {
        return SimdTier.values()[(int) query(QUERY_SIMD)];
    }

    private long query(int what) {
        try (Arena call = Arena.ofConfined()) {
            MemorySegment value = call.allocate(ValueLayout.JAVA_LONG);
            int status = (int) library.kernels().query().invokeExact(context(), what, value);
            if (status != 0) {
                throw new IllegalStateException(library.lastError(context));
            }
            return value.get(ValueLayout.JAVA_LONG, 0);
        } catch (RuntimeException e) {
            throw e;
        } catch (Throwable e) {
            throw new AssertionError(e);
        }
    }

    @Override
    public long allocatedBytes() {
        return allocatedBytes;
    }

    @Override
    public Buffer allocate(long bytes) {
        try {
            Buffer buffer = new Buffer(arena.allocate(bytes, ALIGNMENT));
            allocatedBytes += bytes;
            return buffer;
        } catch (OutOfMemoryError e) {
            throw new UserException(
                    "out of memory: " + bytes + " bytes asked for, " + allocatedBytes + " taken before",
                    "lower per_device_train_batch_size or max_length, or use gradient_checkpointing",
                    UserException.DOES_NOT_FIT,
                    e);
        }
    }

    @Override
    public Buffer upload(MemorySegment host, long elementBytes) {
        if (isUsable(host, elementBytes)) {
            return new Buffer(host);
        }
        Buffer copy = allocate(host.byteSize());
        copyFromHost(host, copy, 0);
        return copy;
    }

    @Override
    public Loan borrow(long bytes) {
        Arena loan = Arena.ofShared();
        try {
            return new CpuLoan(new Buffer(loan.allocate(bytes, ALIGNMENT)), loan);
        } catch (OutOfMemoryError e) {
            loan.close();
            throw new UserException(
                    "out of memory: " + bytes + " bytes asked for, " + allocatedBytes + " taken before",
                    "free memory, or use a smaller model",
                    UserException.DOES_NOT_FIT,
                    e);
        }
    }

    @Override
    public Loan lend(MemorySegment host, long elementBytes) {
        if (isUsable(host, elementBytes)) {
            return new CpuLoan(new Buffer(host), null);
        }
        Loan copy = borrow(host.byteSize());
        copyFromHost(host, copy.buffer(), 0);
        return copy;
    }

    /** @param arena null where the memory is the host's own */
    private record CpuLoan(Buffer buffer, Arena arena) implements Loan {

        @Override
        public void close() {
            if (arena != null) {
                arena.close();
            }
        }
    }

    private static boolean isUsable(MemorySegment host, long elementBytes) {
        return host.isNative() && host.address() % elementBytes == 0;
    }

    @Override
    public void copyFromHost(MemorySegment source, Buffer buffer, long offset) {
        MemorySegment.copy(source, 0, buffer.segment(), offset, source.byteSize());
    }

    @Override
    public void copyToHost(Buffer buffer, long offset, MemorySegment target) {
        MemorySegment.copy(buffer.segment(), offset, target, 0, target.byteSize());
    }

    @Override
    public void clear(Buffer buffer, long offset, long bytes) {
        buffer.segment().asSlice(offset, bytes).fill((byte) 0);
    }

    @Override
    public long memoryInUse() {
        try {
            for (String line : Files.readAllLines(Path.of("/proc/self/status"))) {
                if (line.startsWith("VmRSS:")) {
                    return Long.parseLong(line.replaceAll("\\D+", "")) * 1024;
                }
            }
        } catch (IOException e) {
            // No /proc on this system: what we took ourselves is the best known figure.
        }
        return allocatedBytes;
    }

    @Override
    public NativeLibrary library() {
        return library;
    }

    @Override
    public MemorySegment context() {
        if (closed) {
            throw new IllegalStateException("device used after it was closed");
        }
        return context;
    }

    @Override
    public void close() {
        if (closed) {
            return;
        }
        closed = true;
        try {
            int status = (int) library.kernels().contextDestroy().invokeExact(context);
            assert status == 0;
        } catch (Throwable e) {
            throw new AssertionError(e);
        }
        arena.close();
    }
}
