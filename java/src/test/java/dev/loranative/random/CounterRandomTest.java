package dev.loranative.random;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Arrays;
import java.util.HashSet;
import java.util.Set;
import java.util.stream.IntStream;
import java.util.stream.LongStream;
import org.junit.jupiter.api.Test;

class CounterRandomTest {

    /** Computed by an independent program from the specification; a change here changes every user's data order. */
    @Test
    void givesTheBitsOfItsSpecification() {
        assertThat(LongStream.range(0, 3).map(new CounterRandom(0, 0)::bits))
                .containsExactly(0x01D614F74E2A26C6L, 0x31ACE0C257119B01L, 0x6C80AEFC5541BA5FL);
        assertThat(LongStream.range(0, 3).map(new CounterRandom(42, -7)::bits))
                .containsExactly(0x3993B372A842CB9AL, 0x3A46F9B894DE93CEL, 0x1A5C34CEC7A0513EL);
        assertThat(new CounterRandom(42, 1).permutation(10)).containsExactly(4, 7, 2, 9, 3, 6, 5, 1, 0, 8);
    }

    @Test
    void uniformNumbersFillTheirIntervalEvenly() {
        CounterRandom random = new CounterRandom(7, 3);
        int[] counts = new int[16];
        double sum = 0;
        for (int i = 0; i < 160_000; i++) {
            double u = random.uniform(i);
            assertThat(u).isBetween(0.0, Math.nextDown(1.0));
            counts[(int) (u * 16)]++;
            sum += u;
        }
        assertThat(sum / 160_000).isBetween(0.497, 0.503);
        // 10,000 expected in each; five standard deviations are 484.
        assertThat(Arrays.stream(counts)).allSatisfy(count -> assertThat(count).isBetween(9_516, 10_484));
    }

    @Test
    void everyPermutationOfThreeComesUpEquallyOften() {
        int[] counts = new int[27];
        for (int stream = 0; stream < 60_000; stream++) {
            int[] order = new CounterRandom(1, stream).permutation(3);
            counts[order[0] * 9 + order[1] * 3 + order[2]]++;
        }
        assertThat(Arrays.stream(counts).filter(count -> count > 0).toArray())
                .hasSize(6)
                .satisfies(seen -> assertThat(Arrays.stream(seen))
                        .allSatisfy(count -> assertThat(count).isBetween(9_500, 10_500)));
    }

    @Test
    void seedsAndStreamsDiffer() {
        Set<Long> first = new HashSet<>();
        for (int seed = -10; seed <= 10; seed++) {
            for (int stream = -10; stream <= 10; stream++) {
                first.add(new CounterRandom(seed, stream).bits(0));
            }
        }
        assertThat(first).hasSize(21 * 21);
    }

    @Test
    void aPermutationHoldsEveryNumberOnce() {
        assertThat(new CounterRandom(5, 5).permutation(1000))
                .containsExactlyInAnyOrder(IntStream.range(0, 1000).toArray());
        assertThat(new CounterRandom(5, 5).permutation(0)).isEmpty();
    }
}
