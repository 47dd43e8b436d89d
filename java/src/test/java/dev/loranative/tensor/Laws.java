package dev.loranative.tensor;

import static org.assertj.core.api.Assertions.assertThat;

import dev.loranative.device.CpuDevice;
import dev.loranative.device.SimdTier;
import dev.loranative.errors.UserException;
import dev.loranative.tensor.cases.Family;
import dev.loranative.tensor.cases.Matrix;
import dev.loranative.tensor.cases.OpCase;
import dev.loranative.tensor.cases.OpCases;
import dev.loranative.tensor.cases.OpRun;
import dev.loranative.tensor.cases.Output;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;

/**
 * Runs one law of an op: on every SIMD tier of this machine the result is that of plain double arithmetic, and two
 * threads give the same bytes as one.
 */
final class Laws {

    /** What a law compares; collects the results so that runs can be compared with each other. */
    static final class Results {

        private final Bench bench;
        private final List<double[]> values = new ArrayList<>();

        private Results(Bench bench) {
            this.bench = bench;
        }

        /** What a row of the table expects. */
        void check(String of, Output output) {
            assertThat(output.mismatch(bench.device())).as(of).isEmpty();
            values.add(output.values(bench.device()));
        }

        /** Each element within tolerance * (1 + |expected|). */
        void close(String name, Tensor actual, double[] expected, double tolerance) {
            check(name, new Output(name, actual, expected, tolerance));
        }

        void equal(String name, Tensor actual, float[] expected) {
            close(name, actual, Matrix.doubles(expected), 0);
        }
    }

    @FunctionalInterface
    interface Law {
        void run(Bench bench, Results results);
    }

    private Laws() {}

    /** The tiers that this machine has; the plain ones are everywhere. */
    static Stream<SimdTier> tiers() {
        return Arrays.stream(SimdTier.values()).filter(Laws::isSupported);
    }

    static void check(SimdTier tier, Law law) {
        List<double[]> alone = run(tier, 1, law);
        List<double[]> together = run(tier, 2, law);
        assertThat(together).hasSameSizeAs(alone);
        for (int i = 0; i < alone.size(); i++) {
            assertThat(Arrays.equals(together.get(i), alone.get(i)))
                    .as("bytes of result " + i + " with two threads are those with one")
                    .isTrue();
        }
    }

    /** The rows of a family that are there to be checked. */
    static void checkTable(SimdTier tier, Family family) {
        check(tier, (bench, results) -> {
            for (OpCase opCase : OpCases.of(family, OpCase.Use.CHECK)) {
                OpRun run = opCase.on(bench);
                run.run();
                run.outputs().forEach(output -> results.check(opCase.name(), output));
            }
        });
    }

    private static List<double[]> run(SimdTier tier, int threads, Law law) {
        try (Bench bench = new Bench(tier, threads)) {
            Results results = new Results(bench);
            law.run(bench, results);
            return results.values;
        }
    }

    private static boolean isSupported(SimdTier tier) {
        return switch (tier) {
            case AUTO -> false;
            case REFERENCE, GENERIC -> true;
            case AVX2, AVX512, NEON -> {
                try {
                    CpuDevice.open(1, tier).close();
                    yield true;
                } catch (UserException unsupported) {
                    assertThat(unsupported).hasMessageContaining("no SIMD tier " + tier.ordinal());
                    yield false;
                }
            }
        };
    }
}
