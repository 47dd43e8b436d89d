package dev.loranative.tensor;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.loranative.device.Buffer;
import dev.loranative.device.CpuDevice;
import dev.loranative.device.Device;
import java.lang.foreign.MemorySegment;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class TensorTest {

    private final Device device = CpuDevice.open(1);

    @AfterEach
    void close() {
        device.close();
    }

    @Test
    void newMemoryIsZero() {
        assertThat(Tensor.allocate(device, DType.F32, 3, 5).toFloats(device))
                .hasSize(15)
                .containsOnly(0);
    }

    @Test
    void viewsShareMemory() {
        Tensor whole = Tensor.allocate(device, DType.F32, 4, 3);
        whole.copyFrom(device, new float[] {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11});

        assertThat(whole.rows(1, 2).shape()).containsExactly(2, 3);
        assertThat(whole.rows(1, 2).toFloats(device)).containsExactly(3, 4, 5, 6, 7, 8);
        assertThat(whole.rows(1, 2).rows(1, 1).toFloats(device)).containsExactly(6, 7, 8);
        assertThat(whole.range(5, 3).toFloats(device)).containsExactly(5, 6, 7);
        assertThat(whole.rows(2, 2).range(1, 2).toFloats(device)).containsExactly(7, 8);
        assertThat(whole.reshape(2, 6).rows(1, 1).toFloats(device)).containsExactly(6, 7, 8, 9, 10, 11);
        assertThat(whole.rows(4, 0).size()).isZero();
        assertThat(whole.range(12, 0).size()).isZero();

        whole.rows(3, 1).clear(device);

        assertThat(whole.toFloats(device)).endsWith(8, 0, 0, 0);
        assertThat(whole.rows(1, 1).address()).isEqualTo(whole.address() + 12);
    }

    @Test
    void viewsStayInside() {
        // The buffer goes on behind the tensor: the tensor's own bounds count.
        Tensor tensor = Tensor.allocate(device, DType.F32, 8, 3).rows(0, 4);

        assertThatThrownBy(() -> tensor.rows(3, 2))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessage("rows 3 + 2 are outside F32[4, 3]");
        assertThatThrownBy(() -> tensor.rows(-1, 2)).hasMessage("rows -1 + 2 are outside F32[4, 3]");
        assertThatThrownBy(() -> tensor.rows(1, -1)).hasMessage("rows 1 + -1 are outside F32[4, 3]");
        assertThatThrownBy(() -> tensor.range(10, 3)).hasMessage("elements 10 + 3 are outside F32[4, 3]");
        assertThatThrownBy(() -> tensor.range(-1, 3)).hasMessage("elements -1 + 3 are outside F32[4, 3]");
        assertThatThrownBy(() -> tensor.reshape(5, 3)).hasMessage("F32[4, 3] has 12 elements, not 15");
        assertThatThrownBy(() -> tensor.reshape(-4, -3)).hasMessageContaining("negative dimension in [-4, -3]");
    }

    @Test
    void doesNotReachBeyondItsBuffer() {
        Buffer buffer = device.allocate(64);

        assertThatThrownBy(() -> new Tensor(buffer, 32, DType.F64, 5))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessage("tensor F64[5] at byte 32 does not fit a buffer of 64 bytes");
        assertThatThrownBy(() -> new Tensor(buffer, -4, DType.F32, 2)).hasMessageContaining("at byte -4");
    }

    @Test
    void copiesOnlyWhatMatches() {
        Tensor floats = Tensor.allocate(device, DType.F32, 2, 2);

        assertThatThrownBy(() -> floats.copyFrom(device, new float[3]))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessage("3 F32 values do not match F32[2, 2]");
        assertThatThrownBy(() -> floats.copyFrom(device, new int[4])).hasMessage("4 I32 values do not match F32[2, 2]");
        assertThatThrownBy(() -> floats.copyFrom(device, MemorySegment.ofArray(new byte[15])))
                .hasMessage("15 bytes cannot fill F32[2, 2]");
        assertThatThrownBy(() -> floats.toDoubles(device)).hasMessage("4 F64 values do not match F32[2, 2]");
        assertThatThrownBy(() -> floats.toInts(device)).hasMessageContaining("I32");
    }

    @Test
    void addressTablesHoldZeroForNothing() {
        Tensor one = Tensor.allocate(device, DType.F32, 4);

        Tensor table = Tensor.addresses(device, new Tensor[] {one, null, one.range(2, 1)});

        assertThat(table.toLongs(device)).containsExactly(one.address(), 0, one.address() + 8);
    }

    @Test
    void isNotUsedAfterItsDeviceIsClosed() {
        Tensor tensor = Tensor.allocate(device, DType.F32, 4);
        device.close();

        assertThatThrownBy(tensor::address)
                .isInstanceOf(IllegalStateException.class)
                .hasMessage("buffer used after its device memory was released");
        assertThatThrownBy(() -> tensor.toFloats(device)).isInstanceOf(IllegalStateException.class);
        assertThatThrownBy(() -> tensor.copyFrom(device, new float[4])).isInstanceOf(IllegalStateException.class);
        assertThatThrownBy(() -> tensor.clear(device)).isInstanceOf(IllegalStateException.class);
    }

    @Test
    void theFirstTypesAreThoseOfTheKernels() {
        assertThat(DType.F16.code()).isEqualTo(2);
        assertThatThrownBy(DType.I32::code)
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessage("I32 is not a type that kernels compute with");
    }
}
