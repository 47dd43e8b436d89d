package dev.loranative.device.cuda;

import dev.loranative.device.DenseProducts;
import dev.loranative.device.Device;
import dev.loranative.device.Loan;
import dev.loranative.errors.UserException;
import dev.loranative.ffi.SystemLibrary;
import java.io.IOException;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import java.util.Optional;
import java.util.function.LongFunction;
import jcuda.Pointer;
import jcuda.cudaDataType;
import jcuda.driver.CUdeviceptr;
import jcuda.driver.CUstream;
import jcuda.jcublas.JCublas2;
import jcuda.jcublas.cublasComputeType;
import jcuda.jcublas.cublasGemmAlgo;
import jcuda.jcublas.cublasHandle;
import jcuda.jcublas.cublasMath;
import jcuda.jcublas.cublasOperation;
import jcuda.jcublas.cublasStatus;
import jcuda.runtime.cudaStream_t;

/** Dense products by JCublas, where cuBLAS 12 is installed. One stream, so the same bytes in every run. */
final class JcublasProducts implements DenseProducts, AutoCloseable {

    /** Every function of cuBLAS that this class calls: one that is missing would end the JVM. */
    static final List<String> SYMBOLS = List.of(
            "cublasCreate_v2",
            "cublasDestroy_v2",
            "cublasSetStream_v2",
            "cublasSetWorkspace_v2",
            "cublasSetMathMode",
            "cublasGemmEx_64");

    private static final class Probe {
        static final Optional<String> CAUSE = probe();
    }

    /** What NVIDIA recommends for Hopper; fixed, so that products are the same in every run. */
    private static final long WORKSPACE_BYTES = 32L << 20;

    /** A call, to be named if the device fails. */
    private record Call(long m, long n, long k) {

        @Override
        public String toString() {
            return "cublasGemmEx(m " + m + ", n " + n + ", k " + k + ")";
        }
    }

    /** As many as the kernel library names of its own. */
    private static final int MOST_NAMED = 16;

    private final cublasHandle handle = new cublasHandle();
    private final Device device;
    private final LongFunction<CUdeviceptr> pointers;
    private final Loan workspace;
    private final int compute;
    private final Deque<Call> lately = new ArrayDeque<>();

    /**
     * @param device of all operands
     * @param pointers what JCuda takes for an address
     * @param workspace of {@link #WORKSPACE_BYTES}, given back on closing
     * @param inBfloat16 whether operands are rounded to bfloat16 on their way into the tensor cores
     */
    private JcublasProducts(Device device, LongFunction<CUdeviceptr> pointers, Loan workspace, boolean inBfloat16) {
        this.device = device;
        this.pointers = pointers;
        this.workspace = workspace;
        this.compute =
                inBfloat16 ? cublasComputeType.CUBLAS_COMPUTE_32F_FAST_16BF : cublasComputeType.CUBLAS_COMPUTE_32F;
        require(JCublas2.cublasCreate(handle), "cublasCreate");
    }

    /** @throws UserException where cuBLAS cannot be used on this device */
    static JcublasProducts open(
            Device device, CUstream stream, LongFunction<CUdeviceptr> pointers, boolean inBfloat16) {
        Loan workspace = device.borrow(WORKSPACE_BYTES);
        try {
            JcublasProducts opened = new JcublasProducts(device, pointers, workspace, inBfloat16);
            opened.configure(stream);
            return opened;
        } catch (UserException e) {
            workspace.close();
            throw e;
        }
    }

    private void configure(CUstream stream) {
        try {
            // The stream first: setting it takes the workspace away.
            require(JCublas2.cublasSetStream(handle, new cudaStream_t(stream)), "cublasSetStream");
            CUdeviceptr memory = pointers.apply(workspace.buffer().address(0, WORKSPACE_BYTES));
            require(JCublas2.cublasSetWorkspace(handle, memory, WORKSPACE_BYTES), "cublasSetWorkspace");
            int mode = cublasMath.CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION;
            require(JCublas2.cublasSetMathMode(handle, mode), "cublasSetMathMode");
        } catch (UserException e) {
            JCublas2.cublasDestroy(handle);
            throw e;
        }
    }

    /** Why JCublas cannot be used, a part of a sentence; asked only where there is a driver. */
    static Optional<String> unavailabilityCause() {
        return Probe.CAUSE;
    }

    private static Optional<String> probe() {
        Optional<String> library = SystemLibrary.unavailabilityCause("libcublas.so.12", SYMBOLS);
        if (library.isPresent()) {
            return Optional.of("JCublas needs cuBLAS 12 (" + library.get() + ")");
        }
        try {
            CudaDriver.extractedPrivately(() -> {
                JCublas2.setExceptionsEnabled(false);
                return null;
            });
            return Optional.empty();
        } catch (LinkageError e) {
            return Optional.of("JCublas cannot be loaded (" + CudaDriver.firstLine(e) + ")");
        } catch (IOException e) {
            return Optional.of("JCublas has nowhere to unpack its library (" + e + ")");
        }
    }

    /** cuBLAS counts columns first: c^T = b^T . a^T, where a row-major matrix already is its own transpose. */
    @Override
    public void multiply(Operand a, Operand b, long c, long m, long n, long k, float alpha, float beta) {
        Call call = new Call(m, n, k);
        lately.remove(call);
        lately.add(call);
        if (lately.size() > MOST_NAMED) {
            lately.removeFirst();
        }
        int status = JCublas2.cublasGemmEx_64_new(
                handle,
                operation(b),
                operation(a),
                n,
                m,
                k,
                Pointer.to(new float[] {alpha}),
                pointers.apply(b.address()),
                cudaDataType.CUDA_R_32F,
                b.columns(),
                pointers.apply(a.address()),
                cudaDataType.CUDA_R_32F,
                a.columns(),
                Pointer.to(new float[] {beta}),
                pointers.apply(c),
                cudaDataType.CUDA_R_32F,
                n,
                compute,
                cublasGemmAlgo.CUBLAS_GEMM_DEFAULT);
        if (status != cublasStatus.CUBLAS_STATUS_SUCCESS) {
            device.synchronise(); // where a kernel before failed, this says so
            require(status, "cublasGemmEx");
        }
    }

    /** The last products of different sizes that may not be done yet, in no order with kernels; latest last. */
    List<String> unfinished() {
        return lately.stream().map(Call::toString).toList();
    }

    /** The device has done all that it was asked for. */
    void areDone() {
        lately.clear();
    }

    private static int operation(Operand operand) {
        return operand.transposed() ? cublasOperation.CUBLAS_OP_T : cublasOperation.CUBLAS_OP_N;
    }

    private static void require(int status, String function) {
        if (status != cublasStatus.CUBLAS_STATUS_SUCCESS) {
            throw UserException.failed(
                    "cuBLAS failed: " + function + " reports " + cublasStatus.stringFor(status),
                    "use --gemm own to compute without cuBLAS");
        }
    }

    @Override
    public void close() {
        JCublas2.cublasDestroy(handle);
        workspace.close();
    }
}
