package dev.loranative.nn;

import static org.assertj.core.api.Assertions.assertThat;

import dev.loranative.tensor.Slab;
import java.util.HashSet;
import java.util.Set;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** What a batch brings to the device, and what names its random streams. */
class PackedInputTest {

    private final Workbench bench = new Workbench();

    @AfterEach
    void close() {
        bench.close();
    }

    @Test
    void labelsNameTheRowsThatCount() {
        Labels labels = Labels.upload(bench.ops(), bench.slab(), new int[] {-100, 4, 0, -100, 9});

        assertThat(labels.count()).isEqualTo(3);
        assertThat(labels.rows().toInts(bench.device())).containsExactly(1, 2, 4);
        assertThat(labels.ids().toInts(bench.device())).containsExactly(4, 0, 9);
    }

    @Test
    void tokensLieInTheSlab() {
        long before = bench.slab().mark();

        PackedTokens tokens = PackedTokens.upload(
                bench.ops(), bench.slab(), new int[] {5, 6, 7}, new int[] {0, 1, 0}, new int[] {0, 2, 3});

        assertThat(tokens.count()).isEqualTo(3);
        assertThat(tokens.ids().toInts(bench.device())).containsExactly(5, 6, 7);
        assertThat(tokens.positions().toInts(bench.device())).containsExactly(0, 1, 0);
        assertThat(tokens.sequenceOffsets().toInts(bench.device())).containsExactly(0, 2, 3);
        assertThat(bench.slab().mark()).isGreaterThan(before);
    }

    @Test
    void planningTakesTheSameSpaceWithoutMemory() {
        Slab planned = Slab.planning();
        long before = bench.slab().mark();
        bench.ops().plan(() -> Labels.upload(bench.ops(), planned, new int[] {1, -100, 2}));

        Labels.upload(bench.ops(), bench.slab(), new int[] {1, -100, 2});

        assertThat(bench.slab().mark() - before).isEqualTo(planned.mark());
    }

    @Test
    void everyModuleAndMicroBatchHasAStreamOfItsOwn() {
        Set<Long> streams = new HashSet<>();
        int[] modules = {0, 1, 2, 255, 256, (1 << 24) - 1};
        long[] microBatches = {0, 1, 2, 1 << 24, 1L << 39};
        for (long microBatch : microBatches) {
            for (int module : modules) {
                streams.add(new DropoutStreams(1, microBatch).stream(module));
            }
        }

        assertThat(streams).hasSize(modules.length * microBatches.length);
    }
}
