package dev.loranative.benchmarks;

import dev.loranative.device.MachinePeaks;
import dev.loranative.tensor.cases.OpCase;

/**
 * A row of the table, timed.
 *
 * @param nanos of a call, median over the iterations
 * @param errorNanos half of JMH's 99.9 % confidence interval; NaN for too few iterations
 */
record OpResult(OpCase opCase, int threads, double nanos, double errorNanos) {

    double flopsPerSecond() {
        return opCase.work().flops() / nanos * 1e9;
    }

    double bytesPerSecond() {
        return opCase.work().bytes() / nanos * 1e9;
    }

    double share(MachinePeaks peaks) {
        return opCase.work().secondsAt(peaks.flopsPerSecond(), peaks.bytesPerSecond()) / nanos * 1e9;
    }

    boolean isBoundByMemory(MachinePeaks peaks) {
        return opCase.work().isBoundByMemory(peaks.flopsPerSecond(), peaks.bytesPerSecond());
    }
}
