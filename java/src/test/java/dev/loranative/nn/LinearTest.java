package dev.loranative.nn;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.loranative.tensor.Products;
import dev.loranative.tensor.Tensor;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class LinearTest {

    private static final int ROWS = 9;
    private static final int IN = 21;
    private static final int OUT = 13;

    private final Workbench bench = new Workbench();

    @AfterEach
    void close() {
        bench.close();
    }

    @Test
    void denseLayer() {
        DenseLinear linear = bench.biased(IN, OUT);

        check(linear, null);

        assertThat(linear.isTrainable()).isFalse();
        assertThat(linear.in()).isEqualTo(IN);
        assertThat(linear.out()).isEqualTo(OUT);
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 4, 17})
    void adapter(int rank) {
        LoraLinear linear = bench.adapted("linear", bench.biased(IN, OUT), rank, 0);

        check(linear, null);

        assertThat(linear.isTrainable()).isTrue();
        assertThat(linear.in()).isEqualTo(IN);
        assertThat(linear.out()).isEqualTo(OUT);
    }

    @Test
    void adapterWithDropout() {
        check(bench.adapted("linear", bench.dense(IN, OUT), 4, 0.4f), Workbench.dropoutStreams());
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void adapterWithBias(boolean base) {
        DenseLinear linear = base ? bench.biased(IN, OUT) : bench.dense(IN, OUT);

        check(bench.adaptedWithBias("linear", linear, 4, 0), null);
    }

    @ParameterizedTest
    @ValueSource(floats = {0, 0.4f})
    void adapterBesideAFrozenUpdate(float dropout) {
        DropoutStreams streams = dropout == 0 ? null : Workbench.dropoutStreams();

        check(bench.adaptedBesideUpdate("linear", bench.biased(IN, OUT), 4, dropout), streams);
    }

    /** What was taken out of the base and what the adapter begins with are the same: the base is there again. */
    @Test
    void aSubtractedStartLeavesTheBase() {
        DenseLinear base = bench.biased(IN, OUT);
        Products.Lora lora = bench.adapted("linear", base, 4, 0).lora();
        Tensor negative = bench.bench().unwritten(OUT, 4);
        bench.ops().elementwise().axpby(-lora.scale(), lora.b(), 0, negative);
        LoraLinear linear =
                new LoraLinear(base, lora, new AdapterDropout(0, 1), null, new FrozenUpdate(lora.a(), negative));
        Tensor x = bench.normal(1, ROWS, IN);

        float[] expected = output(base, x, null);
        float[] actual = output(linear, x, null);

        for (int i = 0; i < expected.length; i++) {
            assertThat(actual[i]).isCloseTo(expected[i], within(2e-6f));
        }
    }

    /** The bias of B is scaled as the rest of the update is. */
    @Test
    void theBiasOfAnAdapterIsScaled() {
        DenseLinear base = bench.biased(IN, OUT);
        LoraLinear linear = bench.adaptedWithBias("linear", base, 4, 0);
        Tensor bias = bench.parameters().getLast().value();
        Tensor x = bench.normal(1, ROWS, IN);
        float[] with = output(linear, x, null);
        float[] values = bench.read(bias);
        bench.ops().clear(bias);

        float[] without = output(linear, x, null);

        for (int i = 0; i < with.length; i++) {
            assertThat((double) with[i] - without[i]).isCloseTo(0.75 * values[i % OUT], within(1e-5));
        }
    }

    @Test
    void dropoutChangesTheOutputAndOnlyWithStreams() {
        LoraLinear linear = bench.adapted("linear", bench.dense(IN, OUT), 4, 0.4f);
        Tensor x = bench.normal(1, ROWS, IN);

        float[] plain = output(linear, x, null);
        float[] dropped = output(linear, x, new DropoutStreams(7, 3));

        assertThat(output(linear, x, null)).isEqualTo(plain);
        assertThat(output(linear, x, new DropoutStreams(7, 3))).isEqualTo(dropped);
        assertThat(dropped).isNotEqualTo(plain);
        assertThat(output(linear, x, new DropoutStreams(7, 4))).isNotEqualTo(dropped);
        assertThat(output(linear, x, new DropoutStreams(8, 3))).isNotEqualTo(dropped);
    }

    /** Dropout in the adapter's branch alone: the base sees x itself. */
    @Test
    void dropoutOfAlmostEverythingLeavesTheBase() {
        DenseLinear base = bench.dense(IN, OUT);
        LoraLinear linear = bench.adapted("linear", base, 4, 0.999999f);
        Tensor x = bench.normal(1, ROWS, IN);

        assertThat(output(linear, x, new DropoutStreams(7, 3))).isEqualTo(output(base, x, null));
    }

    @Test
    void aFrozenAdapterHasNothingToTrain() {
        LoraLinear trainable = bench.adapted("linear", bench.dense(IN, OUT), 4, 0);
        Products.Lora lora = trainable.lora();
        bench.parameters().clear();
        LoraLinear frozen = new LoraLinear(
                bench.dense(IN, OUT),
                new Products.Lora(lora.a(), lora.b(), null, null, lora.scale()),
                new AdapterDropout(0, 1));

        check(frozen, null);

        assertThat(frozen.isTrainable()).isFalse();
    }

    private float[] output(Linear linear, Tensor x, DropoutStreams streams) {
        Tensor y = bench.bench().unwritten(ROWS, OUT);
        long start = bench.slab().mark();
        linear.forward(Pass.training(bench.ops(), bench.slab(), Workbench.NO_TOKENS, streams, null), x, y);
        bench.slab().release(start);
        return bench.read(y);
    }

    private void check(Linear linear, DropoutStreams streams) {
        new ModuleCheck(bench, bench.normal(1, ROWS, IN), OUT, linear::forward, linear::backward)
                .passes(() -> Pass.training(bench.ops(), bench.slab(), Workbench.NO_TOKENS, streams, null))
                .run();
    }
}
