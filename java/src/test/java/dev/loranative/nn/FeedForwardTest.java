package dev.loranative.nn;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.loranative.tensor.Activation;
import dev.loranative.tensor.DType;
import dev.loranative.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

class FeedForwardTest {

    private static final int TOKENS = 7;
    private static final int HIDDEN = 10;
    private static final int INNER = 14;
    private static final int EXPERTS = 5;
    private static final int TOP_K = 2;
    private static final float COEFFICIENT = 0.5f;

    private final Workbench bench = new Workbench();

    @AfterEach
    void close() {
        bench.close();
    }

    @ParameterizedTest
    @EnumSource
    void gatedMlp(Activation activation) {
        GatedMlp mlp = new GatedMlp(
                activation,
                bench.adaptedSlot("gate", HIDDEN, INNER),
                bench.adaptedSlot("up", HIDDEN, INNER),
                bench.adaptedSlot("down", INNER, HIDDEN));

        new ModuleCheck(bench, bench.normal(1, TOKENS, HIDDEN), HIDDEN, mlp::forward, mlp::backward).run();

        assertThat(mlp.isTrainable()).isTrue();
    }

    @Test
    void gatedMlpWithAFrozenHalf() {
        GatedMlp mlp = new GatedMlp(
                Activation.SILU,
                bench.slot(HIDDEN, INNER),
                bench.adaptedSlot("up", HIDDEN, INNER),
                bench.slot(INNER, HIDDEN));

        new ModuleCheck(bench, bench.normal(1, TOKENS, HIDDEN), HIDDEN, mlp::forward, mlp::backward).run();
    }

    @Test
    void aFrozenMlpDoesNotTrain() {
        GatedMlp mlp = new GatedMlp(
                Activation.SILU, bench.slot(HIDDEN, INNER), bench.slot(HIDDEN, INNER), bench.slot(INNER, HIDDEN));

        assertThat(mlp.isTrainable()).isFalse();
    }

    /** A mixture, and the router inside it, so that its choices can be watched. */
    private record Mixture(MixtureOfExperts module, Router router, LinearSlot routerLinear) {}

    private Mixture mixture(boolean renormalise, boolean shared, int[] ranks, LinearSlot routerSlot) {
        Router router = new Router(routerSlot, TOP_K, renormalise);
        Experts experts = new Experts(
                Activation.SILU,
                bench.grouped("experts.gate", HIDDEN, INNER, 0, ranks),
                bench.grouped("experts.up", HIDDEN, INNER, 0, ranks),
                bench.grouped("experts.down", INNER, HIDDEN, 0, ranks));
        SharedExpert sharedExpert = shared
                ? new SharedExpert(
                        new GatedMlp(
                                Activation.SILU,
                                bench.adaptedSlot("shared.gate", HIDDEN, INNER),
                                bench.adaptedSlot("shared.up", HIDDEN, INNER),
                                bench.adaptedSlot("shared.down", INNER, HIDDEN)),
                        bench.adaptedSlot("shared_expert_gate", HIDDEN, 1))
                : null;
        return new Mixture(new MixtureOfExperts(router, experts, sharedExpert), router, routerSlot);
    }

    @ParameterizedTest
    @CsvSource({"false,false,false", "true,false,false", "true,true,false", "false,true,true", "true,false,true"})
    void mixtureOfExperts(boolean renormalise, boolean shared, boolean auxiliaryLoss) {
        int[] ranks = {3, 3, 2, 0, 1};
        Mixture mixture = mixture(renormalise, shared, ranks, bench.adaptedSlot("router", HIDDEN, EXPERTS));

        check(mixture, auxiliaryLoss);

        assertThat(mixture.module().isTrainable()).isTrue();
    }

    @ParameterizedTest
    @CsvSource({"false,false", "true,true"})
    void theRouterAloneTrains(boolean renormalise, boolean auxiliaryLoss) {
        Mixture mixture = mixture(renormalise, false, new int[EXPERTS], bench.adaptedSlot("router", HIDDEN, EXPERTS));

        check(mixture, auxiliaryLoss);

        assertThat(mixture.module().isTrainable()).isTrue();
    }

    @Test
    void aFrozenMixturePassesTheGradientOn() {
        Mixture mixture = mixture(true, false, new int[EXPERTS], bench.slot(HIDDEN, EXPERTS));

        check(mixture, true);

        assertThat(mixture.module().isTrainable()).isFalse();
    }

    /** Projections that are one op with others, and those that cannot be: their adapters see different inputs. */
    @ParameterizedTest
    @ValueSource(
            strings = {"plain", "frozen gate", "shared adapters", "dropout", "frozen updates", "frozen updates below"})
    void expertsAreFewOpsWhereTheyCanBe(String kind) {
        float dropout = kind.equals("dropout") ? 0.3f : 0;
        int[] ranks = {3, 3, 2, 0, 1};
        boolean shared = kind.equals("shared adapters");
        GroupedLinear gate = shared
                ? bench.shared("gate", HIDDEN, INNER, 0, EXPERTS)
                : bench.grouped("gate", HIDDEN, INNER, dropout, kind.equals("frozen gate") ? new int[EXPERTS] : ranks);
        GroupedLinear up = shared
                ? bench.shared("up", HIDDEN, INNER, 0, EXPERTS)
                : bench.grouped("up", HIDDEN, INNER, dropout, ranks);
        if (kind.equals("frozen updates")) {
            up.addToBase(bench.frozenUpdates(HIDDEN, INNER, 2, EXPERTS));
        }
        GroupedLinear down = shared
                ? bench.shared("down", INNER, HIDDEN, 0, EXPERTS)
                : bench.grouped("down", INNER, HIDDEN, dropout, 2, 1, 1, 1, 1);
        if (kind.equals("frozen updates below")) {
            down.addToBase(bench.frozenUpdates(INNER, HIDDEN, 2, EXPERTS));
        }
        Experts experts = new Experts(Activation.SILU, gate, up, down);
        Routes routes = routes(new int[] {0, 3, 4, 5, 6, TOKENS}, 3, 0, 6, 2, 1, 5, 4);
        DropoutStreams streams = dropout == 0 ? null : Workbench.dropoutStreams();
        Pass pass = Pass.training(bench.ops(), bench.slab(), Workbench.NO_TOKENS, streams, null);

        assertThat(gate.joins(pass, up)).isEqualTo(!kind.equals("dropout") && !kind.equals("frozen updates"));
        assertThat(down.joinsScores(pass)).isEqualTo(!kind.equals("dropout") && !kind.equals("frozen updates below"));
        Tensor dScores = bench.bench().unwritten(TOKENS, 1);
        new ModuleCheck(
                        bench,
                        bench.normal(1, TOKENS, HIDDEN),
                        HIDDEN,
                        (running, x, y) -> experts.forward(running, x, routes, y),
                        (running, dy, x, dx, accumulate) -> experts.backward(running, dy, x, routes, dScores, dx))
                .withoutAccumulation()
                .passes(() -> Pass.training(bench.ops(), bench.slab(), Workbench.NO_TOKENS, streams, null))
                .run();
    }

    @Test
    void whatExpertsGiveIsKeptOnlyForAnOpThatReadsIt() {
        GroupedLinear plain = bench.grouped("down", INNER, HIDDEN, 0, 2, 1, 1, 1, 1);
        GroupedLinear updated = bench.grouped("down", INNER, HIDDEN, 0, 2, 1, 1, 1, 1);
        updated.addToBase(bench.frozenUpdates(INNER, HIDDEN, 2, EXPERTS));

        assertThat(kept(updated) - kept(plain)).isGreaterThanOrEqualTo(Float.BYTES * TOKENS * (INNER + HIDDEN));
    }

    /** Bytes that a saving pass leaves in the slab. */
    private long kept(GroupedLinear down) {
        int[] ranks = {3, 3, 2, 0, 1};
        GroupedLinear gate = bench.grouped("gate", HIDDEN, INNER, 0, ranks);
        GroupedLinear up = bench.grouped("up", HIDDEN, INNER, 0, ranks);
        long start = bench.slab().mark();
        new Experts(Activation.SILU, gate, up, down)
                .forward(
                        Pass.training(bench.ops(), bench.slab(), Workbench.NO_TOKENS, null, null),
                        bench.normal(1, TOKENS, HIDDEN),
                        routes(new int[] {0, 3, 4, 5, 6, TOKENS}, 3, 0, 6, 2, 1, 5, 4),
                        bench.bench().unwritten(TOKENS, HIDDEN));
        long bytes = bench.slab().mark() - start;
        bench.slab().release(start);
        return bytes;
    }

    /** One choice per token, which has any row and any score. */
    private Routes routes(int[] offsets, int... rowsOfPairs) {
        float[] scores = new float[rowsOfPairs.length];
        for (int i = 0; i < scores.length; i++) {
            scores[i] = 1.25f - 0.125f * i;
        }
        return new Routes(
                bench.bench().ints(offsets, offsets.length),
                bench.bench().ints(rowsOfPairs, rowsOfPairs.length),
                bench.bench().floats(scores, scores.length, 1));
    }

    private void check(Mixture mixture, boolean auxiliaryLoss) {
        Tensor x = decidedTokens(mixture.routerLinear());
        int[] chosen = choices(mixture.router(), x);
        keepOnlyUsed(chosen);
        Tensor losses = Tensor.allocate(bench.device(), DType.F64, 2);
        new ModuleCheck(
                        bench,
                        x,
                        HIDDEN,
                        (pass, input, y) -> {
                            mixture.module().forward(pass, input, y);
                            assertThat(mixture.router().ids().toInts(bench.device()))
                                    .as("choices; a step that changes them has no derivative")
                                    .isEqualTo(chosen);
                            if (pass.routerStatistics() != null) {
                                pass.routerStatistics().finish(bench.ops());
                            }
                        },
                        mixture.module()::backward)
                .passes(() -> {
                    Tensor counts = bench.slab().allocate(DType.I64, EXPERTS);
                    RouterStatistics statistics = auxiliaryLoss
                            ? new RouterStatistics(bench.ops(), bench.slab(), counts, losses, COEFFICIENT, 0)
                            : null;
                    return Pass.training(bench.ops(), bench.slab(), Workbench.NO_TOKENS, null, statistics);
                })
                .plus(() -> auxiliaryLoss ? COEFFICIENT * losses.toDoubles(bench.device())[0] : 0)
                .run();
    }

    /** Tokens whose second choice is clearly ahead of the third. */
    private Tensor decidedTokens(LinearSlot router) {
        int candidates = 200;
        float[] values = bench.bench().normal(candidates * HIDDEN);
        Tensor all = bench.bench().floats(values, candidates, HIDDEN);
        Tensor logits = bench.bench().unwritten(candidates, EXPERTS);
        long start = bench.slab().mark();
        Pass pass = Pass.evaluation(bench.ops(), bench.slab(), Workbench.NO_TOKENS);
        router.get().forward(pass, all, logits);
        bench.slab().release(start);
        float[] numbers = bench.read(logits);
        List<Integer> decided = new ArrayList<>();
        for (int token = 0; token < candidates && decided.size() < TOKENS; token++) {
            float[] sorted = Arrays.copyOfRange(numbers, token * EXPERTS, (token + 1) * EXPERTS);
            Arrays.sort(sorted);
            if (sorted[EXPERTS - TOP_K] - sorted[EXPERTS - TOP_K - 1] > 0.6
                    && sorted[EXPERTS - 1] - sorted[EXPERTS - 2] > 0.6) {
                decided.add(token);
            }
        }
        float[] rows = new float[TOKENS * HIDDEN];
        for (int i = 0; i < TOKENS; i++) {
            System.arraycopy(values, decided.get(i) * HIDDEN, rows, i * HIDDEN, HIDDEN);
        }
        return bench.bench().floats(rows, TOKENS, HIDDEN);
    }

    private int[] choices(Router router, Tensor x) {
        long start = bench.slab().mark();
        router.forward(Pass.evaluation(bench.ops(), bench.slab(), Workbench.NO_TOKENS), x);
        int[] ids = router.ids().toInts(bench.device());
        bench.slab().release(start);
        return ids;
    }

    /** Experts that no token chose have no gradient to compare. */
    private void keepOnlyUsed(int[] chosen) {
        for (int expert = 0; expert < EXPERTS; expert++) {
            int number = expert;
            if (Arrays.stream(chosen).noneMatch(id -> id == number)) {
                bench.parameters()
                        .removeIf(parameter -> parameter.name().matches("experts\\.\\w+\\." + number + "\\.[ab]"));
            }
        }
    }

    /** The mixture against its definition, one token and one expert at a time. */
    @Test
    void isTheWeightedSumOfItsExperts() {
        int[] ranks = {3, 3, 2, 0, 1};
        Router router = new Router(bench.slot(HIDDEN, EXPERTS), TOP_K, true);
        GroupedLinear gate = bench.grouped("gate", HIDDEN, INNER, 0, ranks);
        GroupedLinear up = bench.grouped("up", HIDDEN, INNER, 0, ranks);
        GroupedLinear down = bench.grouped("down", INNER, HIDDEN, 0, ranks);
        Experts experts = new Experts(Activation.SILU, gate, up, down);
        MixtureOfExperts mixture = new MixtureOfExperts(router, experts, null);
        Tensor x = bench.normal(1, TOKENS, HIDDEN);
        Tensor y = bench.bench().unwritten(TOKENS, HIDDEN);
        Pass pass = Pass.training(bench.ops(), bench.slab(), Workbench.NO_TOKENS, null, null);

        mixture.forward(pass, x, y);

        int[] ids = router.ids().toInts(bench.device());
        float[] weights = bench.read(router.weights());
        float[] actual = bench.read(y);
        for (int token = 0; token < TOKENS; token++) {
            double[] expected = new double[HIDDEN];
            for (int choice = token * TOP_K; choice < (token + 1) * TOP_K; choice++) {
                float[] output = expertOutput(experts, ids[choice], x.rows(token, 1));
                for (int i = 0; i < HIDDEN; i++) {
                    expected[i] += (double) weights[choice] * output[i];
                }
            }
            for (int i = 0; i < HIDDEN; i++) {
                assertThat((double) actual[token * HIDDEN + i]).isCloseTo(expected[i], within(1e-5));
            }
        }
    }

    private float[] expertOutput(Experts experts, int expert, Tensor row) {
        int[] offsets = new int[EXPERTS + 1];
        Arrays.fill(offsets, expert + 1, EXPERTS + 1, 1);
        Tensor y = bench.bench().unwritten(1, HIDDEN);
        experts.forward(
                Pass.training(bench.ops(), bench.slab(), Workbench.NO_TOKENS, null, null),
                row,
                new Routes(
                        bench.bench().ints(offsets, EXPERTS + 1),
                        bench.bench().ints(new int[1], 1),
                        bench.bench().floats(new float[] {1}, 1, 1)),
                y);
        return bench.read(y);
    }

    @Test
    void statisticsCountEveryChoiceOnce() {
        Mixture mixture = mixture(true, false, new int[EXPERTS], bench.slot(HIDDEN, EXPERTS));
        Tensor counted = bench.slab().allocate(DType.I64, EXPERTS);
        Tensor losses = bench.slab().allocate(DType.F64, 2);
        RouterStatistics statistics = new RouterStatistics(bench.ops(), bench.slab(), counted, losses, COEFFICIENT, 0);
        Pass pass = Pass.training(bench.ops(), bench.slab(), Workbench.NO_TOKENS, null, statistics);
        Tensor x = bench.normal(1, TOKENS, HIDDEN);
        Tensor y = bench.bench().unwritten(TOKENS, HIDDEN);

        mixture.module().forward(pass, x, y);
        pass.recomputing(() -> mixture.module().forward(pass, x, y));

        long[] counts = counted.toLongs(bench.device());
        assertThat(Arrays.stream(counts).sum()).isEqualTo(TOKENS * TOP_K);
        long[] expected = new long[EXPERTS];
        for (int id : mixture.router().ids().toInts(bench.device())) {
            expected[id]++;
        }
        assertThat(counts).isEqualTo(expected);
    }
}
