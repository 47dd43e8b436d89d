package dev.loranative.device.cuda;

import static dev.loranative.device.cuda.CudaDriver.require;

import dev.loranative.device.Buffer;
import dev.loranative.device.ContextOptions;
import dev.loranative.device.DenseProducts;
import dev.loranative.device.Device;
import dev.loranative.device.DeviceFailure;
import dev.loranative.device.GemmChoice;
import dev.loranative.device.KernelContext;
import dev.loranative.device.KernelContext.Query;
import dev.loranative.device.Loan;
import dev.loranative.device.Precision;
import dev.loranative.device.UnsupportedDevice;
import dev.loranative.errors.UserException;
import dev.loranative.ffi.NativeLibrary;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.OptionalLong;
import jcuda.driver.CUcontext;
import jcuda.driver.CUdevice;
import jcuda.driver.CUdeviceptr;
import jcuda.driver.CUstream;
import jcuda.driver.JCudaDriver;

/**
 * A GPU: memory, copies and one stream by the driver, kernels of {@code liblora_native_cuda}, whose runtime shares the
 * device's primary context. Kernels and copies run in the order of the stream; only {@link #copyToHost} waits.
 */
public final class CudaDevice implements Device {

    /** JCuda hides the handle from all but subclasses. */
    private static final class Stream extends CUstream {
        long handle() {
            return getNativePointer();
        }
    }

    private final CudaDeviceInfo info;
    private final CUdevice device = new CUdevice();
    private final Stream stream = new Stream();
    private final MemoryPieces memory;
    private final Arena life = Arena.ofShared();
    private final Staging staging;
    private final KernelContext context;
    private final Optional<JcublasProducts> jcublas;

    private CudaDevice(CudaDeviceInfo info, NativeLibrary library, Precision precision, GemmChoice gemm) {
        this.info = info;
        this.memory = new MemoryPieces(info);
        require(JCudaDriver.cuDeviceGet(device, info.number()), "cuDeviceGet");
        CUcontext primary = new CUcontext();
        require(JCudaDriver.cuDevicePrimaryCtxRetain(primary, device), "cuDevicePrimaryCtxRetain");
        require(JCudaDriver.cuCtxSetCurrent(primary), "cuCtxSetCurrent");
        require(JCudaDriver.cuStreamCreate(stream, 0), "cuStreamCreate");
        this.staging = new Staging(stream);
        try {
            this.context =
                    KernelContext.create(library, ContextOptions.cuda(info.number(), precision, gemm, stream.handle()));
        } catch (KernelContext.Refused refused) {
            releaseDriver();
            throw unusable(info, refused, gemm);
        }
        this.jcublas = jcublas(gemm);
    }

    private static UserException unusable(CudaDeviceInfo info, KernelContext.Refused refused, GemmChoice gemm) {
        String text = info + " cannot be used: " + refused.getMessage();
        if (gemm == GemmChoice.CUBLAS && !refused.wantsOtherKernels()) {
            return UserException.badInput(text, "use --gemm auto, or install cuBLAS 13 or 12");
        }
        if (refused.wantsOtherKernels()) {
            return new UnsupportedDevice(
                    text,
                    "delete java/target/lora-native.jar and start ./lora-native, which builds for the GPUs of its machine,"
                            + " or use --device cpu");
        }
        String hint = "update the NVIDIA driver, or use --device cpu";
        return refused.isUnsupported() ? new UnsupportedDevice(text, hint) : UserException.badInput(text, hint);
    }

    /** Empty: the kernel library computes all products. */
    private Optional<JcublasProducts> jcublas(GemmChoice gemm) {
        if (gemm == GemmChoice.OWN || gemm == GemmChoice.CUBLAS) {
            return Optional.empty();
        }
        Optional<String> cause = JcublasProducts.unavailabilityCause();
        if (cause.isEmpty()) {
            try {
                return Optional.of(JcublasProducts.open(this, stream, memory::pointer, precision() == Precision.BF16));
            } catch (UserException e) {
                cause = Optional.of(e.getMessage());
            }
        }
        if (gemm == GemmChoice.AUTO) {
            return Optional.empty();
        }
        close();
        throw UserException.badInput("gemm is jcublas, but " + cause.get(), "use --gemm auto");
    }

    private Precision precision() {
        return Precision.values()[(int) context.query(Query.PRECISION)];
    }

    /**
     * @param number of the device
     * @throws UserException where there is no such device, or it or its driver is too old
     */
    public static CudaDevice open(int number, NativeLibrary library, Precision precision, GemmChoice gemm) {
        List<CudaDeviceInfo> devices = CudaDriver.devices();
        if (number >= devices.size()) {
            throw UserException.badInput(
                    "device 'cuda:" + number + "' does not exist",
                    devices.isEmpty()
                            ? "the driver has no device; use --device cpu"
                            : "use one of "
                                    + String.join(
                                            ", ",
                                            devices.stream()
                                                    .map(CudaDeviceInfo::toString)
                                                    .toList()));
        }
        CudaDeviceInfo info = devices.get(number);
        if (!info.isUsable()) {
            throw UserException.badInput(
                    info + " is too old: compute capability 8.0 is the least",
                    "use --device cpu, or a GPU of the Ampere generation or newer");
        }
        return new CudaDevice(info, library, precision, gemm);
    }

    @Override
    public String description() {
        return String.format(
                Locale.ROOT,
                "%s, %s, products by %s",
                info,
                precision() == Precision.F32 ? "float32" : "bfloat16",
                jcublas.isPresent()
                        ? "JCublas"
                        : context.query(Query.GEMM) == GemmChoice.CUBLAS.ordinal()
                                ? "cuBLAS " + context.query(Query.CUBLAS_VERSION)
                                : "own kernels");
    }

    @Override
    public long allocatedBytes() {
        return memory.allocatedBytes();
    }

    @Override
    public void reserve(String part, long bytes) {
        if (bytes > 0) {
            memory.reserve(part, bytes);
        }
    }

    @Override
    public Buffer allocate(long bytes) {
        Buffer buffer = Buffer.at(memory.allocate(bytes), bytes, life);
        clear(buffer, 0, bytes);
        return buffer;
    }

    @Override
    public Buffer upload(MemorySegment host, long elementBytes) {
        Buffer copy = allocate(host.byteSize());
        copyFromHost(host, copy, 0);
        return copy;
    }

    @Override
    public Loan borrow(long bytes) {
        DeviceMemory piece = memory.borrow(bytes);
        Arena loan = Arena.ofShared();
        Buffer buffer = Buffer.at(piece.address(), bytes, loan);
        return new Loan() {
            private boolean closed;

            @Override
            public Buffer buffer() {
                return buffer;
            }

            @Override
            public void close() {
                if (!closed) {
                    closed = true;
                    loan.close();
                    memory.giveBack(piece);
                }
            }
        };
    }

    @Override
    public Loan lend(MemorySegment host, long elementBytes) {
        Loan copy = borrow(host.byteSize());
        copyFromHost(host, copy.buffer(), 0);
        return copy;
    }

    @Override
    public void copyFromHost(MemorySegment source, Buffer buffer, long offset) {
        if (source.byteSize() > 0) {
            CUdeviceptr target = memory.pointer(buffer.address(offset, source.byteSize()));
            working(() -> staging.upload(source, target));
        }
    }

    @Override
    public void copyToHost(Buffer buffer, long offset, MemorySegment target) {
        if (target.byteSize() > 0) {
            CUdeviceptr source = memory.pointer(buffer.address(offset, target.byteSize()));
            working(() -> staging.download(source, target));
            jcublas.ifPresent(JcublasProducts::areDone);
        }
    }

    @Override
    public void clear(Buffer buffer, long offset, long bytes) {
        if (bytes > 0) {
            CUdeviceptr start = memory.pointer(buffer.address(offset, bytes));
            working(() -> require(JCudaDriver.cuMemsetD8Async(start, (byte) 0, bytes, stream), "cuMemsetD8Async"));
        }
    }

    @Override
    public void synchronise() {
        working(() -> require(JCudaDriver.cuStreamSynchronize(stream), "cuStreamSynchronize"));
        jcublas.ifPresent(JcublasProducts::areDone);
    }

    /** What the driver reports may be the fault of a kernel before: says of which. */
    private void working(Runnable calls) {
        try {
            calls.run();
        } catch (DeviceFailure failure) {
            throw failure.among(unfinished());
        }
    }

    @Override
    public String unfinished() {
        List<String> calls = new ArrayList<>(List.of(context.unfinished()));
        jcublas.ifPresent(products -> calls.addAll(products.unfinished()));
        calls.removeIf(String::isEmpty);
        return String.join(", ", calls);
    }

    /** Whether an address lies in memory of this device. */
    boolean holds(long address) {
        return memory.holds(address);
    }

    @Override
    public long memoryInUse() {
        return memory.bytes();
    }

    @Override
    public Optional<DenseProducts> denseProducts() {
        return jcublas.map(products -> products);
    }

    @Override
    public OptionalLong availableBytes() {
        return OptionalLong.of(memory.freeBytes());
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
        if (life.scope().isAlive()) {
            if (jcublas != null) { // null while opening fails
                jcublas.ifPresent(JcublasProducts::close);
            }
            context.close();
            life.close();
            memory.release();
            releaseDriver();
        }
    }

    private void releaseDriver() {
        staging.close();
        JCudaDriver.cuStreamDestroy(stream);
        JCudaDriver.cuDevicePrimaryCtxRelease(device);
    }
}
