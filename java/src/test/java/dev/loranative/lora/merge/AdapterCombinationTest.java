package dev.loranative.lora.merge;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.loranative.config.ConfigParser;
import dev.loranative.config.LoraConfig;
import dev.loranative.config.LoraKeys;
import dev.loranative.errors.UserException;
import dev.loranative.lora.Adapter;
import dev.loranative.lora.AdapterConfig;
import dev.loranative.lora.AdapterModule;
import dev.loranative.lora.AdapterTensors;
import dev.loranative.lora.FullTensor;
import dev.loranative.lora.merge.AdapterCombination.Type;
import dev.loranative.lora.merge.AdapterCombination.Weighted;
import dev.loranative.model.LinearModule;
import dev.loranative.model.LinearModule.Kind;
import dev.loranative.model.ModuleTree;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import org.junit.jupiter.api.Test;

class AdapterCombinationTest {

    private static final LinearModule Q = new LinearModule("q", Kind.ATTENTION, 0, -1, 5, 4, false, List.of());
    private static final LinearModule GATE = new LinearModule("gate", Kind.ROUTER, 0, -1, 3, 4, false, List.of());
    private static final ModuleTree TREE = new ModuleTree("llama", List.of(Q, GATE));

    private final Random random = new Random(3);

    private Adapter adapter(int r, double scaling, LinearModule... modules) {
        List<AdapterModule> list = new ArrayList<>();
        for (LinearModule module : modules) {
            list.add(new AdapterModule(
                    module, module.name(), r, scaling * r, scaling, random((int) (r * module.in())), random((int)
                            (r * module.out()))));
        }
        return adapter(AdapterTensors.of(list), r);
    }

    private static Adapter adapter(AdapterTensors tensors, int r) {
        LoraConfig config = LoraConfig.from(
                new ConfigParser(LoraKeys.ALL).parse(Map.of("r", r, "target_modules", List.of("q")), "test"));
        return new Adapter(
                new AdapterConfig(config, Optional.of("base"), Optional.empty(), List.of()), tensors, List.of());
    }

    private float[] random(int count) {
        float[] values = new float[count];
        for (int i = 0; i < count; i++) {
            values[i] = (float) random.nextGaussian();
        }
        return values;
    }

    private static double[] update(Adapter adapter, LinearModule module, double weight) {
        double[] all = new double[(int) (module.out() * module.in())];
        for (AdapterModule one : adapter.modules()) {
            if (one.module() == module) {
                double[] row = new double[(int) module.in()];
                for (int i = 0; i < module.out(); i++) {
                    TensorUpdate.LowRank.delta(one, i, row);
                    for (int j = 0; j < row.length; j++) {
                        all[i * row.length + j] = weight * row[j];
                    }
                }
            }
        }
        return all;
    }

    @Test
    void catIsExactForAnyRanksAndAnyModules() {
        Adapter one = adapter(2, 4, Q);
        Adapter two = adapter(3, 0.5, GATE, Q);
        Adapter both = AdapterCombination.combine(
                List.of(new Weighted("one", one, 0.7), new Weighted("two", two, -0.3)), Type.CAT, TREE);

        assertThat(both.config().lora().r()).isEqualTo(5);
        assertThat(both.modules()).extracting(AdapterModule::module).containsExactly(Q, GATE);
        assertThat(both.modules()).allMatch(module -> module.scaling() == 1 && module.r() == 5 && module.alpha() == 5);
        for (LinearModule module : List.of(Q, GATE)) {
            double[] expected = update(one, module, 0.7);
            double[] second = update(two, module, -0.3);
            for (int i = 0; i < expected.length; i++) {
                expected[i] += second[i];
            }
            assertThat(update(both, module, 1)).containsExactly(expected, within(1e-5));
        }
    }

    @Test
    void linearAddsAAndBWithRootsAsPeft() {
        Adapter one = adapter(2, 4, Q);
        Adapter two = adapter(2, 0.25, Q);
        AdapterModule both = AdapterCombination.combine(
                        List.of(new Weighted("one", one, 1), new Weighted("two", two, -4)), Type.LINEAR, TREE)
                .modules()
                .getFirst();

        assertThat(both.r()).isEqualTo(2);
        for (int i = 0; i < both.a().length; i++) {
            assertThat(both.a()[i])
                    .isCloseTo(
                            2 * one.modules().getFirst().a()[i]
                                    - two.modules().getFirst().a()[i],
                            within(1e-6f));
        }
        for (int i = 0; i < both.b().length; i++) {
            assertThat(both.b()[i])
                    .isCloseTo(
                            2 * one.modules().getFirst().b()[i]
                                    + two.modules().getFirst().b()[i],
                            within(1e-6f));
        }
    }

    @Test
    void oneAdapterIsScaledAndKeepsItsRank() {
        Adapter one = adapter(2, 4, Q);
        Adapter half = AdapterCombination.combine(List.of(new Weighted("one", one, 0.5)), Type.CAT, TREE);

        assertThat(half.config().lora().r()).isEqualTo(2);
        assertThat(update(half, Q, 1)).containsExactly(update(one, Q, 0.5), within(1e-5));
    }

    @Test
    void whatCannotBeCombinedIsTold() {
        Adapter two = adapter(2, 1, Q);
        assertThatThrownBy(() -> AdapterCombination.combine(
                        List.of(new Weighted("a", two, 1), new Weighted("b", adapter(3, 1, Q), 1)), Type.LINEAR, TREE))
                .isInstanceOf(UserException.class)
                .hasMessageContaining("same rank")
                .hasMessageContaining("b has r 3");
        AdapterModule plain = two.modules().getFirst();
        AdapterModule dora =
                new AdapterModule(Q, "q", 2, 2, 1, plain.a(), plain.b(), Optional.empty(), Optional.of(new float[5]));
        refused(AdapterTensors.of(List.of(dora)), "DoRA");
        AdapterModule bias =
                new AdapterModule(Q, "q", 2, 2, 1, plain.a(), plain.b(), Optional.of(new float[5]), Optional.empty());
        refused(AdapterTensors.of(List.of(bias)), "lora_bias");
        FullTensor full = new FullTensor("norm.weight", List.of(1L), new float[1]);
        refused(new AdapterTensors(two.modules(), List.of(full), List.of()), "norm.weight");
    }

    private static void refused(AdapterTensors tensors, String word) {
        assertThatThrownBy(() -> AdapterCombination.combine(
                        List.of(new Weighted("a", adapter(tensors, 2), 0.5)), Type.CAT, TREE))
                .isInstanceOf(UserException.class)
                .hasMessageContaining("'a'")
                .hasMessageContaining(word);
    }
}
