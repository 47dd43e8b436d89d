package dev.loranative.nn;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.loranative.device.CpuDevice;
import dev.loranative.device.Device;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class ParameterArenaTest {

    private final Device device = CpuDevice.open(1);

    @AfterEach
    void close() {
        device.close();
    }

    @Test
    void parametersLieBehindEachOther() {
        ParameterArena arena = new ParameterArena(device, 10, true);
        Parameter first = arena.add("first", 2, 3);
        Parameter second = arena.add("second", 4, 1);
        arena.values().copyFrom(device, new float[] {0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
        arena.gradients().copyFrom(device, new float[] {9, 8, 7, 6, 5, 4, 3, 2, 1, 0});

        assertThat(first.value().shape()).containsExactly(2, 3);
        assertThat(first.value().toFloats(device)).containsExactly(0, 1, 2, 3, 4, 5);
        assertThat(second.value().toFloats(device)).containsExactly(6, 7, 8, 9);
        assertThat(second.gradient().toFloats(device)).containsExactly(3, 2, 1, 0);
        assertThat(arena.size()).isEqualTo(10);
        assertThat(arena.parameters()).containsExactly(first, second);
    }

    @Test
    void holdsNoMoreThanWasSaid() {
        ParameterArena arena = new ParameterArena(device, 10, true);
        arena.add("first", 2, 3);

        assertThatThrownBy(() -> arena.add("second", 5, 1))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessage("elements 6 + 5 are outside F32[10]");
    }

    @Test
    void frozenParametersHaveNoGradients() {
        ParameterArena arena = new ParameterArena(device, 6, false);

        assertThat(arena.add("frozen", 2, 3).gradient()).isNull();
        assertThat(arena.gradients()).isNull();
    }
}
