package dev.loranative.device.cuda;

import java.util.Locale;

/**
 * A device of the driver.
 *
 * @param totalBytes of its memory
 * @param capability 90 for compute capability 9.0
 */
public record CudaDeviceInfo(int number, String name, long totalBytes, int capability) {

    public boolean isUsable() {
        return capability >= CudaDriver.LEAST_CAPABILITY;
    }

    /** For people: {@code cuda:0 (NVIDIA H200, 139.8 GiB, compute capability 9.0)}. */
    @Override
    public String toString() {
        return String.format(
                Locale.ROOT,
                "cuda:%d (%s, %.1f GiB, compute capability %d.%d)",
                number,
                name,
                totalBytes / 1073741824.0,
                capability / 10,
                capability % 10);
    }
}
