package dev.loranative.device.cuda;

import dev.loranative.device.Device;
import dev.loranative.errors.UserException;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import jcuda.driver.CUdeviceptr;
import jcuda.driver.JCudaDriver;

/**
 * The memory of a device, taken from the driver in pieces: to take one is slow, and giving one back waits for all kernels.
 * So what was reserved or allocated stays until the end, and of what was borrowed a little is kept for who borrows next;
 * everything being in the order of one stream, the next user's work comes after the last one's.
 */
final class MemoryPieces {

    private static final long ALIGNMENT = 256;

    /** What is taken from the driver at least: it deals in pages of this size. */
    private static final long PAGE = 2L << 20;

    /** Each part of what was reserved may waste up to {@link #ALIGNMENT}. */
    private static final long RESERVED_PARTS = 4096;

    /** Quantising borrows for a piece of a weight and, where scales are quantised too, for these. */
    private static final int MOST_SPARES = 2;

    private static final long LARGEST_SPARE = 64L << 20;

    private final CudaDeviceInfo device;
    private final List<DeviceMemory> used = new ArrayList<>();
    private final List<DeviceMemory> spare = new ArrayList<>();
    private long allocatedBytes;

    MemoryPieces(CudaDeviceInfo device) {
        this.device = device;
    }

    /** Bytes that {@link #allocate} has given. */
    long allocatedBytes() {
        return allocatedBytes;
    }

    /** @throws UserException where the device has not so much left */
    void reserve(String part, long bytes) {
        used.add(take(part, bytes + ALIGNMENT * RESERVED_PARTS));
    }

    /**
     * The address of so many bytes, until the end.
     *
     * @throws UserException where the device has not so much left
     */
    long allocate(long bytes) {
        long rounded = Math.ceilDiv(Math.max(bytes, 1), ALIGNMENT) * ALIGNMENT;
        DeviceMemory piece = used.stream()
                .filter(candidate -> candidate.unused() >= rounded)
                .findFirst()
                .orElseGet(() -> {
                    DeviceMemory taken =
                            DeviceMemory.take(Math.max(rounded, PAGE)).orElseGet(() -> take("a tensor", rounded));
                    used.add(taken);
                    return taken;
                });
        allocatedBytes += bytes;
        return piece.cut(rounded);
    }

    /**
     * A piece that nobody else has, until {@link #giveBack}.
     *
     * @throws UserException where the device has not so much left
     */
    DeviceMemory borrow(long bytes) {
        Optional<DeviceMemory> kept = spare.stream()
                .filter(piece -> piece.bytes() >= bytes)
                .min(Comparator.comparingLong(DeviceMemory::bytes));
        kept.ifPresent(spare::remove);
        DeviceMemory piece =
                kept.orElseGet(() -> take("a copy for a short time", Math.ceilDiv(Math.max(bytes, 1), PAGE) * PAGE));
        piece.cut(piece.bytes());
        used.add(piece);
        return piece;
    }

    void giveBack(DeviceMemory piece) {
        used.remove(piece);
        if (piece.bytes() > LARGEST_SPARE) {
            piece.release();
            return;
        }
        piece.empty();
        spare.add(piece);
        if (spare.size() > MOST_SPARES) {
            DeviceMemory smallest = spare.stream()
                    .min(Comparator.comparingLong(DeviceMemory::bytes))
                    .orElseThrow();
            spare.remove(smallest);
            smallest.release();
        }
    }

    private DeviceMemory take(String part, long bytes) {
        return DeviceMemory.take(bytes)
                .or(() -> {
                    spare.forEach(DeviceMemory::release);
                    spare.clear();
                    return DeviceMemory.take(bytes);
                })
                .orElseThrow(() -> new UserException(
                        "out of memory on " + device + ": " + bytes + " bytes asked for (" + part + "), "
                                + allocatedBytes + " taken before, " + freeBytes() + " free",
                        hint(part) + ", or end other programs on the GPU",
                        UserException.DOES_NOT_FIT));
    }

    /** What takes less of this part: weights do not shrink with the batch. */
    private static String hint(String part) {
        return part.equals(Device.WEIGHTS)
                ? "set load_in_4bit, or use a smaller model"
                : "lower per_device_train_batch_size or max_length, use gradient_checkpointing";
    }

    /** Whether an address lies in memory that somebody has. */
    boolean holds(long address) {
        return used.stream().anyMatch(piece -> piece.holds(address));
    }

    /** The pointer that JCuda takes for an address. */
    CUdeviceptr pointer(long address) {
        return used.stream()
                .filter(piece -> piece.holds(address))
                .findFirst()
                .orElseThrow(() -> new IllegalStateException("buffer is not of this device"))
                .at(address);
    }

    /** Bytes that the driver has given. */
    long bytes() {
        return bytes(used) + bytes(spare);
    }

    /** Bytes that may be had, what is kept for loans among them. */
    long freeBytes() {
        long[] free = new long[1];
        CudaDriver.require(JCudaDriver.cuMemGetInfo(free, new long[1]), "cuMemGetInfo");
        return free[0] + bytes(spare);
    }

    private static long bytes(List<DeviceMemory> pieces) {
        return pieces.stream().mapToLong(DeviceMemory::bytes).sum();
    }

    void release() {
        used.forEach(DeviceMemory::release);
        spare.forEach(DeviceMemory::release);
    }
}
