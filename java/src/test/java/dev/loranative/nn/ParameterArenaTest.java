package dev.loranative.nn;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.loranative.device.CpuDevice;
import dev.loranative.device.Device;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
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
                .hasMessageStartingWith("second has 5 elements, ")
                .hasMessageEndingWith(" has room for 4");
    }

    @Test
    void groupsLieBehindEachOther() {
        ParameterGroup plain = new ParameterGroup(ParameterGroup.Rate.COMMON, true);
        ParameterGroup undecayed = new ParameterGroup(ParameterGroup.Rate.COMMON, false);
        ParameterGroup fast = new ParameterGroup(ParameterGroup.Rate.LORA_B, true);
        ParameterArena arena = new ParameterArena(
                device,
                name -> name.contains("bias") ? undecayed : name.contains("b") ? fast : plain,
                Map.of(fast, 2L, undecayed, 1L, plain, 4L),
                true);
        Parameter firstB = arena.add("b1", 1, 1);
        Parameter a = arena.add("a", 2, 2);
        Parameter bias = arena.add("bias", 1, 1);
        Parameter secondB = arena.add("b2", 1, 1);
        arena.values().copyFrom(device, new float[] {0, 1, 2, 3, 4, 5, 6});

        assertThat(a.value().toFloats(device)).containsExactly(0, 1, 2, 3);
        assertThat(bias.value().toFloats(device)).containsExactly(4);
        assertThat(firstB.value().toFloats(device)).containsExactly(5);
        assertThat(secondB.value().toFloats(device)).containsExactly(6);
        List<String> ranges = new ArrayList<>();
        arena.forEachGroup(
                (group, first, count) -> ranges.add(group.rate() + " " + group.decays() + " " + first + " " + count));
        assertThat(ranges).containsExactly("COMMON true 0 4", "COMMON false 4 1", "LORA_B true 5 2");
        assertThatThrownBy(() -> arena.add("b3", 1, 1)).isInstanceOf(IllegalArgumentException.class);
    }

    @Test
    void frozenParametersHaveNoGradients() {
        ParameterArena arena = new ParameterArena(device, 6, false);

        assertThat(arena.add("frozen", 2, 3).gradient()).isNull();
        assertThat(arena.gradients()).isNull();
    }
}
