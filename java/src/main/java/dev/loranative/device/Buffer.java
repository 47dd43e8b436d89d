package dev.loranative.device;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/**
 * A block of device memory. The segment stays private to this package: on a GPU the host must never read through it.
 * Using a buffer after its device arena was closed is an {@link IllegalStateException}.
 */
public final class Buffer {

    private final MemorySegment segment;

    Buffer(MemorySegment segment) {
        this.segment = segment;
    }

    /** Memory of a GPU, which lives until {@code life} ends; its segment must never be read or written. */
    public static Buffer at(long address, long bytes, Arena life) {
        return new Buffer(MemorySegment.ofAddress(address).reinterpret(bytes, life, null));
    }

    /** Stands for memory that is only planned: it has a size and no address that may be used. */
    public static Buffer planned(long bytes) {
        return new Buffer(MemorySegment.NULL.reinterpret(bytes));
    }

    public long bytes() {
        return segment.byteSize();
    }

    /** Address of {@code offset}; the range [offset, offset + bytes) must lie inside the buffer. */
    public long address(long offset, long bytes) {
        if (!segment.scope().isAlive()) {
            throw new IllegalStateException("buffer used after its device memory was released");
        }
        java.util.Objects.checkFromIndexSize(offset, bytes, segment.byteSize());
        return segment.address() + offset;
    }

    MemorySegment segment() {
        return segment;
    }
}
