package dev.loranative.nn;

import static org.assertj.core.api.Assertions.assertThat;

import dev.loranative.tensor.Activation;
import dev.loranative.tensor.Elementwise;
import dev.loranative.tensor.Slab;
import dev.loranative.tensor.Tensor;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

class DecoderLayerTest {

    private static final int HIDDEN = 12;
    private static final int INNER = 15;
    private static final int HEAD_DIM = 6;
    private static final int TOKENS = 8;

    private final Workbench bench = new Workbench();
    private final Rope rope = new Rope(RopeParameters.unscaled(10_000), HEAD_DIM, 64);
    private PackedTokens tokens;

    @BeforeEach
    void prepare() {
        rope.reserve(bench.device(), 16);
        tokens = bench.tokens(bench.slab(), 7, 5, 3);
    }

    @AfterEach
    void close() {
        bench.close();
    }

    @Test
    void adaptersEverywhere() {
        DecoderLayer layer = layer(attention(true), mlp(true));

        check(layer);

        assertThat(layer.isTrainable()).isTrue();
    }

    @Test
    void adaptersInAttentionAlone() {
        check(layer(attention(true), mlp(false)));
    }

    @Test
    void adaptersInTheFeedForwardAlone() {
        check(layer(attention(false), mlp(true)));
    }

    @Test
    void aFrozenLayerPassesTheGradientOn() {
        DecoderLayer layer = layer(attention(false), mlp(false));

        check(layer);

        assertThat(layer.isTrainable()).isFalse();
    }

    /** Layers get the residual stream as a pair; only its sum counts. */
    @Test
    void seesTheSumOfItsInputs() {
        DecoderLayer layer = layer(attention(true), mlp(true));
        Tensor x = bench.normal(1, TOKENS, HIDDEN);
        Tensor residual = bench.normal(1, TOKENS, HIDDEN);
        Tensor sum = bench.bench().unwritten(TOKENS, HIDDEN);
        Tensor together = bench.bench().floats(bench.read(x), TOKENS, HIDDEN);
        bench.ops().elementwise().add(residual, together);
        Pass pass = Pass.training(bench.ops(), bench.slab(), tokens, null, null);

        // The branch takes the residual's place, as in CausalLm.
        layer.forward(pass, x, residual, sum, null, residual);
        float[] middle = bench.read(layer.middle());
        Tensor branch = bench.bench().unwritten(TOKENS, HIDDEN);
        layer.forward(pass, together, null, together, null, branch);

        assertThat(bench.read(sum)).isEqualTo(bench.read(together));
        assertThat(middle).isEqualTo(bench.read(layer.middle()));
        assertThat(bench.read(residual)).isEqualTo(bench.read(branch));
    }

    private void check(DecoderLayer layer) {
        Slab slab = bench.slab();
        Elementwise elementwise = bench.ops().elementwise();
        new ModuleCheck(
                        bench,
                        bench.normal(1, TOKENS, HIDDEN),
                        HIDDEN,
                        (pass, x, y) -> {
                            long start = slab.mark();
                            Tensor middle = slab.floats(TOKENS, HIDDEN);
                            Tensor branch = slab.floats(TOKENS, HIDDEN);
                            layer.forward(pass, x, null, x, middle, branch);
                            elementwise.copy(middle, y);
                            elementwise.add(branch, y);
                            if (!pass.saving()) {
                                slab.release(start);
                            }
                        },
                        (pass, dy, x, dx, accumulate) -> {
                            layer.backward(pass, dy, dx != null);
                            if (dx != null) {
                                elementwise.axpby(1, dy, accumulate ? 1 : 0, dx);
                            }
                        })
                .passes(() -> Pass.training(bench.ops(), slab, tokens, null, null))
                .run();
    }

    private DecoderLayer layer(Attention attention, FeedForward feedForward) {
        return new DecoderLayer(bench.norm(HIDDEN), attention, bench.norm(HIDDEN), feedForward);
    }

    private LinearSlot slot(boolean adapted, String name, int in, int out) {
        return adapted ? bench.adaptedSlot(name, in, out) : bench.slot(in, out);
    }

    private Attention attention(boolean adapted) {
        return new Attention(
                new Attention.Geometry(2, 1, HEAD_DIM, 0, 0),
                0,
                rope,
                slot(adapted, "query", HIDDEN, 2 * HEAD_DIM),
                slot(adapted, "key", HIDDEN, HEAD_DIM),
                slot(adapted, "value", HIDDEN, HEAD_DIM),
                slot(adapted, "output", 2 * HEAD_DIM, HIDDEN),
                null,
                null);
    }

    private GatedMlp mlp(boolean adapted) {
        return new GatedMlp(
                Activation.SILU,
                slot(adapted, "gate", HIDDEN, INNER),
                slot(adapted, "up", HIDDEN, INNER),
                slot(adapted, "down", INNER, HIDDEN));
    }
}
