package dev.loranative.nn;

import static org.assertj.core.api.Assertions.assertThat;

import dev.loranative.tensor.Tensor;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class GroupedLinearTest {

    private static final int IN = 11;
    private static final int OUT = 7;

    /** Expert 1 has no rows, expert 3 no adapter. */
    private static final int[] OFFSETS = {0, 3, 3, 9, 11, 16};

    private final Workbench bench = new Workbench();
    private final Tensor offsets = bench.bench().ints(OFFSETS, OFFSETS.length);

    @AfterEach
    void close() {
        bench.close();
    }

    @Test
    void withoutAdapters() {
        GroupedLinear linear = bench.grouped("experts", IN, OUT, 0, 0, 0, 0, 0, 0);

        check(linear, null);

        assertThat(linear.isTrainable()).isFalse();
    }

    @Test
    void adaptersOfDifferingRanks() {
        GroupedLinear linear = bench.grouped("experts", IN, OUT, 0, 4, 2, 1, 0, 5);
        List<Parameter> idle = takeIdle();

        check(linear, null);

        assertThat(linear.isTrainable()).isTrue();
        idle.forEach(parameter -> assertThat(bench.read(parameter.gradient()))
                .as(parameter.name())
                .containsOnly(0));
    }

    @Test
    void adaptersWithDropout() {
        GroupedLinear linear = bench.grouped("experts", IN, OUT, 0.3f, 4, 2, 1, 0, 5);
        takeIdle();

        check(linear, Workbench.dropoutStreams());
    }

    @ParameterizedTest
    @ValueSource(floats = {0, 0.3f})
    void adaptersBesideFrozenUpdates(float dropout) {
        GroupedLinear linear = bench.grouped("experts", IN, OUT, dropout, 4, 2, 1, 0, 5);
        linear.addToBase(bench.frozenUpdates(IN, OUT, 3, 5));
        takeIdle();

        check(linear, dropout == 0 ? null : Workbench.dropoutStreams());
    }

    /** The adapter of the expert without rows: its gradient must stay as it is. */
    private List<Parameter> takeIdle() {
        List<Parameter> idle = bench.parameters().stream()
                .filter(parameter -> parameter.name().contains(".1."))
                .toList();
        assertThat(idle).hasSize(2);
        bench.parameters().removeAll(idle);
        return idle;
    }

    private void check(GroupedLinear linear, DropoutStreams streams) {
        new ModuleCheck(
                        bench,
                        bench.normal(1, OFFSETS[OFFSETS.length - 1], IN),
                        OUT,
                        (pass, x, y) -> linear.forward(pass, x, offsets, y),
                        (pass, dy, x, dx, accumulate) -> linear.backward(pass, dy, x, offsets, dx, accumulate))
                .passes(() -> Pass.training(bench.ops(), bench.slab(), Workbench.NO_TOKENS, streams, null))
                .run();
    }
}
