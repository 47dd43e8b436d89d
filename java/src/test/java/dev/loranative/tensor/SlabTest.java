package dev.loranative.tensor;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.loranative.device.CpuDevice;
import dev.loranative.device.Device;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class SlabTest {

    private final Device device = CpuDevice.open(1);

    @AfterEach
    void close() {
        device.close();
    }

    @Test
    void tensorsLieBehindEachOtherOnAlignedAddresses() {
        Slab slab = Slab.allocate(device, 1024);

        Tensor first = slab.floats(3, 5);
        Tensor second = slab.allocate(DType.F64, 1);

        assertThat(first.address() % 64).isZero();
        assertThat(second.address()).isEqualTo(first.address() + 64);
        assertThat(second.dtype()).isEqualTo(DType.F64);
        assertThat(slab.peakBytes()).isEqualTo(128);
    }

    @Test
    void releaseGivesTheMemoryToTheNext() {
        Slab slab = Slab.allocate(device, 256);
        slab.floats(16);
        long mark = slab.mark();
        Tensor temporary = slab.floats(16);
        slab.floats(16);

        slab.release(mark);

        assertThat(slab.floats(2).address()).isEqualTo(temporary.address());
        assertThat(slab.peakBytes()).isEqualTo(192);
        assertThat(slab.capacityBytes()).isEqualTo(256);
    }

    @Test
    void refusesWhatWasNotPlanned() {
        Slab slab = Slab.allocate(device, 128);
        slab.floats(16);

        assertThatThrownBy(() -> slab.floats(17))
                .isInstanceOf(IllegalStateException.class)
                .hasMessage("the step needs 192 bytes of activations, planned were 128");
        assertThat(slab.floats(16).size()).as("nothing was lost by the refusal").isEqualTo(16);
    }

    @Test
    void refusesNegativeShapesAndForeignMarks() {
        Slab slab = Slab.allocate(device, 128);

        assertThatThrownBy(() -> slab.floats(-2, 3))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("[-2, 3]");
        assertThatThrownBy(() -> slab.floats(-2, -3)).hasMessageContaining("[-2, -3]");
        assertThat(slab.mark()).isZero();
        assertThatThrownBy(() -> slab.release(64))
                .isInstanceOf(IllegalStateException.class)
                .hasMessageContaining("64");
        assertThatThrownBy(() -> slab.release(-64)).isInstanceOf(IllegalStateException.class);
    }

    @Test
    void aPlanningSlabCountsWithoutMemory() {
        Slab slab = Slab.planning();
        long before = device.allocatedBytes();

        slab.floats(1L << 20, 1L << 16);
        long mark = slab.mark();
        slab.floats(100);
        slab.release(mark);

        assertThat(slab.isPlanning()).isTrue();
        assertThat(slab.peakBytes()).isEqualTo((1L << 38) + 448);
        assertThat(slab.capacityBytes()).isZero();
        assertThat(device.allocatedBytes()).isEqualTo(before);
    }
}
