package dev.loranative.bench;

import dev.loranative.train.MemoryPlan;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;

/** What became of a {@link SyntheticRun}. */
public sealed interface SyntheticSpeed {

    SyntheticRun run();

    /**
     * It trained.
     *
     * @param stepSeconds of every measured step, in their order; at least one
     * @param plan what it was to take
     * @param memoryBytes what it took: resident memory of the process at most, or what a GPU had less free than before
     * @param firstLoss before anything was learnt: near the logarithm of the vocabulary
     * @param trainedParameters numbers that were trained
     * @param preparationSeconds until the first step: opening the device, making the weights, planning
     */
    record Measured(
            SyntheticRun run,
            List<Double> stepSeconds,
            MemoryPlan plan,
            long memoryBytes,
            double firstLoss,
            long trainedParameters,
            double preparationSeconds)
            implements SyntheticSpeed {

        /** Steps whose median stands for the beginning and for the end. */
        private static final int ENDS = 10;

        public Measured {
            stepSeconds = List.copyOf(stepSeconds);
        }

        /** The median. */
        public double seconds() {
            return median(stepSeconds);
        }

        public double tokensPerSecond() {
            return run.tokens() / seconds();
        }

        /** Median of the first ten steps, or of the first half where they are fewer than twenty. */
        public double firstSeconds() {
            return median(stepSeconds.subList(0, ends()));
        }

        /** As {@link #firstSeconds}, at the end. */
        public double lastSeconds() {
            return median(stepSeconds.subList(stepSeconds.size() - ends(), stepSeconds.size()));
        }

        private int ends() {
            return Math.min(ENDS, Math.ceilDiv(stepSeconds.size(), 2));
        }

        private static double median(List<Double> values) {
            double[] sorted = values.stream().mapToDouble(Double::doubleValue).toArray();
            Arrays.sort(sorted);
            int middle = sorted.length / 2;
            return sorted.length % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
        }
    }

    /**
     * It was not tried.
     *
     * @param plan as far as it was made: of the weights alone where these do not fit
     * @param roomBytes what it might have taken; empty where nobody tells
     * @param message the reason, with figures
     * @param hint what would help
     */
    record DoesNotFit(SyntheticRun run, Optional<MemoryPlan> plan, OptionalLong roomBytes, String message, String hint)
            implements SyntheticSpeed {}
}
