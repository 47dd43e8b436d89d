package dev.loranative.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.loranative.model.SmallLm.Extra;
import dev.loranative.model.SmallLm.Options;
import dev.loranative.model.SmallLm.Step;
import dev.loranative.nn.GradientCheck;
import dev.loranative.nn.KeyValueCache;
import dev.loranative.nn.Labels;
import dev.loranative.nn.PackedTokens;
import dev.loranative.nn.Parameter;
import dev.loranative.nn.Pass;
import dev.loranative.tensor.DType;
import dev.loranative.tensor.Slab;
import dev.loranative.tensor.Tensor;
import java.util.Arrays;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

class CausalLmTest {

    static Stream<Options> steps() {
        return Stream.of(
                Options.DEFAULT,
                Options.DEFAULT.withRouterLosses(),
                Options.DEFAULT.withDropout(0.2f).withRouterLosses().withAdaptedHead(),
                Options.DEFAULT.withFirstAdapted(1),
                Options.DEFAULT.withFirstAdapted(2).withRouterLosses(),
                Options.DEFAULT.withFirstAdapted(SmallLm.LAYERS).withAdaptedHead(),
                Options.DEFAULT.with(Extra.NORMS, Extra.FINAL_NORM, Extra.KEYS, Extra.TABLE),
                Options.DEFAULT.withFirstAdapted(1).with(Extra.NORMS, Extra.SHARED_EXPERTS),
                Options.DEFAULT.withDropout(0.2f).with(Extra.SHARED_EXPERTS, Extra.EMBEDDING_ADAPTER),
                Options.DEFAULT.withFirstAdapted(SmallLm.LAYERS).with(Extra.FINAL_NORM),
                Options.DEFAULT.withFirstAdapted(SmallLm.LAYERS).with(Extra.TABLE),
                Options.DEFAULT
                        .withFirstAdapted(SmallLm.LAYERS)
                        .withAdaptedHead()
                        .with(Extra.ROWS),
                Options.DEFAULT
                        .withFirstAdapted(SmallLm.LAYERS)
                        .withRouterLosses()
                        .with(Extra.EMBEDDING_ADAPTER));
    }

    @ParameterizedTest
    @MethodSource("steps")
    void recomputingLayersChangesNoBit(Options options) {
        Step kept = step(options.withRecompute(false));
        Step recomputed = step(options.withRecompute(true));

        assertSameBits(recomputed, kept);
        if (options.firstAdapted() == 0) {
            assertThat(recomputed.peakBytes()).isLessThan(kept.peakBytes());
        }
    }

    @ParameterizedTest
    @MethodSource("steps")
    void twoThreadsGiveTheSameBits(Options options) {
        assertSameBits(step(options.withThreads(2)), step(options.withThreads(1)));
    }

    @ParameterizedTest
    @MethodSource("steps")
    void thePlanIsTheRun(Options options) {
        for (boolean recompute : new boolean[] {false, true}) {
            try (SmallLm small = new SmallLm(options.withRecompute(recompute))) {
                long planned = small.planTraining();
                small.bench.ops().seal();
                Slab slab = Slab.allocate(small.bench.device(), planned);
                long taken = small.bench.device().allocatedBytes();

                Step step = small.train(slab);

                assertThat(step.peakBytes()).isEqualTo(planned);
                assertThat(step.lossSum()).isPositive();
                assertThat(small.bench.device().allocatedBytes())
                        .as("nothing is taken in a step")
                        .isEqualTo(taken);
                assertThat(slab.mark()).isZero();
            }
        }
    }

    /** The loss and its gradient, through all layers at once; larger steps would change what the routers choose. */
    @ParameterizedTest
    @MethodSource("steps")
    void gradientsAreDerivativesOfTheLoss(Options options) {
        try (SmallLm small = new SmallLm(options)) {
            Slab slab = small.slab();
            Step step = small.train(slab);
            GradientCheck check = new GradientCheck(
                    small.bench,
                    () -> {
                        Step moved = small.train(slab);
                        return SmallLm.GRADIENT_SCALE * moved.lossSum() + moved.routerLoss();
                    },
                    1e-3,
                    5e-3,
                    3e-4);
            int checked = 0;
            for (int i = 0; i < step.gradients().size(); i++) {
                Parameter parameter = small.bench.parameters().get(i);
                if (isZero(step.gradients().get(i))) {
                    assertThat(parameter.name())
                            .as("an expert that no token chose")
                            .matches("\\d\\.\\w+\\.\\d\\.[ab]");
                } else {
                    check.check(
                            parameter.name(),
                            parameter.value(),
                            step.gradients().get(i));
                    checked++;
                }
            }
            assertThat(checked).isGreaterThan(step.gradients().size() * 3 / 4);
        }
    }

    @ParameterizedTest
    @MethodSource("steps")
    void evaluationFindsTheLossOfTraining(Options options) {
        try (SmallLm small = new SmallLm(options.withDropout(0))) {
            Slab slab = small.slab();
            Step step = small.train(slab);

            Slab evaluation = small.slab();
            Tensor losses = small.lm.evaluate(
                    Pass.evaluation(small.bench.ops(), evaluation, small.tokens(evaluation)), small.labels(evaluation));

            assertThat(losses.toFloats(small.bench.device())).isEqualTo(step.losses());
            assertThat(step.losses()).hasSize(small.targets());
            assertThat(evaluation.peakBytes()).isLessThan(step.peakBytes());
        }
    }

    @ParameterizedTest
    @CsvSource({"0,3", "1,2", "2,1", "3,0"})
    void theBackwardPassEndsAtTheLowestTrainedLayer(int firstAdapted, int layers) {
        try (SmallLm small = new SmallLm(Options.DEFAULT.withFirstAdapted(firstAdapted))) {
            assertThat(small.lm.layersOfBackwardPass()).isEqualTo(layers);
        }
    }

    @ParameterizedTest
    @CsvSource({"FINAL_NORM,0", "TABLE,3", "ROWS,3", "EMBEDDING_ADAPTER,3"})
    void whatIsTrainedOutsideTheLayersDecidesHowFarGradientsGo(Extra extra, int layers) {
        try (SmallLm small =
                new SmallLm(Options.DEFAULT.withFirstAdapted(SmallLm.LAYERS).with(extra))) {
            assertThat(small.lm.layersOfBackwardPass()).isEqualTo(layers);
        }
    }

    @Test
    void frozenLowerLayersAreNotKept() {
        long all = step(Options.DEFAULT).peakBytes();
        long upper = step(Options.DEFAULT.withFirstAdapted(1)).peakBytes();
        long top = step(Options.DEFAULT.withFirstAdapted(2)).peakBytes();
        long head = step(Options.DEFAULT.withFirstAdapted(SmallLm.LAYERS).withAdaptedHead())
                .peakBytes();

        assertThat(upper).isLessThan(all);
        assertThat(top).isLessThan(upper);
        assertThat(head).isLessThan(top);
    }

    /** Two micro-batches accumulate what each would give alone. */
    @Test
    void gradientsAccumulateOverMicroBatches() {
        try (SmallLm small = new SmallLm(Options.DEFAULT)) {
            Slab slab = small.slab();
            Step once = small.train(slab);
            Pass pass = Pass.training(small.bench.ops(), slab, small.tokens(slab), null, null);

            small.lm.trainMicroBatch(
                    pass, small.labels(slab), slab.allocate(DType.F64, 1), SmallLm.GRADIENT_SCALE, false);

            for (int i = 0; i < once.gradients().size(); i++) {
                Parameter parameter = small.bench.parameters().get(i);
                float[] twice = small.bench.read(parameter.gradient());
                for (int j = 0; j < twice.length; j++) {
                    double expected = 2 * once.gradients().get(i)[j];
                    assertThat((double) twice[j])
                            .as(parameter.name())
                            .isCloseTo(expected, within(1e-5 * (1 + Math.abs(expected))));
                }
            }
        }
    }

    /** Packed sequences do not see each other. */
    @Test
    void aSequenceHasTheSameLossAloneAsPacked() {
        try (SmallLm small = new SmallLm(Options.DEFAULT)) {
            Slab slab = small.slab();
            float[] packed = small.train(slab).losses();
            int[] ids = small.prompt();
            int[] targets = {1, 4, -100, 5, 9, 2, -100};
            int[] positions = {0, 1, 2, 3, 4, 5, 6};
            PackedTokens tokens =
                    PackedTokens.upload(small.bench.ops(), slab, ids, positions, new int[] {0, ids.length});

            float[] alone = small.lm
                    .evaluate(
                            Pass.evaluation(small.bench.ops(), slab, tokens),
                            Labels.upload(small.bench.ops(), slab, targets))
                    .toFloats(small.bench.device());

            assertThat(alone).containsExactly(Arrays.copyOf(packed, alone.length), within(1e-5f));
        }
    }

    @ParameterizedTest
    @CsvSource({"1,1", "1,2", "4,1", "6,1", "3,2"})
    void theCacheGivesTheLogitsOfAWholePass(int first, int chunk) {
        try (SmallLm small = new SmallLm(Options.DEFAULT.withAdaptedHead())) {
            int[] ids = small.prompt();
            Slab slab = small.slab();
            KeyValueCache cache =
                    new KeyValueCache(small.bench.device(), SmallLm.LAYERS, ids.length, SmallLm.KEY_WIDTH);
            int seen = 0;
            while (seen < ids.length) {
                int count = Math.min(seen == 0 ? first : chunk, ids.length - seen);
                float[] cached = logits(small, slab, ids, seen, count, cache);
                seen += count;
                float[] whole = logits(small, slab, ids, 0, seen, null);

                assertThat(cache.length()).isEqualTo(seen);
                assertThat(cached).as("after " + seen + " tokens").containsExactly(whole, within(1e-5f));
            }
            assertThat(slab.mark()).isZero();
        }
    }

    @Test
    void theCacheHoldsNoMoreThanItsCapacity() {
        try (SmallLm small = new SmallLm(Options.DEFAULT)) {
            KeyValueCache cache = new KeyValueCache(small.bench.device(), SmallLm.LAYERS, 4, SmallLm.KEY_WIDTH);
            int[] ids = small.prompt();

            assertThatThrownBy(() -> logits(small, small.slab(), ids, 0, 5, cache))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessage("rows 0 + 5 are outside F32[4, 6]");
        }
    }

    private static float[] logits(SmallLm small, Slab slab, int[] ids, int from, int count, KeyValueCache cache) {
        long start = slab.mark();
        int[] positions = new int[count];
        for (int i = 0; i < count; i++) {
            positions[i] = from + i;
        }
        PackedTokens tokens = PackedTokens.upload(
                small.bench.ops(), slab, Arrays.copyOfRange(ids, from, from + count), positions, new int[] {0, count});
        Pass pass = cache == null
                ? Pass.evaluation(small.bench.ops(), slab, tokens)
                : Pass.generation(small.bench.ops(), slab, tokens, cache);
        float[] logits = small.lm.nextTokenLogits(pass).toFloats(small.bench.device());
        slab.release(start);
        return logits;
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void withoutLabelsNothingIsLearned(boolean recompute) {
        try (SmallLm small = new SmallLm(Options.DEFAULT)) {
            Slab slab = small.slab();
            Pass pass = Pass.training(small.bench.ops(), slab, small.tokens(slab), null, null);
            int[] targets = new int[11];
            Arrays.fill(targets, Labels.IGNORED);

            Tensor lossSum = slab.allocate(DType.F64, 1);

            small.lm.trainMicroBatch(pass, Labels.upload(small.bench.ops(), slab, targets), lossSum, 1, recompute);

            assertThat(lossSum.toDoubles(small.bench.device())).containsExactly(0);
            for (Parameter parameter : small.bench.parameters()) {
                assertThat(small.bench.read(parameter.gradient()))
                        .as(parameter.name())
                        .containsOnly(0);
            }
        }
    }

    @Test
    void refusesPositionsThatWereNotReserved() {
        try (SmallLm small = new SmallLm(Options.DEFAULT)) {
            Slab slab = small.slab();
            PackedTokens tokens =
                    PackedTokens.upload(small.bench.ops(), slab, new int[] {1}, new int[] {16}, new int[] {0, 1});

            assertThatThrownBy(() -> small.lm.nextTokenLogits(Pass.evaluation(small.bench.ops(), slab, tokens)))
                    .isInstanceOf(IllegalStateException.class)
                    .hasMessageContaining("17 positions")
                    .hasMessageContaining("16");
        }
    }

    private static boolean isZero(float[] values) {
        for (float value : values) {
            if (value != 0) {
                return false;
            }
        }
        return true;
    }

    private static Step step(Options options) {
        try (SmallLm small = new SmallLm(options)) {
            return small.train(small.slab());
        }
    }

    private static void assertSameBits(Step actual, Step expected) {
        assertThat(actual.losses()).isEqualTo(expected.losses());
        assertThat(actual.lossSum()).isEqualTo(expected.lossSum());
        assertThat(actual.routerLoss()).isEqualTo(expected.routerLoss());
        assertThat(actual.gradients()).hasSameSizeAs(expected.gradients()).isNotEmpty();
        for (int i = 0; i < expected.gradients().size(); i++) {
            assertThat(actual.gradients().get(i))
                    .as("gradient " + i)
                    .isEqualTo(expected.gradients().get(i));
        }
    }
}
