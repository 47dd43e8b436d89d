package dev.loranative.nn;

import static org.assertj.core.api.Assertions.assertThat;

import dev.loranative.tensor.Tensor;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class AttentionTest {

    private static final int HIDDEN = 10;
    private static final int HEADS = 4;
    private static final int KEY_HEADS = 2;
    private static final int HEAD_DIM = 6;
    private static final int[] LENGTHS = {5, 1, 3};
    private static final int TOKENS = 9;

    private final Workbench bench = new Workbench();
    private final Rope rope = new Rope(RopeParameters.unscaled(10_000), HEAD_DIM, 64);
    private PackedTokens tokens;

    @BeforeEach
    void prepare() {
        rope.reserve(bench.device(), 16);
        tokens = bench.tokens(bench.slab(), 7, LENGTHS);
    }

    @AfterEach
    void close() {
        bench.close();
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 2, 3})
    void groupedQueriesInAWindow(int window) {
        check(new Attention.Geometry(HEADS, KEY_HEADS, HEAD_DIM, window, 0), null, null);
    }

    @Test
    void oneKeyHeadPerQueryHead() {
        check(new Attention.Geometry(3, 3, HEAD_DIM, 0, 0), null, null);
    }

    @Test
    void normsOfHeads() {
        check(geometry(0), bench.norm(HEAD_DIM), bench.norm(HEAD_DIM));
    }

    @Test
    void normsOfWholeProjections() {
        check(geometry(0), bench.norm(HEADS * HEAD_DIM), bench.norm(KEY_HEADS * HEAD_DIM));
    }

    /** The clamp has corners: a small step meets few of them. */
    @Test
    void clipped() {
        Attention attention = attention(geometry(0.9f), null, null);

        moduleCheck(attention, bench.normal(1, TOKENS, HIDDEN))
                .accuracy(5e-4, 1e-2)
                .run();
    }

    @Test
    void clippedAfterNorms() {
        Attention attention = attention(geometry(0.9f), bench.norm(HEADS * HEAD_DIM), bench.norm(KEY_HEADS * HEAD_DIM));

        moduleCheck(attention, bench.normal(1, TOKENS, HIDDEN))
                .accuracy(5e-4, 1e-2)
                .run();
    }

    /** The output of a token depends on tokens before it in its own sequence, and on no other. */
    @Test
    void looksBackInItsSequenceOnly() {
        Attention attention = attention(geometry(0), null, null);
        float[] x = bench.bench().normal(TOKENS * HIDDEN);
        float[] before = output(attention, x);
        x[2 * HIDDEN] += 1;
        float[] after = output(attention, x);

        for (int token = 0; token < TOKENS; token++) {
            boolean sees = token >= 2 && token < 5;
            for (int i = token * HIDDEN; i < (token + 1) * HIDDEN; i++) {
                if (sees) {
                    assertThat(after[i]).as("token " + token).isNotEqualTo(before[i]);
                } else {
                    assertThat(after[i]).as("token " + token).isEqualTo(before[i]);
                }
            }
        }
    }

    @Test
    void doesNotSeeBehindItsWindow() {
        Attention attention = attention(new Attention.Geometry(HEADS, KEY_HEADS, HEAD_DIM, 2, 0), null, null);
        float[] x = bench.bench().normal(TOKENS * HIDDEN);
        float[] before = output(attention, x);
        x[0] += 1;
        float[] after = output(attention, x);

        assertThat(after[HIDDEN]).isNotEqualTo(before[HIDDEN]);
        for (int i = 2 * HIDDEN; i < after.length; i++) {
            assertThat(after[i]).as("element " + i).isEqualTo(before[i]);
        }
    }

    @Test
    void knowsWhetherItTrains() {
        Attention frozen = new Attention(
                geometry(0),
                0,
                rope,
                bench.slot(HIDDEN, HEADS * HEAD_DIM),
                bench.slot(HIDDEN, KEY_HEADS * HEAD_DIM),
                bench.slot(HIDDEN, KEY_HEADS * HEAD_DIM),
                bench.slot(HEADS * HEAD_DIM, HIDDEN),
                null,
                null);

        assertThat(frozen.isTrainable()).isFalse();
        assertThat(attention(geometry(0), null, null).isTrainable()).isTrue();
    }

    private static Attention.Geometry geometry(float clip) {
        return new Attention.Geometry(HEADS, KEY_HEADS, HEAD_DIM, 0, clip);
    }

    private float[] output(Attention attention, float[] x) {
        Tensor y = bench.bench().unwritten(TOKENS, HIDDEN);
        attention.forward(
                Pass.evaluation(bench.ops(), bench.slab(), tokens),
                bench.bench().floats(x, TOKENS, HIDDEN),
                y);
        return bench.read(y);
    }

    private void check(Attention.Geometry geometry, RmsNorm queryNorm, RmsNorm keyNorm) {
        Attention attention = attention(geometry, queryNorm, keyNorm);
        moduleCheck(attention, bench.normal(1, TOKENS, HIDDEN)).run();
    }

    private ModuleCheck moduleCheck(Attention attention, Tensor x) {
        return new ModuleCheck(
                        bench,
                        x,
                        HIDDEN,
                        attention::forward,
                        (pass, dy, input, dx, accumulate) -> attention.backward(pass, dy, input, dx))
                .passes(() -> Pass.training(bench.ops(), bench.slab(), tokens, null, null))
                .withoutAccumulation();
    }

    private Attention attention(Attention.Geometry geometry, RmsNorm queryNorm, RmsNorm keyNorm) {
        int queryWidth = geometry.heads() * geometry.headDim();
        int keyWidth = geometry.keyHeads() * geometry.headDim();
        return new Attention(
                geometry,
                0,
                rope,
                bench.adaptedSlot("query", HIDDEN, queryWidth),
                new LinearSlot(bench.adapted("key", bench.biased(HIDDEN, keyWidth), 2, 0)),
                bench.adaptedSlot("value", HIDDEN, keyWidth),
                bench.adaptedSlot("output", queryWidth, HIDDEN),
                queryNorm,
                keyNorm);
    }
}
