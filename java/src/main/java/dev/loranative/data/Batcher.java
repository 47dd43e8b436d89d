package dev.loranative.data;

import dev.loranative.random.CounterRandom;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * Deals samples out to the steps of a run. Every step is a pure function of its number, so a run can begin anywhere.
 *
 * <p>An epoch is a permutation of the samples, cut into micro-batches of {@code perDeviceTrainBatchSize} and these into
 * windows of {@code gradientAccumulationSteps}; the last micro-batch and the last window of an epoch may be smaller, and
 * nothing is left out. The permutation of an epoch is the file order ({@link SamplingStrategy#SEQUENTIAL}) or
 * {@link CounterRandom#permutation} of (seed, stream 2^48 + epoch). Long samples are not moved to the front: memory is
 * planned from {@link #peak(int)}, and the losses stay those of transformers.
 *
 * <p>Not safe for several threads.
 */
public final class Batcher {

    /** Streams of {@link CounterRandom} from here on are the epochs' permutations. */
    static final long ORDER_STREAM = 1L << 48;

    /** Up to so many samples × epochs, {@link #peak} walks through the whole run; beyond, it takes the worst case. */
    private static final long EXACT_PEAK_LIMIT = 10_000_000;

    private final List<Sample> samples;
    private final int[] tokens;
    private final int[] targets;
    private final int batchSize;
    private final int accumulation;
    private final SamplingStrategy strategy;
    private final long seed;
    private final int microBatchesPerEpoch;
    private final int stepsPerEpoch;
    private int[] order;
    private int orderEpoch = -1;

    /**
     * @param samples at least one
     * @param batchSize samples per micro-batch, positive
     * @param accumulation micro-batches per step, positive
     */
    public Batcher(List<Sample> samples, int batchSize, int accumulation, SamplingStrategy strategy, long seed) {
        if (samples.isEmpty() || batchSize < 1 || accumulation < 1) {
            throw new IllegalArgumentException(
                    samples.size() + " samples, batch size " + batchSize + ", accumulation " + accumulation);
        }
        this.samples = List.copyOf(samples);
        this.tokens = samples.stream().mapToInt(Sample::tokens).toArray();
        this.targets = samples.stream().mapToInt(Sample::targets).toArray();
        this.batchSize = Math.min(batchSize, samples.size());
        this.microBatchesPerEpoch = Math.ceilDiv(samples.size(), this.batchSize);
        this.accumulation = Math.min(accumulation, microBatchesPerEpoch);
        this.stepsPerEpoch = Math.ceilDiv(microBatchesPerEpoch, this.accumulation);
        this.strategy = strategy;
        this.seed = seed;
    }

    /** Micro-batches of a step at most: as asked for, but not more than an epoch has. */
    public int accumulation() {
        return accumulation;
    }

    public int stepsPerEpoch() {
        return stepsPerEpoch;
    }

    /**
     * Steps of the whole run, as transformers counts them.
     *
     * @param epochs {@code num_train_epochs}, may be a fraction: the steps are rounded up
     * @param maxSteps {@code max_steps}; when positive it alone counts
     * @throws ArithmeticException when the run would have more than 2^31 - 1 steps
     */
    public int totalSteps(double epochs, int maxSteps) {
        if (maxSteps > 0) {
            return maxSteps;
        }
        double steps = Math.ceil(epochs * stepsPerEpoch);
        if (!(steps >= 0 && steps <= Integer.MAX_VALUE)) {
            throw new ArithmeticException(epochs + " epochs of " + stepsPerEpoch + " steps");
        }
        return (int) steps;
    }

    /** The epoch, from 0, that a step lies in. */
    public int epochOf(int step) {
        return step / stepsPerEpoch;
    }

    /** The micro-batches of a step, counted from 0; steps after the end of the last epoch go on with the next one. */
    public Window window(int step) {
        int epoch = epochOf(step);
        int first = (step % stepsPerEpoch) * accumulation;
        int end = Math.min(first + accumulation, microBatchesPerEpoch);
        int[] permutation = order(epoch);
        List<Batch> batches = new ArrayList<>(end - first);
        for (int b = first; b < end; b++) {
            List<Sample> chosen = new ArrayList<>(batchSize);
            for (int i = b * batchSize; i < Math.min((b + 1) * batchSize, samples.size()); i++) {
                chosen.add(samples.get(permutation[i]));
            }
            batches.add(Batch.of(chosen));
        }
        return new Window(step, epoch, batches, epoch + (double) end / microBatchesPerEpoch);
    }

    /**
     * The most that any micro-batch of the first {@code totalSteps} steps needs. Exact, except that a very long run in
     * random order gets the worst case: the longest samples together in one micro-batch.
     */
    public Peak peak(int totalSteps) {
        return peak(totalSteps, EXACT_PEAK_LIMIT);
    }

    Peak peak(int totalSteps, long exactPeakLimit) {
        if (totalSteps < 1) {
            throw new IllegalArgumentException(totalSteps + " steps");
        }
        int epochs = Math.ceilDiv(totalSteps, stepsPerEpoch);
        if (strategy == SamplingStrategy.SEQUENTIAL) {
            epochs = Math.min(1, epochs);
        } else if ((long) epochs * samples.size() > exactPeakLimit) {
            return worstCase();
        }
        Peak peak = new Peak(0, 0, 0, 0);
        for (int epoch = 0; epoch < epochs; epoch++) {
            long steps = Math.min(totalSteps - (long) epoch * stepsPerEpoch, stepsPerEpoch);
            peak = peakOf(order(epoch), (int) Math.min(steps * accumulation, microBatchesPerEpoch), peak);
        }
        return peak;
    }

    private Peak peakOf(int[] permutation, int microBatches, Peak before) {
        int mostTokens = before.tokens();
        int mostTargets = before.targets();
        int longest = before.longestSequence();
        int sequences = before.sequences();
        for (int b = 0; b < microBatches; b++) {
            int start = b * batchSize;
            int end = Math.min(start + batchSize, samples.size());
            int batchTokens = 0;
            int batchTargets = 0;
            for (int i = start; i < end; i++) {
                batchTokens = Math.addExact(batchTokens, tokens[permutation[i]]);
                batchTargets += targets[permutation[i]];
                longest = Math.max(longest, tokens[permutation[i]]);
            }
            mostTokens = Math.max(mostTokens, batchTokens);
            mostTargets = Math.max(mostTargets, batchTargets);
            sequences = Math.max(sequences, end - start);
        }
        return new Peak(mostTokens, mostTargets, longest, sequences);
    }

    private Peak worstCase() {
        int[] byTokens = tokens.clone();
        int[] byTargets = targets.clone();
        Arrays.sort(byTokens);
        Arrays.sort(byTargets);
        return new Peak(
                sumOfLargest(byTokens, batchSize),
                sumOfLargest(byTargets, batchSize),
                byTokens[byTokens.length - 1],
                batchSize);
    }

    private static int sumOfLargest(int[] sorted, int count) {
        return Math.toIntExact(Arrays.stream(sorted, sorted.length - count, sorted.length)
                .asLongStream()
                .sum());
    }

    private int[] order(int epoch) {
        if (strategy == SamplingStrategy.SEQUENTIAL) {
            if (order == null) {
                order = new int[samples.size()];
                Arrays.setAll(order, i -> i);
            }
        } else if (epoch != orderEpoch) {
            order = new CounterRandom(seed, ORDER_STREAM + epoch).permutation(samples.size());
            orderEpoch = epoch;
        }
        return order;
    }
}
