package dev.loranative.lora;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.loranative.checkpoint.SafetensorsFile;
import dev.loranative.checkpoint.TensorEntry;
import dev.loranative.config.LoraConfig;
import dev.loranative.model.ModuleTree;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Experts in adapter files: tensors of their own, or one pair for all of a layer, in today's layout and older ones. */
class ExpertFilesTest {

    private static final String EXPERTS = "model.layers.0.mlp.experts";

    @TempDir
    private Path path;

    private AdapterFolder folder;
    private final ModuleTree moe = TestTrees.qwen3Moe(2);

    @BeforeEach
    void open() {
        folder = new AdapterFolder(path);
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "experts",
                "experts,router,attention --use-rslora",
                "down_proj --layers-to-transform=1",
                "gate_proj",
                "up_proj --layers-to-transform=1",
                "gate_proj,up_proj",
                "gate_proj,down_proj",
                "experts.1.gate_proj,experts.3.down_proj",
                "experts.0.up_proj,experts.2.up_proj,router",
                "experts --rank-pattern={'up_proj':4,'experts.2.down_proj':2}",
                "experts --rank-pattern={'experts.2.down_proj':3} --alpha-pattern={'experts.2.down_proj':3}",
                "experts --rank-pattern={'up_proj':4} --alpha-pattern={'up_proj':4}",
                "experts --rank-pattern={'experts.1.gate_proj':2} --use-rslora",
            })
    void everyChoiceOfExpertsSurvivesTheFusedLayout(String targets) {
        for (ModuleTree tree : List.of(moe, TestTrees.qwen2Moe(2), TestTrees.qwen3MoeWithDenseLayer(3))) {
            LoraConfig config = AdapterFolder.lora("--adapter-dialect=v5 --target-modules=" + targets);
            List<AdapterModule> modules = experts(AdapterFolder.random(config, tree));
            assertThat(folder.write(config, tree, AdapterTensors.of(modules))).isEmpty();
            assertThat(names()).noneMatch(name -> name.matches(".*experts\\.\\d.*"));
            Adapter read = AdapterFiles.read(path, tree);
            assertThat(read.warnings()).isEmpty();
            AdapterFolder.assertSame(read.modules(), modules);
        }
    }

    /** Without dense and shared modules, whose names would be matched too. */
    private static List<AdapterModule> experts(List<AdapterModule> modules) {
        return modules.stream()
                .filter(module -> !module.name().matches(".*(mlp|shared_expert)\\.\\w+_proj"))
                .toList();
    }

    @Test
    void untrainedMatricesOfZerosComeBackToo() {
        LoraConfig config = AdapterFolder.lora("--adapter-dialect=v5 --target-modules=experts.1.gate_proj,down_proj");
        List<AdapterModule> modules = AdapterFolder.random(config, moe);
        modules.forEach(module -> Arrays.fill(module.b(), 0));
        folder.write(config, moe, AdapterTensors.of(modules));
        AdapterFolder.assertSame(AdapterFiles.read(path, moe).modules(), modules);
    }

    /** The numbers of the specification's example. */
    @Test
    void theLayoutIsPefts() {
        FusedLayout layout = new FusedLayout(2, 2, 1, 1);
        float[] a = {1, 2, 3, 4};
        float[] b = {10, 20, 30, 40};
        assertThat(layout.a(a, b, 0, false)).containsExactly(1, 2);
        assertThat(layout.b(a, b, 0, false)).containsExactly(10, 30);
        assertThat(layout.a(a, b, 1, false)).containsExactly(3, 4);
        assertThat(layout.b(a, b, 1, false)).containsExactly(20, 40);
    }

    @Test
    void tensorsAreNamedAfterTheNestingOfPeft() {
        LoraConfig config = AdapterFolder.lora("--adapter-dialect=v5 --target-modules=experts --r=2");
        folder.write(config, moe, AdapterTensors.of(AdapterFolder.random(config, moe)));
        assertThat(shapes())
                .containsEntry("base_model.model." + EXPERTS + ".base_layer.lora_A.weight", List.of(16L, 32L))
                .containsEntry("base_model.model." + EXPERTS + ".base_layer.lora_B.weight", List.of(48L, 16L))
                .containsEntry("base_model.model." + EXPERTS + ".lora_A.weight", List.of(8L, 24L))
                .containsEntry("base_model.model." + EXPERTS + ".lora_B.weight", List.of(32L, 8L))
                .hasSize(8);
        LoraConfig gate = AdapterFolder.lora("--target-modules=gate_proj --r=2");
        folder.write(gate, moe, AdapterTensors.of(AdapterFolder.random(gate, moe)));
        assertThat(shapes())
                .containsEntry("base_model.model." + EXPERTS + ".lora_A.weight", List.of(16L, 32L))
                .hasSize(4);
    }

    /** Each row was loaded by PEFT 0.21.0 and gave the logits of W + scaling·B·A ({@code tools/parity}). */
    @ParameterizedTest
    @CsvSource(delimiter = '|', textBlock = """
            auto | experts             | [gate_proj, up_proj, down_proj] | null | true
            auto | gate_proj           | [] | [mlp.experts.gate_up_proj] | false
            auto | experts.1.down_proj | [] | [mlp.experts.down_proj] | false
            auto | gate_proj,up_proj --layers-to-transform=1 | [] | [model.layers.1.mlp.experts.gate_up_proj] | false
            v5   | experts,router      | [gate] | [mlp.experts.gate_up_proj, mlp.experts.down_proj] | false
            v4   | experts,router      | [gate_proj, up_proj, down_proj, gate] | null | true
            v4   | gate_proj           | [gate_proj] | null | true
            """)
    void theDialectDecidesBetweenTensors(
            String dialect, String flags, String modules, String parameters, boolean separate) {
        LoraConfig config = AdapterFolder.lora("--adapter-dialect=" + dialect + " --target-modules=" + flags);
        List<AdapterModule> adapter = AdapterFolder.random(config, moe);
        List<String> warnings = folder.write(config, moe, AdapterTensors.of(adapter));
        assertThat(folder.json().get("target_modules")).hasToString(modules);
        assertThat(String.valueOf(folder.json().get("target_parameters"))).isEqualTo(parameters);
        assertThat(names().stream().anyMatch(name -> name.contains("experts.1.")))
                .isEqualTo(separate);
        assertThat(warnings).hasSize(flags.equals("gate_proj") && dialect.equals("v4") ? 1 : 0);
        AdapterFolder.assertSame(AdapterFiles.read(path, moe).modules(), adapter);
    }

    @Test
    void anUpdateThatIsNotDividedGivesGateAndUpTheSameA() {
        folder.putPair(EXPERTS, 3 * 4, 48, 32);
        folder.config("\"r\":3,\"lora_alpha\":6,\"target_parameters\":[\"layers.0.mlp.experts.gate_up_proj\"]");
        List<AdapterModule> modules = folder.read(moe).modules();
        assertThat(modules).hasSize(8);
        AdapterModule gate = modules.get(2);
        AdapterModule up = modules.get(3);
        assertThat(gate.name()).isEqualTo(EXPERTS + ".1.gate_proj");
        assertThat(up.name()).isEqualTo(EXPERTS + ".1.up_proj");
        assertThat(gate.a()).containsExactly(up.a()).hasSize(3 * 32);
        assertThat(gate.scaling()).isEqualTo(2);
        float[] b = folder.values(EXPERTS + ".lora_B.weight");
        assertThat(gate.b()[5 * 3 + 2]).isEqualTo(b[5 * 12 + 2 * 4 + 1]);
        assertThat(up.b()[5 * 3 + 2]).isEqualTo(b[(24 + 5) * 12 + 2 * 4 + 1]);

        Map<String, List<Long>> before = shapes();
        folder.write(
                AdapterFolder.lora("--r=3 --lora-alpha=6 --target-modules=experts"), moe, AdapterTensors.of(modules));
        assertThat(shapes()).isEqualTo(before);
        AdapterFolder.assertSame(AdapterFiles.read(path, moe).modules(), modules);
    }

    @Test
    void theOldLayoutGivesTheSameUpdates() throws Exception {
        ModuleTree tree = TestTrees.qwen3Moe(2, 8);
        List<AdapterModule> today =
                AdapterFiles.read(AdapterFolder.resource("experts"), tree).modules();
        List<AdapterModule> old = AdapterFiles.read(AdapterFolder.resource("experts_peft018_layout"), tree)
                .modules();
        assertThat(today).hasSize(48);
        AdapterFolder.assertSame(old, today);
    }

    /** Where the weights are square, shapes fit both layouts. */
    @ParameterizedTest
    @CsvSource({"0.18.1,true", "0.19.0,true", "0.17.0.dev0,true", "0.19.1,false", "0.21.0,false", "1.0,false"})
    void thePeftVersionDecidesForSquareWeights(String version, boolean swapped) {
        ModuleTree square = TestTrees.squareMoe();
        folder.putPair(EXPERTS, 2 * 4, 32, 32);
        folder.config("\"r\":2,\"target_parameters\":[\"experts.down_proj\"],\"peft_version\":\"" + version + "\"");
        AdapterModule module = folder.read(square).modules().get(1);
        float[] a = folder.values(EXPERTS + ".lora_A.weight");
        float[] b = folder.values(EXPERTS + ".lora_B.weight");
        assertThat(module.a()[32 + 7]).isEqualTo(swapped ? b[7 * 8 + 4 + 1] : a[(2 + 1) * 32 + 7]);
        assertThat(module.b()[7 * 2 + 1]).isEqualTo(swapped ? a[(2 + 1) * 32 + 7] : b[7 * 8 + 4 + 1]);
    }

    @Test
    void withoutAVersionSquareWeightsAreReadAsToday() {
        folder.putPair(EXPERTS, 2 * 4, 32, 32);
        folder.config("\"r\":2,\"target_parameters\":[\"experts.down_proj\"]");
        assertThat(folder.read(TestTrees.squareMoe()).warnings())
                .singleElement()
                .asString()
                .contains("no peft_version");
    }

    @Test
    void adaptersOfTransformers4AreRead() throws Exception {
        Adapter adapter = AdapterFiles.read(AdapterFolder.resource("v4_per_expert"), TestTrees.qwen3Moe(2, 8));
        assertThat(adapter.modules()).hasSize(2 * (1 + 1 + 3 * 8));
        assertThat(adapter.warnings()).isEmpty();
    }

    @Test
    void oneUpdateForAllExpertsIsReadAsOne() {
        LoraConfig config = AdapterFolder.lora("--target-modules=down_proj --share-expert-adapters --lora-alpha=4");
        List<AdapterModule> modules = new ArrayList<>();
        for (AdapterModule module : AdapterFolder.random(config, moe)) {
            AdapterModule first = modules.isEmpty()
                            || modules.getLast().module().layer()
                                    != module.module().layer()
                    ? module
                    : modules.getLast();
            modules.add(new AdapterModule(module.module(), module.name(), 8, 4, 0.5, first.a(), first.b()));
        }
        for (String dialect : List.of("v4", "v5")) {
            LoraConfig written = AdapterFolder.lora("--target-modules=down_proj --share-expert-adapters"
                    + " --lora-alpha=4 --adapter-dialect=" + dialect);
            folder.write(written, moe, AdapterTensors.of(modules));
            assertThat(folder.json()).doesNotContainKeys("share_expert_adapters", "adapter_dialect");
            Adapter read = AdapterFiles.read(path, moe);
            assertThat(read.config().lora().shareExpertAdapters()).isTrue();
            AdapterFolder.assertSame(read.modules(), modules);
        }
    }

    @Test
    void expertsThatShouldBeOneButDifferAreRefused() {
        folder.putPair(EXPERTS, 2 * 4, 32, 24);
        folder.metadata("share_expert_adapters", "true");
        folder.config("\"r\":2,\"target_parameters\":[\"layers.0.mlp.experts.down_proj\"]");
        folder.assertRefused(moe, "differs from " + EXPERTS + ".0.down_proj", "share_expert_adapters");
    }

    @ParameterizedTest
    @CsvSource({"8,30,32,8,fit no weight", "7,24,32,7,fit no weight", "8,24,32,9,fit no weight", "12,24,32,12,rank 3"})
    void pairsThatFitNoWeightAreRefused(int aRows, int aColumns, int bRows, int bColumns, String problem) {
        folder.put(EXPERTS + ".lora_A.weight", aRows, aColumns);
        folder.put(EXPERTS + ".lora_B.weight", bRows, bColumns);
        folder.config("\"r\":2,\"target_parameters\":[\"experts.down_proj\"]");
        folder.assertRefused(moe, problem, EXPERTS);
    }

    @Test
    void twoPairsForOneWeightAreRefused() {
        folder.putPair(EXPERTS, 8, 32, 24);
        folder.putPair(EXPERTS + ".base_layer", 8, 32, 24);
        folder.config("\"r\":2,\"target_parameters\":[\"experts.down_proj\"]");
        folder.assertRefused(moe, "both fit " + EXPERTS + ".down_proj");
    }

    @Test
    void twoLayoutsInOneFileAreRefused() {
        folder.putPair(EXPERTS, 8, 32, 24);
        folder.putPair("model.layers.1.mlp.experts", 8, 24, 32);
        folder.config("\"r\":2,\"target_parameters\":[\"experts.down_proj\"]");
        folder.assertRefused(moe, "model.layers.1.mlp.experts", "one layout");
    }

    @Test
    void missingLayersAndUntargetedWeightsAreRefused() {
        folder.putPair(EXPERTS, 8, 32, 24);
        folder.config("\"r\":2,\"target_parameters\":[\"experts.down_proj\"]");
        folder.assertRefused(moe, "no tensors for model.layers.1.mlp.experts.down_proj");
        folder.config("\"r\":2,\"target_parameters\":[\"layers.0.mlp.experts.down_proj\"]");
        assertThat(folder.read(moe).modules()).hasSize(4);
        folder.putPair("model.layers.1.mlp.experts", 16, 48, 32);
        folder.config("\"r\":2,\"target_parameters\":[\"layers.0.mlp.experts.down_proj\"],"
                + "\"rank_pattern\":{\"gate_up_proj\":4}");
        folder.assertRefused(moe, "unexpected tensors for model.layers.1.mlp.experts.0.gate_proj");
    }

    @Test
    void ownTensorsBesideThoseForAllAreRefused() {
        folder.putPair(EXPERTS, 8, 32, 24);
        folder.putPair(EXPERTS + ".2.down_proj", 2, 32, 24);
        folder.config("\"r\":2,\"target_parameters\":[\"layers.0.mlp.experts.down_proj\"]");
        folder.assertRefused(moe, EXPERTS + ".2.down_proj", "of its own and in one for all");
    }

    /** A factor of 8/3 cannot be taken out of float32 numbers again without rounding. */
    @Test
    void aCheckpointIsExactWhereTheFusedLayoutCannotBe() {
        LoraConfig config = AdapterFolder.lora("--target-modules=down_proj --rank-pattern={'experts.2.down_proj':3}");
        AdapterTensors adapter = AdapterTensors.of(AdapterFolder.random(config, moe));
        folder.write(config, moe, adapter);
        AdapterModule read = AdapterFiles.read(path, moe).modules().get(2);
        AdapterModule written = adapter.modules().get(2);
        assertThat(read.r()).isEqualTo(3);
        assertThat(read.scaling()).isCloseTo(8 / 3.0, within(1e-12));
        assertThat(read.b()).containsExactly(written.b(), within(1e-6f)).isNotEqualTo(written.b());
        AdapterFiles.writeExactly(path, config, Optional.empty(), moe, adapter, AdapterFolder.CARD);
        AdapterFolder.assertSame(AdapterFiles.read(path, moe).modules(), adapter.modules());
    }

    @Test
    void scalingsOfOneLayerNeedNotBeTheSame() {
        LoraConfig config =
                AdapterFolder.lora("--target-modules=experts --r=8 --lora-alpha=16 --alpha-pattern={'up_proj':4}");
        List<AdapterModule> modules = AdapterFolder.random(config, moe);
        folder.write(config, moe, AdapterTensors.of(modules));
        try (SafetensorsFile file = SafetensorsFile.open(path.resolve(AdapterFiles.TENSORS))) {
            assertThat(file.metadata()).containsKey(ZeroPadding.KEY);
        }
        List<AdapterModule> read = AdapterFiles.read(path, moe).modules();
        assertThat(read.get(1).scaling()).isCloseTo(0.5, within(1e-12));
        AdapterFolder.assertSame(read, modules);
    }

    private List<String> names() {
        return List.copyOf(shapes().keySet());
    }

    private Map<String, List<Long>> shapes() {
        Map<String, List<Long>> shapes = new TreeMap<>();
        try (SafetensorsFile file = SafetensorsFile.open(path.resolve(AdapterFiles.TENSORS))) {
            for (TensorEntry entry : file.entries()) {
                shapes.put(entry.name(), entry.shape());
            }
        }
        return shapes;
    }
}
