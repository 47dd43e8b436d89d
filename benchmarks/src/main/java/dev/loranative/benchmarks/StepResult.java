package dev.loranative.benchmarks;

import dev.loranative.bench.ModelShape;

/**
 * A whole train step, timed.
 *
 * @param nanos of a step, median
 * @param memoryBytes resident memory of the process, largest
 */
record StepResult(String shape, int threads, int batch, int length, double nanos, long memoryBytes) {

    long tokens() {
        return (long) batch * length;
    }

    double tokensPerSecond() {
        return tokens() / nanos * 1e9;
    }

    double flopsPerSecond() {
        return ModelShape.named(shape).stepFlops(tokens()) / nanos * 1e9;
    }
}
