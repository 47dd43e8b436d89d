package dev.loranative.ffi;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;

/**
 * Memory from the system itself, in pages of 2 MiB where it has them: products walk through rows that are pages apart, and with
 * pages of 4 KiB the processor spends some per cent of a step on finding out where they are. A heap's memory is touched, in
 * small pages, before one could ask for large ones.
 */
public final class LargePages {

    /** Size of a large page, and the alignment of the memory; less than this is the heap's business. */
    public static final long BYTES = 2 << 20;

    private static final MemorySegment FAILED = MemorySegment.ofAddress(-1);

    private LargePages() {}

    /** Whether this system is known to have them. */
    public static boolean exist() {
        return Platform.name().startsWith("linux");
    }

    /**
     * Zeros, in memory that is there when this returns, until {@code life} ends. What is left over behind the last large page
     * lies in small ones, so that no more is taken than was asked for.
     *
     * @throws OutOfMemoryError if the system refuses
     */
    public static MemorySegment allocate(long bytes, Arena life) {
        long span = bytes + BYTES;
        MemorySegment all = Linux.map(span);
        long address = Math.ceilDiv(all.address(), BYTES) * BYTES;
        MemorySegment memory =
                MemorySegment.ofAddress(address).reinterpret(bytes, life, ignored -> Linux.unmap(all, span));
        // Advice only: a system without large pages refuses it, and the memory is as good as any.
        Linux.advise(memory, Linux.HUGE_PAGES);
        if (!Linux.advise(memory, Linux.POPULATE_FOR_WRITING)) {
            memory.fill((byte) 0); // Linux before 5.14, or no memory left: then as a heap would
        }
        return memory;
    }

    /** Functions and constants of sys/mman.h, which have these values on x86-64 and arm64. */
    private static final class Linux {

        static final int HUGE_PAGES = 14;
        static final int POPULATE_FOR_WRITING = 23;

        private static final int READ_AND_WRITE = 1 | 2;
        private static final int PRIVATE_AND_ANONYMOUS = 2 | 0x20;

        private static final Linker LINKER = Linker.nativeLinker();
        private static final MethodHandle MMAP = function(
                "mmap",
                FunctionDescriptor.of(
                        ValueLayout.ADDRESS,
                        ValueLayout.ADDRESS,
                        ValueLayout.JAVA_LONG,
                        ValueLayout.JAVA_INT,
                        ValueLayout.JAVA_INT,
                        ValueLayout.JAVA_INT,
                        ValueLayout.JAVA_LONG));
        private static final MethodHandle MUNMAP = function(
                "munmap", FunctionDescriptor.of(ValueLayout.JAVA_INT, ValueLayout.ADDRESS, ValueLayout.JAVA_LONG));
        private static final MethodHandle MADVISE = function(
                "madvise",
                FunctionDescriptor.of(
                        ValueLayout.JAVA_INT, ValueLayout.ADDRESS, ValueLayout.JAVA_LONG, ValueLayout.JAVA_INT));

        private static MethodHandle function(String name, FunctionDescriptor descriptor) {
            return LINKER.downcallHandle(LINKER.defaultLookup().findOrThrow(name), descriptor);
        }

        static MemorySegment map(long bytes) {
            MemorySegment address;
            try {
                address = (MemorySegment)
                        MMAP.invokeExact(MemorySegment.NULL, bytes, READ_AND_WRITE, PRIVATE_AND_ANONYMOUS, -1, 0L);
            } catch (Throwable e) {
                throw new AssertionError("mmap throws nothing", e);
            }
            if (address.equals(FAILED)) {
                throw new OutOfMemoryError("mmap of " + bytes + " bytes");
            }
            return address;
        }

        static void unmap(MemorySegment address, long bytes) {
            try {
                int ignored = (int) MUNMAP.invokeExact(address, bytes);
            } catch (Throwable e) {
                throw new AssertionError("munmap throws nothing", e);
            }
        }

        static boolean advise(MemorySegment memory, int advice) {
            try {
                return (int) MADVISE.invokeExact(memory, memory.byteSize(), advice) == 0;
            } catch (Throwable e) {
                throw new AssertionError("madvise throws nothing", e);
            }
        }
    }
}
