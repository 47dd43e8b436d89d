package dev.loranative.tensor;

import dev.loranative.device.Buffer;
import dev.loranative.device.Device;
import dev.loranative.device.Loan;

/**
 * The activations of a step: one block of memory used as a stack. {@link #mark} and {@link #release} bracket what is
 * needed for a while; nothing is freed one by one. A planning slab has no memory and only counts.
 */
public final class Slab {

    private static final long ALIGNMENT = 64;

    private final Buffer buffer;
    private final boolean planning;
    private long top;
    private long peak;

    private Slab(Buffer buffer, boolean planning) {
        this.buffer = buffer;
        this.planning = planning;
    }

    public static Slab allocate(Device device, long bytes) {
        return new Slab(device.allocate(bytes), false);
    }

    /** A slab whose memory is given back when it is closed. */
    public record Lent(Slab slab, Loan loan) implements AutoCloseable {

        @Override
        public void close() {
            loan.close();
        }
    }

    /** For work that ends before the run begins. */
    public static Lent lent(Device device, long bytes) {
        Loan loan = device.borrow(bytes);
        return new Lent(new Slab(loan.buffer(), false), loan);
    }

    /** Its tensors must never be read or written; {@link #peakBytes} is what a real one needs. */
    public static Slab planning() {
        return new Slab(Buffer.planned(Long.MAX_VALUE / 2), true);
    }

    /** Memory with undefined content, valid until released. */
    public Tensor allocate(DType dtype, long... shape) {
        long bytes = dtype.bytes();
        for (long dimension : shape) {
            bytes = Math.multiplyExact(bytes, dimension);
        }
        long start = top;
        long end = start + (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
        if (end > buffer.bytes()) {
            throw new IllegalStateException(
                    "the step needs " + end + " bytes of activations, planned were " + buffer.bytes());
        }
        Tensor tensor = new Tensor(buffer, start, dtype, shape);
        top = end;
        peak = Math.max(peak, top);
        return tensor;
    }

    public Tensor floats(long... shape) {
        return allocate(DType.F32, shape);
    }

    public long mark() {
        return top;
    }

    /** Gives back everything allocated since {@link #mark} returned {@code mark}. */
    public void release(long mark) {
        if (mark < 0 || mark > top) {
            throw new IllegalStateException("mark " + mark + " is not below the top " + top + " of the slab");
        }
        top = mark;
    }

    public boolean isPlanning() {
        return planning;
    }

    public long peakBytes() {
        return peak;
    }

    /** Size of the memory behind this slab. */
    public long capacityBytes() {
        return planning ? 0 : buffer.bytes();
    }
}
