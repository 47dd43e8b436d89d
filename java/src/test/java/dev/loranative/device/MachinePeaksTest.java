package dev.loranative.device;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

class MachinePeaksTest {

    /** How fast is the machine's matter; that something was measured, for the tier and the threads asked for, is ours. */
    @Test
    void measuresTheTierAndTheThreadsAskedFor() {
        MachinePeaks peaks = MachinePeaks.measure(SimdTier.REFERENCE, 1, 0.001);

        assertThat(peaks.simd()).isEqualTo(SimdTier.GENERIC);
        assertThat(peaks.threads()).isEqualTo(1);
        assertThat(peaks.flopsPerSecond()).isPositive();
        assertThat(peaks.readBytesPerSecond()).isPositive();
        assertThat(peaks.bytesPerSecond())
                .isGreaterThanOrEqualTo(peaks.readBytesPerSecond())
                .isGreaterThanOrEqualTo(peaks.copyBytesPerSecond())
                .isGreaterThanOrEqualTo(peaks.triadBytesPerSecond());
    }

    @Test
    void theBestTierIsThatOfTheKernels() {
        try (CpuDevice device = CpuDevice.open(1, SimdTier.AUTO)) {
            if (System.getenv("LORA_NATIVE_SIMD") == null) {
                assertThat(MachinePeaks.measure(SimdTier.AUTO, 1, 0.001).simd()).isEqualTo(device.simd());
            }
        }
    }
}
