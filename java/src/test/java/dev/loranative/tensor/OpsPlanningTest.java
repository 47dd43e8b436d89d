package dev.loranative.tensor;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.loranative.device.SimdTier;
import dev.loranative.ffi.NativeHeader;
import java.util.LinkedHashMap;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class OpsPlanningTest {

    private final Bench bench = new Bench(SimdTier.AUTO, 1);
    private final Ops ops = bench.ops();

    @AfterEach
    void close() {
        bench.close();
    }

    @Test
    void planningCallsNoKernel() {
        Tensor x = bench.floats(new float[] {1, 2, 3, 4}, 2, 2);
        Tensor y = bench.floats(new float[] {9, 9, 9, 9}, 2, 2);
        Tensor counts = bench.ints(new int[] {5}, 1);

        ops.plan(() -> {
            assertThat(ops.isPlanning()).isTrue();
            ops.products().linearForward(x, null, x, null, null, null, y);
            ops.elementwise().copy(x, y);
            ops.clear(y);
            ops.upload(new int[] {7}, counts);
            ops.upload(new float[] {7, 7, 7, 7}, y);
        });

        assertThat(ops.isPlanning()).isFalse();
        assertThat(bench.read(y)).containsOnly(9);
        assertThat(counts.toInts(bench.device())).containsExactly(5);
    }

    @Test
    void planningNotesTheScratchThatCallsWillNeed() {
        ops.plan(() -> product(Slab.planning(), 300));
        long planned = ops.scratchBytes();
        assertThat(planned).isPositive();

        ops.seal();
        long sealed = bench.device().allocatedBytes();
        Slab slab = Slab.allocate(bench.device(), 1 << 20);
        long ready = bench.device().allocatedBytes();
        product(slab, 300);
        product(slab, 7);

        assertThat(sealed).isEqualTo(planned);
        assertThat(bench.device().allocatedBytes()).isEqualTo(ready);
        assertThat(ops.scratchBytes()).isEqualTo(planned);
    }

    @Test
    void aSealedDeviceTakesNoMoreScratch() {
        ops.plan(() -> product(Slab.planning(), 7));
        ops.seal();
        long planned = ops.scratchBytes();
        Slab slab = Slab.allocate(bench.device(), 1 << 20);

        assertThatThrownBy(() -> product(slab, 300))
                .isInstanceOf(IllegalStateException.class)
                .hasMessageMatching("MATMUL needs \\d+ bytes of scratch, planned were " + planned);
    }

    @Test
    void anotherPlanOpensItAgain() {
        ops.plan(() -> product(Slab.planning(), 7));
        ops.seal();

        ops.plan(() -> product(Slab.planning(), 300));
        ops.seal();

        product(Slab.allocate(bench.device(), 1 << 20), 300);
    }

    /** A plan that is not sealed must not make later calls believe that its scratch is there. */
    @Test
    void callsAfterAPlanTakeTheirScratchThemselves() {
        ops.plan(() -> product(Slab.planning(), 300));

        product(Slab.allocate(bench.device(), 1 << 20), 300);
    }

    @Test
    void aFailedPlanEndsPlanning() {
        assertThatThrownBy(() -> ops.plan(() -> {
                    throw new IllegalStateException("stop");
                }))
                .hasMessage("stop");

        assertThat(ops.isPlanning()).isFalse();
    }

    @Test
    void planningChecksShapes() {
        Slab slab = Slab.planning();

        assertThatThrownBy(() -> ops.plan(() -> ops.products()
                        .linearForward(
                                slab.floats(2, 3), null, slab.floats(4, 5), null, null, null, slab.floats(2, 4))))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessage("weight is F32[4, 5], must be [4, 3]");
    }

    @Test
    void nothingRunsAfterTheDeviceIsClosed() {
        Tensor x = bench.floats(new float[] {1, 2, 3, 4}, 2, 2);
        Slab planned = Slab.planning();
        bench.close();

        assertThatThrownBy(() -> ops.elementwise().copy(x, x)).isInstanceOf(IllegalStateException.class);
        assertThatThrownBy(() -> ops.products().matmul(x, false, x, false, x, 1, 0))
                .isInstanceOf(IllegalStateException.class);
        assertThatThrownBy(() -> ops.plan(() -> product(planned, 3)))
                .isInstanceOf(IllegalStateException.class)
                .hasMessageContaining("closed");
    }

    /** A transposed product is packed, which takes scratch. */
    private void product(Slab slab, int size) {
        long mark = slab.mark();
        ops.products().matmul(slab.floats(size, 8), false, slab.floats(8, size), false, slab.floats(size, size), 1, 0);
        slab.release(mark);
    }

    @Test
    void opsAreNumberedAsInTheHeader() {
        Map<String, Integer> numbers = new LinkedHashMap<>();
        for (ScratchOp op : ScratchOp.values()) {
            String name = "LN_OP_" + op.name().replace("FORWARD", "FWD").replace("BACKWARD", "BWD");
            numbers.put(name, op.ordinal());
        }

        assertThat(numbers).isEqualTo(NativeHeader.read().enums().get("ln_op"));
    }
}
