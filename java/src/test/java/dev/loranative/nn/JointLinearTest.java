package dev.loranative.nn;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.loranative.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

class JointLinearTest {

    private static final int ROWS = 20;
    private static final int IN = 21;
    private static final int[] OUTS = {34, 13, 13};

    private final Workbench bench = new Workbench();

    @AfterEach
    void close() {
        bench.close();
    }

    /** What the second of three layers is; the first has an adapter, the third is dense. */
    enum Second {
        DENSE(true),
        ADAPTED(true),
        TRAINED_BASE(true),
        WITH_DROPOUT(false),
        WITH_BIAS_OF_B(false),
        BESIDE_AN_UPDATE(false),
        DECOMPOSED(false),
        OBSERVED(false);

        final boolean joins;

        Second(boolean joins) {
            this.joins = joins;
        }
    }

    private Linear second(Second kind) {
        DenseLinear base = bench.biased(IN, OUTS[1]);
        return switch (kind) {
            case DENSE -> base;
            case ADAPTED -> bench.adapted("second", base, 5, 0);
            case TRAINED_BASE -> {
                Parameter weight = bench.trained("weight", base.weight());
                yield base.withWeight(weight.value(), weight.gradient());
            }
            case WITH_DROPOUT -> bench.adapted("second", base, 5, 0.4f);
            case WITH_BIAS_OF_B -> bench.adaptedWithBias("second", base, 5, 0);
            case BESIDE_AN_UPDATE -> bench.adaptedBesideUpdate("second", base, 5, 0);
            case DECOMPOSED -> bench.decomposed("second", base, 5, 0);
            case OBSERVED -> new ObservedLinear(base, x -> {});
        };
    }

    private List<LinearSlot> slots(Second kind) {
        return List.of(
                new LinearSlot(bench.adapted("first", bench.dense(IN, OUTS[0]), 3, 0)),
                new LinearSlot(second(kind)),
                bench.slot(IN, OUTS[2]));
    }

    @ParameterizedTest
    @EnumSource
    void isWhatItsLayersAreOneByOne(Second kind) {
        List<LinearSlot> slots = slots(kind);
        JointLinear joint = new JointLinear(slots.toArray(LinearSlot[]::new));
        Pass pass = pass();
        Tensor x = bench.normal(1, ROWS, IN);
        List<Tensor> dys = new ArrayList<>();
        List<Tensor> together = new ArrayList<>();
        List<Tensor> alone = new ArrayList<>();
        for (int out : OUTS) {
            dys.add(bench.normal(1, ROWS, out));
            together.add(bench.bench().unwritten(ROWS, out));
            alone.add(bench.bench().unwritten(ROWS, out));
        }

        joint.forward(pass, x, together);
        for (int i = 0; i < OUTS.length; i++) {
            slots.get(i).get().forward(pass, x, alone.get(i));
        }

        assertThat(joint.joins(pass)).isEqualTo(kind.joins);
        for (int i = 0; i < OUTS.length; i++) {
            assertThat(bench.read(together.get(i))).containsExactly(bench.read(alone.get(i)), within(1e-5f));
        }
        for (boolean accumulate : new boolean[] {false, true}) {
            Tensor dxTogether = bench.bench().floats(new float[ROWS * IN], ROWS, IN);
            Tensor dxAlone = bench.bench().floats(new float[ROWS * IN], ROWS, IN);
            if (accumulate) {
                bench.ops().elementwise().copy(x, dxTogether);
                bench.ops().elementwise().copy(x, dxAlone);
            }

            List<float[]> gradients = gradientsOf(() -> joint.backward(pass, dys, x, dxTogether, accumulate));
            List<float[]> expected = gradientsOf(() -> backwardAlone(pass, slots, dys, x, dxAlone, accumulate));

            assertThat(bench.read(dxTogether)).containsExactly(bench.read(dxAlone), within(2e-5f));
            expectClose(gradients, expected);
        }
    }

    @ParameterizedTest
    @EnumSource
    void trainsWhereNobodyNeedsTheInputsGradient(Second kind) {
        List<LinearSlot> slots = slots(kind);
        JointLinear joint = new JointLinear(slots.toArray(LinearSlot[]::new));
        Pass pass = pass();
        Tensor x = bench.normal(1, ROWS, IN);
        List<Tensor> ys = new ArrayList<>();
        List<Tensor> dys = new ArrayList<>();
        for (int out : OUTS) {
            ys.add(bench.bench().unwritten(ROWS, out));
            dys.add(bench.normal(1, ROWS, out));
        }
        joint.forward(pass, x, ys);

        List<float[]> gradients = gradientsOf(() -> joint.backward(pass, dys, x, null, false));
        List<float[]> expected = gradientsOf(() -> backwardAlone(pass, slots, dys, x, null, false));

        expectClose(gradients, expected);
        assertThat(joint.isTrainable()).isTrue();
    }

    /** Frozen layers and nobody who needs dx: there is nothing to do. */
    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void frozenLayersHaveNothingToDoWithoutInputGradient(boolean observed) {
        Linear first = bench.dense(IN, OUTS[0]);
        if (observed) {
            first = new ObservedLinear((DenseLinear) first, x -> {});
        }
        JointLinear joint = new JointLinear(new LinearSlot(first), bench.slot(IN, OUTS[1]));
        Pass pass = pass();
        Tensor x = bench.normal(1, ROWS, IN);

        joint.backward(pass, List.of(bench.normal(1, ROWS, OUTS[0]), bench.normal(1, ROWS, OUTS[1])), x, null, false);

        assertThat(joint.isTrainable()).isFalse();
    }

    /** A pass that keeps nothing leaves nothing in the slab, one that does leaves what the adapters need. */
    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void leavesInTheSlabWhatIsNeededLater(boolean saving) {
        JointLinear joint = new JointLinear(slots(Second.ADAPTED).toArray(LinearSlot[]::new));
        Pass pass = saving ? pass() : Pass.evaluation(bench.ops(), bench.slab(), Workbench.NO_TOKENS);
        List<Tensor> ys = new ArrayList<>();
        for (int out : OUTS) {
            ys.add(bench.bench().unwritten(ROWS, out));
        }
        long before = bench.slab().mark();

        joint.forward(pass, bench.normal(1, ROWS, IN), ys);

        assertThat(bench.slab().mark() > before).isEqualTo(saving);
    }

    private Pass pass() {
        return Pass.training(bench.ops(), bench.slab(), Workbench.NO_TOKENS, Workbench.dropoutStreams(), null);
    }

    private static void backwardAlone(
            Pass pass, List<LinearSlot> slots, List<Tensor> dys, Tensor x, Tensor dx, boolean accumulate) {
        for (int i = 0; i < slots.size(); i++) {
            slots.get(i).get().backward(pass, dys.get(i), x, dx, accumulate || i > 0);
        }
    }

    /** Of all parameters, which begin at 0. */
    private List<float[]> gradientsOf(Runnable backward) {
        bench.parameters().forEach(parameter -> bench.ops().clear(parameter.gradient()));
        backward.run();
        return bench.parameters().stream()
                .map(parameter -> bench.read(parameter.gradient()))
                .toList();
    }

    private static void expectClose(List<float[]> actual, List<float[]> expected) {
        assertThat(actual).hasSameSizeAs(expected);
        for (int i = 0; i < actual.size(); i++) {
            assertThat(actual.get(i)).containsExactly(expected.get(i), within(5e-5f));
        }
        assertThat(expected.getFirst()).isNotEqualTo(new float[expected.getFirst().length]);
    }
}
