package dev.loranative.tensor.cases;

import dev.loranative.tensor.DType;

/**
 * What a formula needs at least, whatever a kernel does.
 *
 * @param flops multiplications and additions; an exponential or a root counts as one
 * @param bytes every input read once, every output written once (and read, where it accumulates)
 */
public record Work(double flops, double bytes) {

    public Work {
        if (!(flops >= 0) || !(bytes > 0)) {
            throw new IllegalArgumentException(flops + " operations on " + bytes + " bytes");
        }
    }

    /** Bytes of a weight as it lies in memory: of a 4-bit one its codes, and a scale for 64 of them. */
    static double weightBytes(DType dtype, double elements) {
        return elements * (dtype.isQuantized() ? 0.5 + 4.0 / 64 : dtype.bytes());
    }

    /** The shortest possible time on a machine, by its roofline (Williams et al. 2009). */
    public double secondsAt(double peakFlops, double peakBytesPerSecond) {
        return Math.max(flops / peakFlops, bytes / peakBytesPerSecond);
    }

    public boolean isBoundByMemory(double peakFlops, double peakBytesPerSecond) {
        return bytes / peakBytesPerSecond > flops / peakFlops;
    }
}
