package dev.loranative.device.cuda;

import static dev.loranative.device.cuda.CudaDriver.require;

import java.lang.foreign.MemorySegment;
import jcuda.Pointer;
import jcuda.driver.CUdeviceptr;
import jcuda.driver.CUevent;
import jcuda.driver.CUstream;
import jcuda.driver.JCudaDriver;

/**
 * Pinned host memory on the way to and from the device: two halves. Copies lie behind each other in one until it is full;
 * then the other is filled, once all its copies have arrived. So who sends little at a time, as the micro-batches of a
 * training step do, does not wait for the device until it is a half ahead of it. Everything is in the order of one stream.
 */
final class Staging implements AutoCloseable {

    static final int HALF = 8 << 20;

    private final CUstream stream;
    private final Pointer[] halves = {new Pointer(), new Pointer()};
    private final MemorySegment[] memory = new MemorySegment[2];
    /** When the copies from a half have arrived. */
    private final CUevent[] free = {new CUevent(), new CUevent()};
    /** The half that is being filled, and how far. */
    private int half;

    private long filled;

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
        long part;
        for (long done = 0; done < source.byteSize(); done += part) {
            if (filled == HALF) {
                takeOther();
            }
            part = Math.min(HALF - filled, source.byteSize() - done);
            MemorySegment.copy(source, done, memory[half], filled, part);
            require(
                    JCudaDriver.cuMemcpyHtoDAsync(
                            target.withByteOffset(done), halves[half].withByteOffset(filled), part, stream),
                    "cuMemcpyHtoDAsync");
            filled += part;
        }
    }

    private void takeOther() {
        require(JCudaDriver.cuEventRecord(free[half], stream), "cuEventRecord");
        half = 1 - half;
        filled = 0;
        require(JCudaDriver.cuEventSynchronize(free[half]), "cuEventSynchronize");
    }

    /** Waits for all that the stream has to do before, so that both halves are empty. */
    void download(CUdeviceptr source, MemorySegment target) {
        for (long done = 0; done < target.byteSize(); done += HALF) {
            long part = Math.min(HALF, target.byteSize() - done);
            require(
                    JCudaDriver.cuMemcpyDtoHAsync(halves[half], source.withByteOffset(done), part, stream),
                    "cuMemcpyDtoHAsync");
            require(JCudaDriver.cuStreamSynchronize(stream), "cuStreamSynchronize");
            MemorySegment.copy(memory[half], 0, target, done, part);
            filled = 0;
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
