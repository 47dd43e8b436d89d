package dev.loranative.data;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.loranative.random.CounterRandom;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class BatcherTest {

    @Test
    void aBatchPacksSequencesAndShiftsLabels() {
        Batch batch = Batch.of(List.of(
                sample(new int[] {10, 11, 12}, new int[] {10, -100, 12}),
                sample(new int[] {20}, new int[] {20}),
                sample(new int[] {30, 31}, new int[] {-100, 31})));
        assertThat(batch.ids()).containsExactly(10, 11, 12, 20, 30, 31);
        assertThat(batch.positions()).containsExactly(0, 1, 2, 0, 0, 1);
        assertThat(batch.sequenceOffsets()).containsExactly(0, 3, 4, 6);
        assertThat(batch.labels()).containsExactly(-100, 12, -100, -100, 31, -100);
        assertThat(batch.targets()).isEqualTo(2);
        assertThat(batch.longestSequence()).isEqualTo(3);
        assertThat(batch.sequences()).isEqualTo(3);
    }

    @Test
    void theFirstLabelNeverCounts() {
        assertThat(sample(new int[] {1, 2}, new int[] {1, -100}).targets()).isZero();
        assertThat(sample(new int[] {1, 2}, new int[] {-100, 2}).targets()).isEqualTo(1);
    }

    @Test
    void anUnevenEpochKeepsItsRemainders() {
        Batcher batcher = new Batcher(numbered(11), 2, 4, SamplingStrategy.SEQUENTIAL, 0);
        assertThat(batcher.stepsPerEpoch()).isEqualTo(2);
        assertThat(firstIds(batcher.window(0)))
                .containsExactly(List.of(0, 1), List.of(2, 3), List.of(4, 5), List.of(6, 7));
        assertThat(firstIds(batcher.window(1))).containsExactly(List.of(8, 9), List.of(10));
        assertThat(firstIds(batcher.window(2))).isEqualTo(firstIds(batcher.window(0)));
        assertThat(batcher.window(0).epochAfter()).isEqualTo(4.0 / 6);
        assertThat(batcher.window(1).epochAfter()).isEqualTo(1.0);
        assertThat(batcher.window(2).epoch()).isEqualTo(1);
        assertThat(batcher.window(3).epochAfter()).isEqualTo(2.0);
        assertThat(batcher.window(1).tokens()).isEqualTo(9 + 10 + 11);
        assertThat(batcher.window(1).targets()).isEqualTo(8 + 9 + 10);
    }

    /** As transformers 5.18 computes {@code state.max_steps} for the same numbers. */
    @ParameterizedTest
    @CsvSource({
        "11, 2, 4, 3.0, -1, 6",
        "11, 2, 4, 1.5, -1, 3",
        "11, 2, 4, 0.1, -1, 1",
        "11, 2, 4, 2.01, -1, 5",
        "10, 1, 1, 0.3, -1, 3",
        "8, 2, 2, 1.0, -1, 2",
        "1, 8, 8, 3.0, -1, 3",
        "11, 2, 4, 3.0, 7, 7",
        "11, 2, 4, 3.0, 0, 6"
    })
    void countsStepsAsTransformersDoes(int samples, int batch, int accumulation, double epochs, int max, int expected) {
        assertThat(new Batcher(numbered(samples), batch, accumulation, SamplingStrategy.RANDOM, 1)
                        .totalSteps(epochs, max))
                .isEqualTo(expected);
    }

    @Test
    void everyEpochHasItsOwnOrderAndHoldsEverySampleOnce() {
        Batcher batcher = new Batcher(numbered(25), 3, 2, SamplingStrategy.RANDOM, 42);
        List<List<Integer>> epochs = new ArrayList<>();
        for (int epoch = 0; epoch < 3; epoch++) {
            List<Integer> seen = new ArrayList<>();
            for (int i = 0; i < batcher.stepsPerEpoch(); i++) {
                firstIds(batcher.window(epoch * batcher.stepsPerEpoch() + i)).forEach(seen::addAll);
            }
            assertThat(seen)
                    .containsExactlyInAnyOrderElementsOf(
                            IntStream.range(0, 25).boxed().toList());
            epochs.add(seen);
        }
        assertThat(epochs).doesNotHaveDuplicates();
        assertThat(epochs.get(1))
                .containsExactlyElementsOf(Arrays.stream(new CounterRandom(42, (1L << 48) + 1).permutation(25))
                        .boxed()
                        .toList());
    }

    @Test
    void aRunCanBeginAtAnyStep() {
        Batcher straight = new Batcher(numbered(25), 3, 2, SamplingStrategy.RANDOM, 42);
        List<List<List<Integer>>> all = IntStream.range(0, 15)
                .mapToObj(step -> firstIds(straight.window(step)))
                .toList();
        for (int step = 14; step >= 0; step--) {
            Batcher resumed = new Batcher(numbered(25), 3, 2, SamplingStrategy.RANDOM, 42);
            assertThat(firstIds(resumed.window(step))).isEqualTo(all.get(step));
        }
        assertThat(firstIds(new Batcher(numbered(25), 3, 2, SamplingStrategy.RANDOM, 43).window(0)))
                .isNotEqualTo(all.getFirst());
    }

    @ParameterizedTest
    @CsvSource({"SEQUENTIAL, 1", "SEQUENTIAL, 3", "SEQUENTIAL, 20", "RANDOM, 1", "RANDOM, 4", "RANDOM, 13"})
    void thePeakIsExactlyTheLargestOfTheRun(SamplingStrategy strategy, int steps) {
        List<Sample> samples = uneven();
        Batcher batcher = new Batcher(samples, 3, 2, strategy, 9);
        int tokens = 0;
        int targets = 0;
        int longest = 0;
        int sequences = 0;
        for (int step = 0; step < steps; step++) {
            for (Batch batch : batcher.window(step).microBatches()) {
                tokens = Math.max(tokens, batch.tokens());
                targets = Math.max(targets, batch.targets());
                longest = Math.max(longest, batch.longestSequence());
                sequences = Math.max(sequences, batch.sequences());
            }
        }
        assertThat(batcher.peak(steps)).isEqualTo(new Peak(tokens, targets, longest, sequences));
    }

    @Test
    void thePeakOfAVeryLongRunIsTheWorstCase() {
        Batcher batcher = new Batcher(uneven(), 3, 2, SamplingStrategy.RANDOM, 9);
        Peak worst = batcher.peak(1000, 10);
        assertThat(worst).isEqualTo(new Peak(100 + 50 + 40, 99 + 49 + 39, 100, 3));
        assertThat(batcher.peak(1000).tokens()).isLessThanOrEqualTo(worst.tokens());
        assertThat(batcher.peak(Integer.MAX_VALUE)).isEqualTo(worst);
    }

    @Test
    void aPlannedBatchIsAsLargeAsThePeakInEveryRespect() {
        for (Peak peak : List.of(
                new Peak(10, 9, 10, 1),
                new Peak(12, 5, 5, 3),
                new Peak(100, 100, 100, 4),
                new Peak(7, 0, 3, 3),
                new Peak(1, 0, 1, 1))) {
            Batch batch = peak.batch();
            assertThat(batch.tokens())
                    .isGreaterThanOrEqualTo(peak.tokens())
                    .isLessThan(peak.tokens() + peak.sequences());
            assertThat(batch.targets()).isEqualTo(peak.targets());
            assertThat(Arrays.stream(batch.labels()).filter(label -> label != Sample.IGNORED))
                    .hasSize(peak.targets());
            assertThat(batch.longestSequence()).isEqualTo(peak.longestSequence());
            assertThat(batch.sequences()).isEqualTo(peak.sequences());
            assertThat(batch.sequenceOffsets()[batch.sequences()]).isEqualTo(batch.tokens());
        }
    }

    @Test
    void hugeSettingsDoNotOverflow() {
        Batcher batcher = new Batcher(numbered(3), Integer.MAX_VALUE, Integer.MAX_VALUE, SamplingStrategy.RANDOM, 0);
        assertThat(batcher.stepsPerEpoch()).isEqualTo(1);
        assertThat(batcher.window(Integer.MAX_VALUE).microBatches()).hasSize(1);
        assertThatThrownBy(() -> batcher.totalSteps(1e300, -1)).isInstanceOf(ArithmeticException.class);
        assertThatThrownBy(() -> batcher.totalSteps(Double.NaN, -1)).isInstanceOf(ArithmeticException.class);
    }

    @Test
    void impossibleSettingsAreRejected() {
        assertThatThrownBy(() -> new Batcher(List.of(), 1, 1, SamplingStrategy.RANDOM, 0))
                .isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> new Batcher(numbered(1), 0, 1, SamplingStrategy.RANDOM, 0))
                .isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> sample(new int[2], new int[1])).isInstanceOf(IllegalArgumentException.class);
    }

    /** Sample i has i + 1 tokens, all of them i. */
    private static List<Sample> numbered(int count) {
        return IntStream.range(0, count)
                .mapToObj(i -> {
                    int[] ids = new int[i + 1];
                    Arrays.fill(ids, i);
                    return sample(ids, ids);
                })
                .toList();
    }

    private static List<Sample> uneven() {
        return IntStream.of(1, 40, 3, 3, 50, 100, 2, 2, 2, 7, 30, 1, 1)
                .mapToObj(length -> sample(new int[length], new int[length]))
                .toList();
    }

    private static List<List<Integer>> firstIds(Window window) {
        return window.microBatches().stream()
                .map(batch -> Arrays.stream(batch.sequenceOffsets())
                        .limit(batch.sequences())
                        .map(offset -> batch.ids()[offset])
                        .boxed()
                        .toList())
                .toList();
    }

    private static Sample sample(int[] ids, int[] labels) {
        return new Sample(ids, labels, new Place.Line(Path.of("test.jsonl"), 1));
    }
}
