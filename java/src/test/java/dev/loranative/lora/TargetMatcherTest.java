package dev.loranative.lora;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.loranative.config.ConfigParser;
import dev.loranative.config.LoraConfig;
import dev.loranative.config.LoraKeys;
import dev.loranative.errors.UserException;
import dev.loranative.model.LinearModule.Kind;
import dev.loranative.model.ModuleTree;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class TargetMatcherTest {

    private final ModuleTree moe = TestTrees.qwen3Moe(3);

    @Test
    void gateIsTheRouterAndNeverGateProj() {
        assertThat(names(moe, "--target-modules", "gate"))
                .containsExactly("model.layers.0.mlp.gate", "model.layers.1.mlp.gate", "model.layers.2.mlp.gate");
        assertThat(names(moe, "--target-modules", "gate")).isEqualTo(names(moe, "--target-modules", "mlp.gate"));
        assertThat(names(moe, "--target-modules", "gate")).isEqualTo(names(moe, "--target-modules", "router"));
        assertThat(kinds(moe, "--target-modules", "gate_proj")).containsExactly(Map.entry(Kind.EXPERT, 12L));
        assertThatThrownBy(() -> names(TestTrees.llama(2), "--target-modules", "gate"))
                .isInstanceOf(UserException.class)
                .hasMessageContaining("'gate'");
    }

    @Test
    void groupsNameKinds() {
        assertThat(kinds(moe, "--target-modules", "experts")).containsExactly(Map.entry(Kind.EXPERT, 36L));
        assertThat(kinds(moe, "--target-modules", "attention")).containsExactly(Map.entry(Kind.ATTENTION, 12L));
        assertThat(kinds(moe, "--target-modules", "attention,experts,router"))
                .isEqualTo(Map.of(Kind.ATTENTION, 12L, Kind.EXPERT, 36L, Kind.ROUTER, 3L));
        assertThat(kinds(TestTrees.qwen2Moe(1), "--target-modules", "mlp")).containsExactly(Map.entry(Kind.MLP, 4L));
        assertThat(names(moe, "--target-modules", "router", "--layers-to-transform", "1"))
                .containsExactly("model.layers.1.mlp.gate");
        assertThat(kinds(moe, "--target-modules", "all-linear", "--exclude-modules", "experts"))
                .containsExactly(Map.entry(Kind.ATTENTION, 12L));
    }

    @Test
    void allLinearLeavesRoutersFrozenAndSaysSo() {
        Targets targets = match(moe, "--target-modules", "all-linear");
        assertThat(targets.list())
                .extracting(target -> target.module().kind())
                .contains(Kind.ATTENTION, Kind.EXPERT)
                .doesNotContain(Kind.ROUTER, Kind.HEAD, Kind.EMBEDDING);
        assertThat(targets.warnings())
                .singleElement()
                .asString()
                .contains("3 routers")
                .contains("FROZEN")
                .contains("[attention, mlp, experts, router]");
        assertThat(match(TestTrees.llama(2), "--target-modules", "all-linear").warnings())
                .isEmpty();
        assertThat(kinds(TestTrees.qwen2Moe(1), "--target-modules", "all-linear"))
                .containsEntry(Kind.MLP, 4L);
    }

    @Test
    void theLayerIsTheFirstNumberNotTheExpert() {
        assertThat(names(moe, "--target-modules", "up_proj", "--layers-to-transform", "1"))
                .hasSize(TestTrees.EXPERTS)
                .allMatch(name -> name.startsWith("model.layers.1."));
        assertThat(names(moe, "--target-modules", "experts.3.down_proj"))
                .containsExactly(
                        "model.layers.0.mlp.experts.3.down_proj",
                        "model.layers.1.mlp.experts.3.down_proj",
                        "model.layers.2.mlp.experts.3.down_proj");
    }

    @Test
    void aliasesCount() {
        ModuleTree mixtral = TestTrees.mixtral(2);
        assertThat(names(mixtral, "--target-modules", "mlp.gate"))
                .containsExactly("model.layers.0.block_sparse_moe.gate", "model.layers.1.block_sparse_moe.gate");
        assertThat(names(mixtral, "--target-modules", ".*layers\\.1\\.mlp\\.gate"))
                .containsExactly("model.layers.1.block_sparse_moe.gate");
        assertThat(names(mixtral, "--target-modules", "w1")).isEqualTo(names(mixtral, "--target-modules", "gate_proj"));
    }

    @Test
    void weightsCanBeNamedToo() {
        assertThat(names(moe, "--target-parameters", "mlp.gate.weight")).hasSize(3);
        assertThat(names(moe, "--target-parameters", "layers.1.mlp.gate.weight", "--target-modules", "q_proj"))
                .containsExactly(
                        "model.layers.0.self_attn.q_proj",
                        "model.layers.1.self_attn.q_proj",
                        "model.layers.1.mlp.gate",
                        "model.layers.2.self_attn.q_proj");
        assertRefused(
                moe, "target_parameters: 'mlp.gat.weight'", "mlp.gate.weight", "--target-parameters", "mlp.gat.weight");
    }

    @Test
    void theExpertsTogetherStandForEachOfThem() {
        for (ModuleTree tree : List.of(moe, TestTrees.mixtral(3))) {
            Targets targets = match(
                    tree,
                    "--target-parameters",
                    "mlp.experts.gate_up_proj,mlp.experts.down_proj",
                    "--rank-pattern",
                    "{experts.gate_up_proj: 4}",
                    "--layers-to-transform",
                    "1");
            assertThat(targets.list()).hasSize(3 * TestTrees.EXPERTS);
            assertThat(targets.list().stream().filter(target -> target.r() == 4))
                    .hasSize(2 * TestTrees.EXPERTS);
            assertThat(targets.warnings()).singleElement().asString().contains("gate_proj and up_proj of every expert");
        }
        assertThat(names(moe, "--target-parameters", "experts.down_proj"))
                .hasSize(12)
                .allMatch(name -> name.endsWith("down_proj"));
    }

    @Test
    void defaultsAreThoseOfPeftsTable() {
        assertThat(names(TestTrees.llama(1)))
                .containsExactly("model.layers.0.self_attn.q_proj", "model.layers.0.self_attn.v_proj");
        assertThat(names(TestTrees.mixtral(1)))
                .containsExactly("model.layers.0.self_attn.q_proj", "model.layers.0.self_attn.v_proj");
        assertRefused(moe, "qwen3_moe", "target_modules");
    }

    @Test
    void patternsSetRankAndAlphaOfRouterAndExperts() {
        Targets targets = match(
                moe,
                "--target-modules",
                "gate,q_proj,down_proj",
                "--rank-pattern",
                "{gate: 2, 'layers\\.1\\.mlp\\.experts\\.[01]\\.down_proj': 3}",
                "--alpha-pattern",
                "{gate.weight: 5, up_proj: 9, q_prj: 1}",
                "--lora-dropout",
                "0.25");
        Map<String, Target> byName = targets.list().stream()
                .collect(Collectors.toMap(target -> target.module().name(), target -> target));
        assertThat(byName.get("model.layers.2.mlp.gate").r()).isEqualTo(2);
        assertThat(byName.get("model.layers.2.mlp.gate").scaling()).isEqualTo(2.5);
        assertThat(byName.get("model.layers.1.mlp.experts.1.down_proj").r()).isEqualTo(3);
        assertThat(byName.get("model.layers.1.mlp.experts.2.down_proj").r()).isEqualTo(8);
        assertThat(byName.get("model.layers.1.self_attn.q_proj").dropout()).isEqualTo(0.25);
        assertThat(targets.warnings())
                .hasSize(2)
                .contains("alpha_pattern: 'up_proj' matches no target")
                .anyMatch(warning ->
                        warning.startsWith("alpha_pattern: 'q_prj' matches no target; nearest names: q_proj"));
        assertThat(targets.list().getFirst().parameters()).isEqualTo(8 * 32 + 32 * 8);
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', textBlock = """
            [gate_porj]            | 'gate_porj'   | gate_proj
            [q_proj, rooter]       | 'rooter'      | router
            [mlp.gat]              | 'mlp.gat'     | mlp.gate
            [self_attn]            | container     | q_proj, k_proj
            [experts.0]            | container     | gate_proj
            [all-linear]           | single text   | all-linear
            [mlp]                  | 'mlp'         | inspect
            q_proj                 | 'q_proj'      | [q_proj]
            q_proj,v_proj          | 'q_proj,v_proj' | [q_proj, v_proj]
            .*q_prj                | '.*q_prj'     | whole name
            '(q_proj'              | not a valid   | list of names
            []                     | empty         | q_proj
            """)
    void whatMatchesNothingIsAnErrorWithTheNearestNames(String targets, String problem, String hint) {
        Object value = targets.startsWith("[")
                ? List.of(targets.substring(1, targets.length() - 1).split(", ")).stream()
                        .filter(name -> !name.isEmpty())
                        .toList()
                : targets;
        LoraConfig config =
                LoraConfig.from(new ConfigParser(LoraKeys.ALL).parse(Map.of("target_modules", value), "test"));
        assertThatThrownBy(() -> TargetMatcher.match(config, moe)).isInstanceOfSatisfying(UserException.class, e -> {
            assertThat(e).hasMessageContaining(problem);
            assertThat(e.hint()).contains(hint);
            assertThat(e.exitCode()).isEqualTo(2);
        });
    }

    @Test
    void layersAndExclusionsThatLeaveNothingAreErrors() {
        assertRefused(moe, "no layer 3, 7", "from 0", "--target-modules", "q_proj", "--layers-to-transform", "1,3,7");
        assertRefused(
                TestTrees.qwen3MoeWithDenseLayer(2),
                "'gate' names modules of other layers",
                "leave 'gate' out",
                "--target-modules",
                "gate",
                "--layers-to-transform",
                "0");
        assertRefused(
                moe, "leaves nothing", "exclude less", "--target-modules", "q_proj", "--exclude-modules", "q_proj");
        assertRefused(
                moe,
                "layers_pattern",
                "leave",
                "--target-modules",
                "q_proj",
                "--layers-to-transform",
                "1",
                "--layers-pattern",
                "h");
    }

    @Test
    void whatNamesMoreThanItSeemsToIsAWarning() {
        assertWarning(
                TestTrees.qwen2Moe(2),
                "'gate_proj' names 8 projections of routed experts and 2 of shared experts",
                "shared_expert.gate_proj",
                "--target-modules",
                "gate_proj");
        assertWarning(
                TestTrees.qwen3MoeWithDenseLayer(3),
                "'up_proj' names 8 projections of experts and 1 of plain MLPs (layer 0)",
                "mlp.up_proj",
                "--target-modules",
                "up_proj");
        assertWarning(moe, "also names model.embed_tokens, lm_head", "exclude_modules", "--target-modules", ".*");
        assertWarning(moe, "'2.up_proj' names expert 2 of layers 0, 1, 2", "mlp", "--target-modules", "2.up_proj");
        assertThat(match(TestTrees.qwen2Moe(2), "--target-modules", "shared_expert.gate_proj,experts")
                        .warnings())
                .isEmpty();
        assertThat(match(TestTrees.qwen3MoeWithDenseLayer(3), "--target-modules", "mlp,experts,gate")
                        .warnings())
                .isEmpty();
    }

    @Test
    void whatNamesLessThanItSeemsToIsAWarning() {
        assertWarning(
                TestTrees.qwen3MoeWithDenseLayer(3),
                "'mlp.up_proj' names no experts, which layers 1, 2 have",
                "add experts",
                "--target-modules",
                "mlp.up_proj");
        assertWarning(TestTrees.qwen2Moe(1), "'mlp' names no experts", "add experts", "--target-modules", "mlp");
        assertWarning(
                TestTrees.qwen3MoeWithDenseLayer(3),
                "'gate' names nothing in layer 0",
                "",
                "--target-modules",
                "gate",
                "--layers-to-transform",
                "0,1");
        assertWarning(
                moe,
                "target_modules: 'gate' has no effect",
                "exclude_modules leaves out",
                "--target-modules",
                "gate,q_proj",
                "--exclude-modules",
                "router");
    }

    @Test
    void theRoutersOfTheLastLayers() {
        assertThat(names(moe, "--target-modules", "router", "--layers-to-transform", "last:2"))
                .containsExactly("model.layers.1.mlp.gate", "model.layers.2.mlp.gate");
        assertThat(names(moe, "--target-modules", "router", "--layers-to-transform", "-1"))
                .containsExactly("model.layers.2.mlp.gate");
        assertRefused(moe, "no layer -4", "-1", "--target-modules", "router", "--layers-to-transform", "last:4");
    }

    /** PEFT applies neither to parameters, and so to no router and no expert. */
    @Test
    void layersAndExclusionsHoldForWeightsToo() {
        assertThat(names(moe, "--target-parameters", "mlp.gate.weight", "--layers-to-transform", "1"))
                .containsExactly("model.layers.1.mlp.gate");
        assertThat(names(moe, "--target-parameters", "mlp.gate.weight", "--exclude-modules", "layers.0.mlp.gate"))
                .containsExactly("model.layers.1.mlp.gate", "model.layers.2.mlp.gate");
        assertThat(names(moe, "--target-modules", ".*\\.mlp\\.gate", "--exclude-modules", ".*layers\\.[01]\\..*"))
                .containsExactly("model.layers.2.mlp.gate");
        assertRefused(
                TestTrees.qwen3MoeWithDenseLayer(2),
                "target_parameters: 'mlp.gate.weight' names modules of other layers",
                "change the layers",
                "--target-parameters",
                "mlp.gate.weight",
                "--layers-to-transform",
                "0");
    }

    @Test
    void whatCannotBeMeantIsExplained() {
        assertRefused(TestTrees.llama(2), "no routers", "gate_proj is a projection", "--target-modules", "gate");
        assertRefused(TestTrees.llama(2), "no routers", "mixtures of experts", "--target-modules", "q_proj,router");
        assertRefused(moe, "gate_up_proj is what", "[gate_proj, up_proj]", "--target-modules", "gate_up_proj");
        assertRefused(moe, "has no low rank", "modules_to_save: [norm]", "--target-modules", "norm");
    }

    private static void assertWarning(ModuleTree tree, String problem, String more, String... flags) {
        assertThat(match(tree, flags).warnings()).singleElement().asString().contains(problem, more);
    }

    @Test
    void anExclusionWithoutEffectIsAWarning() {
        assertThat(match(moe, "--target-modules", "q_proj", "--exclude-modules", "k_prj")
                        .warnings())
                .singleElement()
                .asString()
                .contains("'k_prj'")
                .contains("k_proj");
        assertThat(match(moe, "--target-modules", "q_proj", "--exclude-modules", "k_proj")
                        .warnings())
                .isEmpty();
    }

    private static void assertRefused(ModuleTree tree, String problem, String hint, String... flags) {
        assertThatThrownBy(() -> match(tree, flags)).isInstanceOfSatisfying(UserException.class, e -> {
            assertThat(e).hasMessageContaining(problem);
            assertThat(e.hint()).contains(hint);
            assertThat(e.exitCode()).isEqualTo(2);
        });
    }

    private static Map<Kind, Long> kinds(ModuleTree tree, String... flags) {
        return match(tree, flags).list().stream()
                .collect(Collectors.groupingBy(target -> target.module().kind(), Collectors.counting()));
    }

    private static List<String> names(ModuleTree tree, String... flags) {
        return match(tree, flags).list().stream()
                .map(target -> target.module().name())
                .toList();
    }

    private static Targets match(ModuleTree tree, String... flags) {
        return TargetMatcher.match(LoraConfig.from(new ConfigParser(LoraKeys.ALL).parse(List.of(flags))), tree);
    }
}
