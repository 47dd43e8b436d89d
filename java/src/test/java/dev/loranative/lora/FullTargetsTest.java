package dev.loranative.lora;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.groups.Tuple.tuple;

import dev.loranative.config.ConfigParser;
import dev.loranative.config.LoraConfig;
import dev.loranative.config.LoraKeys;
import dev.loranative.errors.UserException;
import dev.loranative.lora.FullTarget.Origin;
import dev.loranative.model.LinearModule;
import dev.loranative.model.ModuleTree;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** {@code modules_to_save}, {@code bias} and {@code trainable_token_indices}, as PEFT 0.21.0 was seen to read them. */
class FullTargetsTest {

    private final ModuleTree llama = withNorms(TestTrees.llama(2), false, false);
    private final ModuleTree tied = withNorms(TestTrees.llama(2), false, true);
    private final ModuleTree biased = withNorms(TestTrees.llama(2), true, false);
    private final ModuleTree moe = withNorms(TestTrees.qwen3Moe(2), false, false);
    private final ModuleTree shared = withNorms(TestTrees.qwen2Moe(1), false, false);

    /** With the norms of a layer, and where asked with biases on queries as qwen2 has them. */
    private static ModuleTree withNorms(ModuleTree tree, boolean biases, boolean tied) {
        List<LinearModule> modules = tree.modules().stream()
                .map(module -> new LinearModule(
                        module.name(),
                        module.kind(),
                        module.layer(),
                        module.expert(),
                        module.out(),
                        module.in(),
                        biases && module.name().endsWith("q_proj"),
                        module.aliases()))
                .toList();
        Map<String, List<Long>> tensors = new LinkedHashMap<>(new ModuleTree(tree.modelType(), modules).tensors());
        int layers = modules.stream().mapToInt(LinearModule::layer).max().orElseThrow() + 1;
        for (int layer = 0; layer < layers; layer++) {
            tensors.put("model.layers." + layer + ".input_layernorm.weight", List.of(32L));
            tensors.put("model.layers." + layer + ".post_attention_layernorm.weight", List.of(32L));
        }
        tensors.put("model.norm.weight", List.of(32L));
        return new ModuleTree(tree.modelType(), modules, tensors, tied);
    }

    @Test
    void aModuleIsNamedByTheEndOfItsName() {
        assertThat(full(llama, "lm_head")).containsExactly("lm_head.weight");
        assertThat(full(moe, "gate"))
                .containsExactly("model.layers.0.mlp.gate.weight", "model.layers.1.mlp.gate.weight");
        assertThat(full(moe, "layers.1.mlp.gate")).containsExactly("model.layers.1.mlp.gate.weight");
        assertThat(full(llama, "model.norm")).containsExactly("model.norm.weight");
        assertThat(match(llama, "--target-modules", "q_proj", "--modules-to-save", "lm_head")
                        .full())
                .containsExactly(new FullTarget("lm_head.weight", List.of(64L, 32L), Origin.MODULES_TO_SAVE));
    }

    @Test
    void aHitInsideAWordIsAWarningWithTheExactName() {
        Targets targets = match(llama, "--target-modules", "q_proj", "--modules-to-save", "norm");

        assertThat(targets.full()).hasSize(5);
        assertThat(targets.warnings())
                .singleElement()
                .asString()
                .contains("'norm' also names input_layernorm, post_attention_layernorm")
                .contains("5 modules together")
                .contains("'model.norm'");
        assertThat(match(shared, "--target-modules", "q_proj", "--modules-to-save", "gate")
                        .warnings())
                .singleElement()
                .asString()
                .contains("shared_expert_gate")
                .contains("'mlp.gate'");
        assertThat(match(llama, "--target-modules", "q_proj", "--modules-to-save", "head")
                        .warnings())
                .singleElement()
                .asString()
                .contains("'head' names lm_head (1 module)");
        assertRefused(
                llama, "modules_to_save: '(norm' is not a valid regular expression", "--modules-to-save", "(norm");
        assertThat(match(shared, "--target-modules", "q_proj", "--modules-to-save", "mlp.gate")
                        .warnings())
                .isEmpty();
    }

    @Test
    void aContainerStandsForAllInIt() {
        assertThat(full(llama, "layers.1.mlp"))
                .containsExactly(
                        "model.layers.1.mlp.gate_proj.weight",
                        "model.layers.1.mlp.up_proj.weight",
                        "model.layers.1.mlp.down_proj.weight");
        assertThat(full(llama, "layers.0")).hasSize(9).contains("model.layers.0.input_layernorm.weight");
        assertRefused(llama, "the whole model", "--modules-to-save", "layers");
        assertRefused(moe, "names experts", "--modules-to-save", "mlp");
        assertRefused(moe, "names experts", "--modules-to-save", "down_proj");
    }

    @Test
    void whatIsTrainedInFullHasNoLowRank() {
        Targets targets = match(moe, "--target-modules", "q_proj,gate", "--modules-to-save", "gate");

        assertThat(targets.list())
                .extracting(target -> target.module().name())
                .allMatch(name -> name.endsWith("q_proj"));
        assertThat(targets.full()).hasSize(2);
        assertThat(targets.warnings())
                .containsExactly("target_modules: 'gate' has no effect: modules_to_save trains all that it names");
        assertThat(match(moe, "--target-modules", "all-linear", "--modules-to-save", "gate")
                        .warnings())
                .isEmpty();
        assertRefused(
                moe,
                "modules_to_save [gate] leaves nothing of target_modules [gate]",
                "--target-modules",
                "gate",
                "--modules-to-save",
                "gate");
    }

    @Test
    void fullTrainingAloneNeedsNoLowRank() {
        assertThat(match(moe, "--modules-to-save", "gate").list()).isEmpty();
        assertThat(match(llama, "--target-modules", "[]", "--bias", "none", "--modules-to-save", "lm_head")
                        .list())
                .isEmpty();
        assertThat(match(llama, "--modules-to-save", "lm_head").list()).hasSize(4);
        LoraConfig nothing = LoraConfig.from(new ConfigParser(LoraKeys.ALL)
                .parse(Map.of("target_modules", "dummy-target-modules", "modules_to_save", "norm"), "test"));
        assertThat(TargetMatcher.match(nothing, llama).list()).isEmpty();
    }

    @Test
    void aNameWithoutAModuleIsAnErrorWithTheNearest() {
        assertThatThrownBy(() -> match(moe, "--target-modules", "q_proj", "--modules-to-save", "mlp.gat"))
                .isInstanceOfSatisfying(UserException.class, e -> {
                    assertThat(e).hasMessageContaining("modules_to_save: 'mlp.gat'");
                    assertThat(e.hint()).contains("mlp.gate");
                });
        assertThatThrownBy(() -> match(moe, "--target-modules", "q_proj", "--modules-to-save", "router"))
                .isInstanceOfSatisfying(
                        UserException.class, e -> assertThat(e.hint()).contains("[mlp.gate]"));
    }

    @Test
    void aTiedHeadIsTheEmbedding() {
        for (String names : List.of("lm_head", "embed_tokens", "lm_head,embed_tokens")) {
            Targets targets = match(tied, "--target-modules", "q_proj", "--modules-to-save", names);
            assertThat(targets.full()).extracting(FullTarget::name).containsExactly("model.embed_tokens.weight");
            assertThat(targets.warnings()).singleElement().asString().contains("one tensor");
        }
        assertRefused(tied, "leaves nothing", "--target-modules", "lm_head", "--modules-to-save", "embed_tokens");
    }

    @Test
    void biasesOfAllModulesOrOfTargets() {
        assertThat(match(biased, "--target-modules", "v_proj", "--bias", "all").full())
                .containsExactly(
                        new FullTarget("model.layers.0.self_attn.q_proj.bias", List.of(32L), Origin.BIAS),
                        new FullTarget("model.layers.1.self_attn.q_proj.bias", List.of(32L), Origin.BIAS));
        assertThat(match(biased, "--target-modules", "layers.0.self_attn.q_proj,v_proj", "--bias", "lora_only")
                        .full())
                .extracting(FullTarget::name)
                .containsExactly("model.layers.0.self_attn.q_proj.bias");
        assertThat(match(biased, "--target-modules", "v_proj", "--bias", "lora_only")
                        .warnings())
                .containsExactly("bias: lora_only has no effect: no target has a bias");
        assertThat(match(llama, "--target-modules", "v_proj", "--bias", "all").warnings())
                .containsExactly("bias: all has no effect: no part of this model has a bias");
    }

    @Test
    void aBiasThatIsAlreadyTrainedIsNotTakenTwice() {
        assertThat(match(
                                biased,
                                "--target-modules",
                                "v_proj",
                                "--modules-to-save",
                                "0.self_attn.q_proj",
                                "--bias",
                                "all")
                        .full())
                .extracting(FullTarget::name, FullTarget::origin)
                .containsExactly(
                        tuple("model.layers.0.self_attn.q_proj.weight", Origin.MODULES_TO_SAVE),
                        tuple("model.layers.0.self_attn.q_proj.bias", Origin.MODULES_TO_SAVE),
                        tuple("model.layers.1.self_attn.q_proj.bias", Origin.BIAS));
    }

    @Test
    void rowsOfEmbeddingsAndHeads() {
        assertThat(match(llama, "--trainable-token-indices", "5,1").tokens())
                .containsExactly(new TokenTarget("model.embed_tokens", List.of(5, 1), 32));
        assertThat(match(llama, "--trainable-token-indices", "{embed_tokens: [5, 1], lm_head: [2]}")
                        .tokens())
                .containsExactly(
                        new TokenTarget("model.embed_tokens", List.of(5, 1), 32),
                        new TokenTarget("lm_head", List.of(2), 32));
        assertThat(match(tied, "--trainable-token-indices", "{embed_tokens: [5], lm_head: [5]}")
                        .tokens())
                .containsExactly(new TokenTarget("model.embed_tokens", List.of(5), 32));
        assertRefused(tied, "tied to the embedding", "--trainable-token-indices", "{lm_head: [5]}");
        assertRefused(llama, "no token 64", "--trainable-token-indices", "3,64");
        assertRefused(llama, "'nope'", "--trainable-token-indices", "{nope: [3]}");
        assertRefused(llama, "in full", "--trainable-token-indices", "3", "--modules-to-save", "embed_tokens");
        assertRefused(llama, "LoRA", "--trainable-token-indices", "3", "--target-modules", "embed_tokens");
    }

    @Test
    void embeddingAndHeadCanHaveALowRank() {
        Targets targets = match(llama, "--target-modules", "embed_tokens,lm_head", "--lora-dropout", "0.5", "--r", "4");

        assertThat(targets.list()).extracting(Target::dropout).containsExactly(0.0, 0.5);
        assertThat(targets.parameters()).isEqualTo(2 * 4 * (64 + 32));
        assertThat(targets.warnings()).isEmpty();
        assertThat(match(tied, "--target-modules", "lm_head").warnings())
                .singleElement()
                .asString()
                .contains("lm_head is one tensor with the embedding");
        assertRefused(tied, "ensure_weight_tying", "--target-modules", "lm_head", "--ensure-weight-tying");
    }

    @Test
    void doraAndBiasesAreForPlainLinearLayers() {
        for (String setting : List.of("--use-dora", "--lora-bias")) {
            assertRefused(moe, "which is an expert", "--target-modules", "all-linear", setting);
            assertRefused(moe, "which is a router", "--target-modules", "gate", setting);
            assertRefused(llama, "which is an embedding", "--target-modules", "embed_tokens", setting);
        }
        assertThat(match(moe, "--target-modules", "attention", "--use-dora").list())
                .allMatch(Target::dora);
        assertThat(match(biased, "--target-modules", "q_proj,v_proj", "--lora-bias")
                        .warnings())
                .singleElement()
                .asString()
                .contains("2 of 4 targets have no bias");
    }

    @Test
    void oneAdapterForAllExpertsNeedsAllOfThem() {
        assertThat(match(moe, "--target-modules", "experts", "--share-expert-adapters")
                        .list())
                .hasSize(24);
        assertRefused(
                moe,
                "leave out model.layers.0.mlp.experts.1.up_proj",
                "--target-modules",
                "experts.0.up_proj",
                "--share-expert-adapters");
        assertRefused(
                moe,
                "has r 8, but",
                "--target-modules",
                "experts",
                "--share-expert-adapters",
                "--rank-pattern",
                "{experts.0.up_proj: 2}");
        assertThat(match(moe, "--target-modules", "gate", "--share-expert-adapters")
                        .warnings())
                .containsExactly("share_expert_adapters has no effect: no expert is a target");
    }

    private static List<String> full(ModuleTree tree, String text) {
        Targets targets = match(tree, "--target-modules", "v_proj", "--modules-to-save", text);
        return targets.full().stream().map(FullTarget::name).toList();
    }

    private static void assertRefused(ModuleTree tree, String problem, String... flags) {
        assertThatThrownBy(() -> match(tree, flags)).isInstanceOfSatisfying(UserException.class, e -> {
            assertThat(e).hasMessageContaining(problem);
            assertThat(e.hint()).isNotBlank();
            assertThat(e.exitCode()).isEqualTo(2);
        });
    }

    private static Targets match(ModuleTree tree, String... flags) {
        return TargetMatcher.match(LoraConfig.from(new ConfigParser(LoraKeys.ALL).parse(List.of(flags))), tree);
    }
}
