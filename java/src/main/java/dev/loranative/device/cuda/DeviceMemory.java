package dev.loranative.device.cuda;

import java.util.Optional;
import jcuda.driver.CUdeviceptr;
import jcuda.driver.CUresult;
import jcuda.driver.JCudaDriver;

/** One piece of device memory, taken from the driver. */
final class DeviceMemory {

    /** JCuda hides the address from all but subclasses. */
    private static final class Address extends CUdeviceptr {
        long value() {
            return getNativePointer();
        }
    }

    private final Address pointer = new Address();
    private final long bytes;
    private long used;

    private DeviceMemory(long bytes) {
        this.bytes = bytes;
    }

    /** Empty where the device has not so much left. */
    static Optional<DeviceMemory> take(long bytes) {
        DeviceMemory memory = new DeviceMemory(bytes);
        int status = JCudaDriver.cuMemAlloc(memory.pointer, bytes);
        if (status == CUresult.CUDA_ERROR_OUT_OF_MEMORY) {
            return Optional.empty();
        }
        CudaDriver.require(status, "cuMemAlloc");
        return Optional.of(memory);
    }

    long address() {
        return pointer.value();
    }

    long bytes() {
        return bytes;
    }

    long unused() {
        return bytes - used;
    }

    /** The next {@code count} bytes; there must be so many. */
    long cut(long count) {
        long address = pointer.value() + used;
        used += count;
        return address;
    }

    /** From its beginning again. */
    void empty() {
        used = 0;
    }

    boolean holds(long address) {
        return address >= pointer.value() && address - pointer.value() < bytes;
    }

    /** The pointer that JCuda takes for an address inside this memory. */
    CUdeviceptr at(long address) {
        return pointer.withByteOffset(address - pointer.value());
    }

    void release() {
        JCudaDriver.cuMemFree(pointer);
    }
}
