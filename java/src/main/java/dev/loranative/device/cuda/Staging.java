package dev.loranative.device.cuda;

import static dev.loranative.device.cuda.CudaDriver.require;

import java.lang.foreign.MemorySegment;
import jcuda.Pointer;
import jcuda.driver.CUdeviceptr;
import jcuda.driver.CUevent;
import jcuda.driver.CUstream;
import jcuda.driver.JCudaDriver;

/**
 * Pinned host memory on the way to and from the device: two halves, so that one is filled while the other travels.
 * Everything is in the order of one stream.
 */
final class Staging implements AutoCloseable {

    static final int HALF = 8 << 20;

    private final CUstream stream;
    private final Pointer[] halves = {new Pointer(), new Pointer()};
    private final MemorySegment[] memory = new MemorySegment[2];
    private final CUevent[] free = {new CUevent(), new CUevent()};
    private int next;

    Staging(CUstream stream) {
        this.stream = stream;
        for (int i = 0; i < 2; i++) {
            require(JCudaDriver.cuMemAllocHost(halves[i], HALF), "cuMemAllocHost");
            memory[i] = MemorySegment.ofBuffer(halves[i].getByteBuffer(0, HALF));
            require(JCudaDriver.cuEventCreate(free[i], 0), "cuEventCreate");
            require(JCudaDriver.cuEventRecord(free[i], stream), "cuEventRecord");
        }
    }

    /** Returns when {@code source} may change; the copy arrives in the order of the stream. */
    void upload(MemorySegment source, CUdeviceptr target) {
        for (long done = 0; done < source.byteSize(); done += HALF) {
            long part = Math.min(HALF, source.byteSize() - done);
            int half = next;
            next = 1 - next;
            require(JCudaDriver.cuEventSynchronize(free[half]), "cuEventSynchronize");
            MemorySegment.copy(source, done, memory[half], 0, part);
            require(
                    JCudaDriver.cuMemcpyHtoDAsync(target.withByteOffset(done), halves[half], part, stream),
                    "cuMemcpyHtoDAsync");
            require(JCudaDriver.cuEventRecord(free[half], stream), "cuEventRecord");
        }
    }

    /** Waits for all that the stream has to do before. */
    void download(CUdeviceptr source, MemorySegment target) {
        for (long done = 0; done < target.byteSize(); done += HALF) {
            long part = Math.min(HALF, target.byteSize() - done);
            require(
                    JCudaDriver.cuMemcpyDtoHAsync(halves[0], source.withByteOffset(done), part, stream),
                    "cuMemcpyDtoHAsync");
            require(JCudaDriver.cuStreamSynchronize(stream), "cuStreamSynchronize");
            MemorySegment.copy(memory[0], 0, target, done, part);
        }
    }

    @Override
    public void close() {
        for (int i = 0; i < 2; i++) {
            JCudaDriver.cuEventDestroy(free[i]);
            JCudaDriver.cuMemFreeHost(halves[i]);
        }
    }
}
