package dev.loranative.lora;

import static org.assertj.core.api.Assertions.assertThat;

import dev.loranative.checkpoint.SafetensorsFile;
import dev.loranative.checkpoint.TensorEntry;
import dev.loranative.config.LoraConfig;
import dev.loranative.model.LinearModule;
import dev.loranative.model.LinearModule.Kind;
import dev.loranative.model.ModuleTree;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What an adapter replaces in the base model as it is, and embeddings: names, shapes, settings. */
class FullFilesTest {

    private static final String Q = "model.layers.0.self_attn.q_proj";
    private static final String CONFIG = "\"r\":2,\"target_modules\":[\"layers.0.self_attn.q_proj\"]";

    @TempDir
    private Path path;

    private AdapterFolder folder;
    private final ModuleTree tree = TestTrees.llamaWithBiases(2);

    @BeforeEach
    void aValidAdapter() {
        folder = new AdapterFolder(path);
        folder.putPair(Q, 2, 32, 32);
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', textBlock = """
            --modules-to-save=lm_head              | lm_head.weight                          | [lm_head]
            --modules-to-save=norm                 | model.norm.weight,model.layers.0.input_layernorm.weight,model.layers.0.post_attention_layernorm.weight,model.layers.1.input_layernorm.weight,model.layers.1.post_attention_layernorm.weight | [norm]
            --modules-to-save=norm                 | model.norm.weight                       | [model.norm]
            --modules-to-save=k_proj               | model.layers.1.self_attn.k_proj.weight,model.layers.1.self_attn.k_proj.bias | [model.layers.1.self_attn.k_proj]
            --modules-to-save=embed_tokens,lm_head | model.embed_tokens.weight,lm_head.weight | [embed_tokens, lm_head]
            """)
    void modulesInFullKeepTheirPlainNames(String flags, String tensors, String setting) {
        AdapterTensors adapter = adapter(flags, tensors);
        LoraConfig config = AdapterFolder.lora("--target-modules=layers.0.self_attn.q_proj " + flags);
        assertThat(folder.write(config, tree, adapter)).isEmpty();
        for (FullTensor tensor : adapter.full()) {
            assertThat(names()).contains("base_model.model." + tensor.name());
        }
        assertThat(folder.json().get("modules_to_save")).hasToString(setting);
        assertSame(AdapterFiles.read(path, tree), adapter);
    }

    @Test
    void biasesOfTargetsLieInTheWrappedLayer() {
        AdapterTensors adapter = adapter("", Q + ".bias");
        folder.write(AdapterFolder.lora("--target-modules=layers.0.self_attn.q_proj --bias=lora_only"), tree, adapter);
        assertThat(folder.json()).containsEntry("bias", "lora_only").containsEntry("modules_to_save", null);
        assertThat(names()).contains("base_model.model." + Q + ".base_layer.bias");
        assertSame(AdapterFiles.read(path, tree), adapter);

        String all = String.join(",", biases());
        AdapterTensors every = adapter("", all);
        folder.write(AdapterFolder.lora("--target-modules=layers.0.self_attn.q_proj --bias=all"), tree, every);
        assertThat(names())
                .contains(
                        "base_model.model." + Q + ".base_layer.bias",
                        "base_model.model.model.layers.1.self_attn.q_proj.bias");
        assertSame(AdapterFiles.read(path, tree), every);
    }

    @Test
    void theCopiesThatPeftWritesOfBiasesAreTolerated() {
        String k = "model.layers.1.self_attn.k_proj";
        for (String bias : biases()) {
            boolean target = bias.startsWith(Q);
            folder.put(target ? Q + ".base_layer.bias" : bias, bias.matches(".*[kv]_proj.bias") ? 16 : 32);
        }
        folder.put(k + ".weight", 16, 32);
        folder.put(k + ".original_module.bias", 16);
        folder.put(k + ".modules_to_save.bias", 16);
        folder.config(CONFIG + ",\"bias\":\"all\",\"modules_to_save\":[\"layers.1.self_attn.k_proj\"]");
        Adapter adapter = folder.read(tree);
        assertThat(adapter.warnings()).isEmpty();
        assertThat(adapter.tensors().full()).hasSize(9);
        folder.config(CONFIG + ",\"bias\":\"all\"");
        folder.remove(k + ".weight");
        folder.assertRefused(tree, k + ".bias", "not in modules_to_save");
    }

    @Test
    void rowsOfEmbeddingsKeepTheirOrder() {
        LoraConfig config =
                AdapterFolder.lora("--target-modules=layers.0.self_attn.q_proj --trainable-token-indices=5,2");
        AdapterTensors adapter = new AdapterTensors(
                adapter("", "").modules(),
                List.of(),
                List.of(new TokenRows("model.embed_tokens", List.of(5, 2), AdapterFolder.random(64, 3))));
        folder.write(config, tree, adapter);
        assertThat(folder.json()).containsEntry("trainable_token_indices", List.of(5, 2));
        assertThat(names()).contains("base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta");
        TokenRows rows = AdapterFiles.read(path, tree).tensors().tokens().getFirst();
        assertThat(rows.indices()).containsExactly(5, 2);
        assertThat(rows.values()).containsExactly(adapter.tokens().getFirst().values());
    }

    @Test
    void anEmbeddingHasItsMatricesTheOtherWayRound() {
        LinearModule embedding = tree.modules().getFirst();
        assertThat(embedding.kind()).isEqualTo(Kind.EMBEDDING);
        List<AdapterModule> modules = new ArrayList<>(List.of(new AdapterModule(
                embedding,
                embedding.name(),
                2,
                8,
                4,
                AdapterFolder.random(2 * 64, 1),
                AdapterFolder.random(32 * 2, 2))));
        modules.addAll(adapter("", "").modules());
        folder.write(
                AdapterFolder.lora("--r=2 --target-modules=embed_tokens,layers.0.self_attn.q_proj"),
                tree,
                AdapterTensors.of(modules));
        try (SafetensorsFile file = SafetensorsFile.open(path.resolve(AdapterFiles.TENSORS))) {
            String name = "base_model.model.model.embed_tokens.lora_embedding_";
            assertThat(file.find(name + "A").orElseThrow().shape()).containsExactly(2L, 64L);
            assertThat(file.find(name + "B").orElseThrow().shape()).containsExactly(32L, 2L);
        }
        AdapterFolder.assertSame(AdapterFiles.read(path, tree).modules(), modules);
    }

    /** Embedding and head that are one tensor: PEFT stores two, and trains them as one if it is told so. */
    @ParameterizedTest
    @ValueSource(strings = {"lm_head", "embed_tokens", "lm_head,embed_tokens"})
    void aTiedPairIsOneTensor(String modulesToSave) {
        ModuleTree tied = new ModuleTree("qwen2", tree.modules(), tree.tensors(), true);
        AdapterTensors adapter = adapter("", "model.embed_tokens.weight");
        folder.write(
                AdapterFolder.lora("--target-modules=layers.0.self_attn.q_proj --modules-to-save=" + modulesToSave),
                tied,
                adapter);
        assertThat(folder.json())
                .containsEntry("ensure_weight_tying", true)
                .containsEntry("modules_to_save", List.of("model.embed_tokens"));
        assertThat(names()).contains("base_model.model.lm_head.weight", "base_model.model.model.embed_tokens.weight");
        assertSame(AdapterFiles.read(path, tied), adapter);
    }

    @Test
    void aTiedPairThatPeftPartedIsRefused() {
        ModuleTree tied = new ModuleTree("qwen2", tree.modules(), tree.tensors(), true);
        folder.put("model.embed_tokens.weight", 64, 32);
        folder.config(CONFIG + ",\"modules_to_save\":[\"embed_tokens\"]");
        folder.assertRefused(tied, "the embedding alone", "ensure_weight_tying");
        folder.put("lm_head.weight", 64, 32);
        folder.config(CONFIG + ",\"modules_to_save\":[\"embed_tokens\",\"lm_head\"],\"ensure_weight_tying\":true");
        folder.assertRefused(tied, "with other values");
        folder.remove("model.embed_tokens.weight");
        assertThat(folder.read(tied).tensors().full())
                .extracting(FullTensor::name)
                .containsExactly("model.embed_tokens.weight");
    }

    @Test
    void withoutAnyLowRankPeftNeedsAWordThatNamesNothing() {
        AdapterTensors adapter =
                new AdapterTensors(List.of(), adapter("", "model.norm.weight").full(), List.of());
        folder.write(
                AdapterFolder.lora("--modules-to-save=model.norm --target-modules=dummy-target-modules"),
                tree,
                adapter);
        assertThat(folder.json()).containsEntry("target_modules", "dummy-target-modules");
        assertSame(AdapterFiles.read(path, tree), adapter);
    }

    @Test
    void copiesOfTheBaseAreIgnoredAndReported() {
        folder.putPair("lm_head", 2, 64, 32);
        folder.put("lm_head.base_layer.weight", 64, 32);
        folder.config("\"r\":2,\"target_modules\":[\"layers.0.self_attn.q_proj\",\"lm_head\"]");
        assertThat(folder.read(tree).warnings()).singleElement().asString().contains("the base model has it");
        folder.put("model.embed_tokens.weight", 64, 32);
        assertThat(folder.read(tree).warnings()).hasSize(2).anyMatch(text -> text.contains("PEFT's copy"));
        folder.put("model.embed_tokens.weight", 65, 32);
        folder.assertRefused(tree, "[65, 32]", "must have [64, 32]");
    }

    @Test
    void theNamesOfMixtralInMemoryAreUnderstood() {
        ModuleTree mixtral = TestTrees.mixtral(1);
        for (String name : List.of("model.layers.0.mlp.gate", "model.layers.0.block_sparse_moe.gate")) {
            AdapterFolder one = new AdapterFolder(path);
            one.putPair(Q, 2, 32, 32);
            one.put(name + ".weight", 4, 32);
            one.config(CONFIG + ",\"modules_to_save\":[\"gate\"]");
            List<FullTensor> full = one.read(mixtral).tensors().full();
            assertThat(full)
                    .singleElement()
                    .extracting(FullTensor::name)
                    .isEqualTo("model.layers.0.block_sparse_moe.gate.weight");
            LoraConfig config =
                    AdapterFolder.lora("--r=2 --target-modules=layers.0.self_attn.q_proj --modules-to-save=gate");
            one.write(config, mixtral, new AdapterTensors(one.read(mixtral).modules(), full, List.of()));
            assertThat(names()).contains("base_model.model.model.layers.0.mlp.gate.weight");
            assertThat(AdapterFiles.read(path, mixtral).tensors().full()).hasSize(1);
        }
    }

    @Test
    void adaptersOfPeftAreRead() throws Exception {
        Adapter full =
                AdapterFiles.read(AdapterFolder.resource("router_full_modules_to_save"), TestTrees.qwen3Moe(2, 8));
        assertThat(full.warnings()).isEmpty();
        assertThat(full.tensors().full())
                .extracting(FullTensor::name)
                .containsExactly("model.layers.0.mlp.gate.weight", "model.layers.1.mlp.gate.weight");
        Adapter dora = AdapterFiles.read(AdapterFolder.resource("attn_dora"), TestTrees.qwen3Moe(2, 8));
        assertThat(dora.modules())
                .hasSize(4)
                .allMatch(module -> module.magnitude().orElseThrow().length == 32);
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', textBlock = """
            "modules_to_save":["lm_head"]                 | no tensor for lm_head.weight, which adapter_config.json has in modules_to_save
            "bias":"all"                                  | no tensor for model.layers.0.self_attn.q_proj.bias, which adapter_config.json has in bias all
            "bias":"lora_only"                            | in bias lora_only
            "trainable_token_indices":[1,2]               | has no token_adapter.trainable_tokens_delta
            "trainable_token_indices":{"embedding":[1]}   | names embedding
            """)
    void missingTensorsAreRefused(String setting, String problem) {
        folder.config(CONFIG + "," + setting);
        folder.assertRefused(tree, problem);
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', textBlock = """
            model.norm.weight                                 | 32   | 0  | ,"modules_to_save":["lm_hea"]           | neither in modules_to_save
            model.norm.weight                                 | 31   | 0  | ,"modules_to_save":["model.norm"]       | must have [32]
            lm_head.weight                                    | 64   | 31 | ,"modules_to_save":["lm_head"]          | must have [64, 32]
            model.embed_tokens.token_adapter.trainable_tokens_delta | 3 | 32 | ,"trainable_token_indices":[1,2]    | must have [2, 32]
            model.embed_tokens.token_adapter.trainable_tokens_delta | 2 | 32 | ,"trainable_token_indices":[1,64]   | has the rows 0 to 63
            lm_head.token_adapter.trainable_tokens_delta      | 1    | 32 | ,"modules_to_save":null                 | no such trainable_token_indices
            """)
    void tensorsThatDoNotFitAreRefused(String name, long rows, long columns, String setting, String problem) {
        folder.put(name, columns == 0 ? new long[] {rows} : new long[] {rows, columns});
        folder.config(CONFIG + setting);
        folder.assertRefused(tree, problem);
    }

    private List<String> biases() {
        return tree.tensors().keySet().stream()
                .filter(name -> name.endsWith(".bias"))
                .toList();
    }

    /** An update of one module, and these tensors. */
    private AdapterTensors adapter(String flags, String tensors) {
        LoraConfig config = AdapterFolder.lora(("--target-modules=layers.0.self_attn.q_proj " + flags).strip());
        List<FullTensor> full = new ArrayList<>();
        for (String name : tree.tensors().keySet()) {
            if (List.of(tensors.split(",")).contains(name)) {
                List<Long> shape = tree.tensors().get(name);
                int size = Math.toIntExact(FullTarget.elements(shape));
                full.add(new FullTensor(name, shape, AdapterFolder.random(size, name.hashCode())));
            }
        }
        List<AdapterModule> modules = List.of(new AdapterModule(
                module(Q),
                Q,
                config.r(),
                8,
                8.0 / config.r(),
                AdapterFolder.random(32 * config.r(), 1),
                AdapterFolder.random(32 * config.r(), 2)));
        return new AdapterTensors(modules, full, List.of());
    }

    private LinearModule module(String name) {
        return tree.modules().stream()
                .filter(module -> module.name().equals(name))
                .findFirst()
                .orElseThrow();
    }

    private static void assertSame(Adapter read, AdapterTensors written) {
        assertThat(read.warnings()).isEmpty();
        AdapterFolder.assertSame(read.modules(), written.modules());
        assertThat(read.tensors().full()).hasSameSizeAs(written.full());
        for (int i = 0; i < written.full().size(); i++) {
            FullTensor one = read.tensors().full().get(i);
            assertThat(one.name()).isEqualTo(written.full().get(i).name());
            assertThat(one.shape()).isEqualTo(written.full().get(i).shape());
            assertThat(one.values()).containsExactly(written.full().get(i).values());
        }
    }

    private List<String> names() {
        try (SafetensorsFile file = SafetensorsFile.open(path.resolve(AdapterFiles.TENSORS))) {
            return file.entries().stream().map(TensorEntry::name).toList();
        }
    }
}
