package dev.loranative.device;

import dev.loranative.ffi.NativeLibrary;
import java.lang.foreign.MemorySegment;
import java.util.Optional;
import java.util.OptionalLong;

/**
 * Where tensors live and kernels run. Memory is taken from the device until it is closed as a whole; a device and its
 * context are used by one thread at a time.
 */
public interface Device extends AutoCloseable {

    /** The part of a memory plan, as {@link #reserve} is told, that does not shrink with the batch. */
    String WEIGHTS = "weights";

    /** For people: "CPU, 2 threads, avx512". */
    String description();

    /** Bytes taken by {@link #allocate} so far; mapped files do not count. */
    long allocatedBytes();

    /**
     * Takes memory for the calls of {@link #allocate} to come at once, where taking it is dear; not counted.
     *
     * @param part of the memory plan, for the error where there is not enough
     */
    default void reserve(String part, long bytes) {}

    /** Zeroed memory, aligned to 64 bytes, that lives until the device is closed. */
    Buffer allocate(long bytes);

    /**
     * Makes host memory (a slice of a mapped checkpoint) readable for kernels: the same memory on the CPU where its
     * alignment allows, a copy elsewhere. The host memory must outlive the device.
     */
    Buffer upload(MemorySegment host, long elementBytes);

    /** Memory for a short time: not zeroed, not counted by {@link #allocatedBytes}. */
    Loan borrow(long bytes);

    /** As {@link #upload}, but a copy lives only until the loan is closed. */
    Loan lend(MemorySegment host, long elementBytes);

    /** Copies {@code source} to {@code buffer} at {@code offset}. */
    void copyFromHost(MemorySegment source, Buffer buffer, long offset);

    /** Copies {@code target.byteSize()} bytes of {@code buffer} at {@code offset} to {@code target}. */
    void copyToHost(Buffer buffer, long offset, MemorySegment target);

    /** Sets a range to zero bytes. */
    void clear(Buffer buffer, long offset, long bytes);

    /** Returns when all kernels and copies so far are done; where they are not done when their call returns, that is. */
    default void synchronise() {}

    /** Memory that the system holds for this process now, for people: resident set on the CPU, device memory on a GPU. */
    long memoryInUse();

    /** Who computes float32 products instead of the kernel library; empty: it does so itself. */
    default Optional<DenseProducts> denseProducts() {
        return Optional.empty();
    }

    /** Memory that new work can take, without swapping on the CPU; empty where the system does not tell. */
    OptionalLong availableBytes();

    /** Why {@code auto} took this device and not the GPU that the machine has; empty where that was no question. */
    default Optional<String> unusedGpu() {
        return Optional.empty();
    }

    /** The calls that a failure of the device can be of, with their sizes, one after the other; empty: unknown. */
    default String unfinished() {
        return library().unfinished(context());
    }

    NativeLibrary library();

    /** The {@code ln_context} of this device. */
    MemorySegment context();

    @Override
    void close();
}
