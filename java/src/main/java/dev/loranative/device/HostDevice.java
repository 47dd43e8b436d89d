package dev.loranative.device;

import dev.loranative.errors.UserException;
import dev.loranative.ffi.LargePages;
import dev.loranative.ffi.NativeLibrary;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.OptionalLong;

/** A device whose memory is the host's: that of an {@link Arena}, in large pages where it is much, or mapped files as they are. */
abstract class HostDevice implements Device {

    private static final long ALIGNMENT = 64;

    private final KernelContext context;
    private final Arena arena = Arena.ofShared();
    private long allocatedBytes;

    HostDevice(KernelContext context) {
        this.context = context;
    }

    /** The context, for questions of a subclass. */
    final KernelContext kernelContext() {
        return context;
    }

    @Override
    public long allocatedBytes() {
        return allocatedBytes;
    }

    @Override
    public Buffer allocate(long bytes) {
        try {
            Buffer buffer = new Buffer(memory(bytes, arena));
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

    private static MemorySegment memory(long bytes, Arena life) {
        return bytes >= LargePages.BYTES && LargePages.exist()
                ? LargePages.allocate(bytes, life)
                : life.allocate(bytes, ALIGNMENT);
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
            return new CpuLoan(new Buffer(memory(bytes, loan)), loan);
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
    public OptionalLong availableBytes() {
        return HostMemory.availableBytes();
    }

    @Override
    public NativeLibrary library() {
        return context.library();
    }

    @Override
    public MemorySegment context() {
        return context.handle();
    }

    @Override
    public void close() {
        if (arena.scope().isAlive()) {
            context.close();
            arena.close();
        }
    }
}
