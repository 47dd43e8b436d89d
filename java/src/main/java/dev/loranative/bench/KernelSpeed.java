package dev.loranative.bench;

/**
 * What one kernel did.
 *
 * @param seconds of a call, median
 * @param flops that the formula needs
 * @param bytes that the formula reads and writes at least
 */
public record KernelSpeed(String name, String shape, double seconds, double flops, double bytes) {

    public double flopsPerSecond() {
        return flops / seconds;
    }

    public double bytesPerSecond() {
        return bytes / seconds;
    }

    /** The shortest possible time over the time taken, by the machine's roofline (Williams et al. 2009). */
    public double share(double peakFlops, double peakBytesPerSecond) {
        return Math.max(flops / peakFlops, bytes / peakBytesPerSecond) / seconds;
    }

    public boolean isBoundByMemory(double peakFlops, double peakBytesPerSecond) {
        return bytes / peakBytesPerSecond > flops / peakFlops;
    }
}
