package dev.loranative.device;

import dev.loranative.ffi.Frame;
import dev.loranative.ffi.KernelException;
import dev.loranative.ffi.NativeLibrary;
import dev.loranative.ffi.Structs;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/** An {@code ln_context} of a library, used by one thread at a time. */
public final class KernelContext implements AutoCloseable {

    /** The numbers of {@code ln_query_what}. */
    public enum Query {
        SIMD,
        THREADS,
        SIMD_BEST,
        GEMM,
        COMPUTE_CAPABILITY,
        CUBLAS_VERSION,
        PRECISION
    }

    /** The library refused to make a context; the message is its own. */
    public static final class Refused extends Exception {

        private static final long serialVersionUID = 1;

        private final int status;

        private Refused(int status, String text) {
            super(text);
            this.status = status;
        }

        /** The options are right, but the library or the machine cannot do what they say. */
        public boolean isUnsupported() {
            return status == KernelException.UNSUPPORTED;
        }

        /** The library was built for other devices. */
        public boolean wantsOtherKernels() {
            return getMessage().contains("the kernels were built for");
        }
    }

    private final NativeLibrary library;
    private final MemorySegment handle;
    private boolean closed;

    private KernelContext(NativeLibrary library, MemorySegment handle) {
        this.library = library;
        this.handle = handle;
    }

    public static KernelContext create(NativeLibrary library, ContextOptions options) throws Refused {
        try (Arena call = Arena.ofConfined()) {
            MemorySegment pointer = call.allocate(ValueLayout.ADDRESS);
            Frame frame = new Frame(Structs.CONTEXT_OPTIONS, call)
                    .int32("device", options.device())
                    .int32("threads", options.threads())
                    .int32("simd", options.simd().ordinal())
                    .int32("precision", options.precision().ordinal())
                    .int32("gemm", options.gemm().inLibrary())
                    .pointer("stream", options.stream());
            int status;
            try {
                status = (int) library.kernels().contextCreate().invokeExact(frame.memory(), pointer);
            } catch (Throwable e) {
                throw new AssertionError(e);
            }
            if (status != 0) {
                throw new Refused(status, library.lastError(MemorySegment.NULL));
            }
            return new KernelContext(library, pointer.get(ValueLayout.ADDRESS, 0));
        }
    }

    public NativeLibrary library() {
        return library;
    }

    /** @throws IllegalStateException after {@link #close} */
    public MemorySegment handle() {
        if (closed) {
            throw new IllegalStateException("device used after it was closed");
        }
        return handle;
    }

    /** The calls that a failure of the device can be of. */
    public String unfinished() {
        return library.unfinished(handle());
    }

    public long query(Query what) {
        try (Arena call = Arena.ofConfined()) {
            MemorySegment value = call.allocate(ValueLayout.JAVA_LONG);
            int status = (int) library.kernels().query().invokeExact(handle(), what.ordinal(), value);
            if (status != 0) {
                throw new IllegalStateException(library.lastError(handle));
            }
            return value.get(ValueLayout.JAVA_LONG, 0);
        } catch (RuntimeException e) {
            throw e;
        } catch (Throwable e) {
            throw new AssertionError(e);
        }
    }

    @Override
    public void close() {
        if (closed) {
            return;
        }
        closed = true;
        try {
            int status = (int) library.kernels().contextDestroy().invokeExact(handle);
            assert status == 0;
        } catch (Throwable e) {
            throw new AssertionError(e);
        }
    }
}
