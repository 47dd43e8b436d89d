package dev.loranative.lora;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.loranative.checkpoint.SafetensorsFile;
import dev.loranative.config.LoraConfig;
import dev.loranative.model.ModuleTree;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import tools.jackson.databind.json.JsonMapper;

/** What is written is what PEFT reads, and what is read again. */
class AdapterFilesTest {

    private static final JsonMapper JSON = JsonMapper.builder().build();
    private static final String Q = "model.layers.0.self_attn.q_proj";

    @TempDir
    private Path path;

    private AdapterFolder folder;
    private final ModuleTree llama = TestTrees.llama(2);
    private final ModuleTree moe = TestTrees.qwen3Moe(2);

    @BeforeEach
    void open() {
        folder = new AdapterFolder(path);
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "--target-modules=attention",
                "--target-modules=attention --use-dora",
                "--target-modules=attention --lora-bias",
                "--target-modules=lm_head",
                "--target-modules=.*[qv]_proj",
                "--target-modules=all-linear --use-rslora",
                "--target-modules=router --layers-to-transform=1",
                "--target-modules=attention,router,experts --use-rslora",
                "--target-modules=experts --layers-to-transform=1 --use-rslora",
                "--target-modules=router,experts,q_proj --rank-pattern={'.*experts.*':4,'gate':2} --alpha-pattern={'gate':3}",
                "--target-modules=down_proj --rank-pattern={'layers.1.*':4}",
            })
    void whatIsWrittenIsReadAgain(String flags) {
        LoraConfig config = AdapterFolder.lora(flags);
        List<AdapterModule> modules = AdapterFolder.random(config, moe);
        assertThat(folder.write(config, moe, AdapterTensors.of(modules))).isEmpty();
        Adapter read = AdapterFiles.read(path, moe);

        assertThat(read.warnings()).isEmpty();
        assertThat(read.config().baseModel()).contains("base");
        AdapterFolder.assertSame(read.modules(), modules);
        assertThat(path).isDirectoryContaining("glob:**README.md");
    }

    @Test
    void theSpellingOfTheFileIsKept() {
        ModuleTree mixtral = TestTrees.mixtral(1);
        LoraConfig config = AdapterFolder.lora("--target-modules=gate,w1,w2,w3");
        List<AdapterModule> modules = new ArrayList<>();
        for (AdapterModule module : AdapterFolder.random(config, mixtral)) {
            String alias = module.module().aliases().getFirst();
            modules.add(new AdapterModule(
                    module.module(), alias, module.r(), module.alpha(), module.scaling(), module.a(), module.b()));
        }
        folder.write(config, mixtral, AdapterTensors.of(modules));
        List<AdapterModule> read = AdapterFiles.read(path, mixtral).modules();
        assertThat(read.getFirst().name()).isEqualTo("model.layers.0.mlp.gate");
        AdapterFolder.assertSame(read, modules);
    }

    @Test
    void everyKeyOfPeftIsWrittenInOrder() throws Exception {
        LoraConfig config = AdapterFolder.lora("--target-modules=q_proj,v_proj --lora-dropout=0.1 --lora-alpha=32");
        folder.write(config, llama, AdapterTensors.of(AdapterFolder.random(config, llama)));
        Map<String, Object> written = folder.json();
        try (var reference =
                AdapterFilesTest.class.getResourceAsStream("/lora/adapters/attn_rslora_pattern/adapter_config.json")) {
            Map<?, ?> peft = JSON.readValue(reference, Map.class);
            assertThat(List.<Object>copyOf(written.keySet())).isEqualTo(List.copyOf(peft.keySet()));
        }
        assertThat(written)
                .containsEntry("target_modules", List.of("q_proj", "v_proj"))
                .containsEntry("lora_dropout", 0.1)
                .containsEntry("lora_alpha", 32)
                .containsEntry("peft_type", "LORA")
                .containsEntry("peft_version", "0.21.0")
                .containsEntry("inference_mode", true)
                .containsEntry("use_dora", false)
                .containsEntry("bias", "none")
                .containsEntry("target_parameters", null);
        try (SafetensorsFile file = SafetensorsFile.open(path.resolve(AdapterFiles.TENSORS))) {
            assertThat(file.metadata()).containsExactly(Map.entry("format", "pt"));
            assertThat(file.find("base_model.model." + Q + ".lora_A.weight")
                            .orElseThrow()
                            .shape())
                    .containsExactly(8L, 32L);
            assertThat(file.entries()).hasSize(8);
        }
    }

    @Test
    void settingsThatPeftMustReadAreWritten() {
        LoraConfig dora = AdapterFolder.lora("--target-modules=q_proj --use-dora --use-rslora");
        folder.write(dora, llama, AdapterTensors.of(AdapterFolder.random(dora, llama)));
        assertThat(folder.json()).containsEntry("use_dora", true).containsEntry("use_rslora", true);
        LoraConfig bias = AdapterFolder.lora("--target-modules=q_proj --lora-bias --init-lora-weights=false");
        folder.write(bias, llama, AdapterTensors.of(AdapterFolder.random(bias, llama)));
        assertThat(folder.json()).containsEntry("lora_bias", true).containsEntry("init_lora_weights", true);
    }

    /** Each row was loaded by PEFT 0.21.0 and gave the logits of W + scaling·B·A ({@code tools/parity}). */
    @ParameterizedTest
    @CsvSource(delimiter = '|', textBlock = """
            router                              | [gate]        | null
            router --layers-to-transform=1      | []            | [model.layers.1.mlp.gate.weight]
            experts                             | [gate_proj, up_proj, down_proj] | null
            attention --layers-to-transform=0   | [layers.0.self_attn.q_proj, layers.0.self_attn.k_proj, layers.0.self_attn.v_proj, layers.0.self_attn.o_proj] | null
            attention                           | [q_proj, k_proj, v_proj, o_proj] | null
            experts --layers-to-transform=1     | []            | [model.layers.1.mlp.experts.gate_up_proj, model.layers.1.mlp.experts.down_proj]
            experts --use-rslora                | []            | [mlp.experts.gate_up_proj, mlp.experts.down_proj]
            """)
    void mixturesOfExpertsAreDescribedSoThatPeftDoesNotWidenThem(String flags, String modules, String parameters) {
        LoraConfig config = AdapterFolder.lora("--target-modules=" + flags + " --lora-dropout=0.1");
        folder.write(config, moe, AdapterTensors.of(AdapterFolder.random(config, moe)));
        assertThat(folder.json().get("target_modules")).hasToString(modules);
        assertThat(String.valueOf(folder.json().get("target_parameters"))).isEqualTo(parameters);
        boolean weights = !flags.startsWith("attention");
        assertThat(folder.json().get("lora_dropout")).isEqualTo(weights ? 0.0 : 0.1);
    }

    @Test
    void theModelCardTellsWhatHowAndOnWhat() {
        LoraConfig config = AdapterFolder.lora("--target-modules=q_proj");
        AdapterTensors adapter = AdapterTensors.of(AdapterFolder.random(config, llama));
        AdapterFiles.write(path, config, Optional.of("org/base"), llama, adapter, AdapterFolder.CARD);
        assertThat(path.resolve(AdapterFiles.CARD))
                .content()
                .startsWith("---\nbase_model: \"org/base\"\nlibrary_name: peft\n")
                .contains(
                        "- trained on two | files",
                        "| learning_rate | 1e-4 |",
                        "| loss | 2.5 |",
                        "2 linear modules of kind attention by a low rank: 1024 param",
                        "| target_modules | [q_proj] |");
    }

    @Test
    void theModelCardTellsTheBaseTheDataAndTheVersions() {
        LoraConfig config = AdapterFolder.lora("--target-modules=q_proj --use-dora --modules-to-save=lm_head");
        ModelCard card = new ModelCard(
                "sha256-blocks:abc",
                List.of("trained on `a.jsonl`", "two\nlines"),
                Map.of("seed", "3"),
                Map.of("evaluation loss", "1.5"),
                Map.of("lora-native", "0.1"));
        FullTensor head = new FullTensor("lm_head.weight", List.of(64L, 32L), new float[64 * 32]);
        TokenRows rows = new TokenRows("model.embed_tokens", List.of(3), new float[32]);
        AdapterTensors adapter = new AdapterTensors(AdapterFolder.random(config, llama), List.of(head), List.of(rows));
        assertThat(card.text(config, Optional.of("org/base"), adapter, List.of("PEFT cannot")))
                .contains(
                        "Content of the base model: `sha256-blocks:abc` (of config.json and of every tensor's name",
                        "four blocks",
                        "- trained on `a.jsonl`\n- two lines\n",
                        "1 tensors in full (`lm_head.weight`), 1 rows of `model.embed_tokens`",
                        "| use_dora | true |",
                        "| modules_to_save | [lm_head] |",
                        "Note: PEFT cannot.",
                        "| evaluation loss | 1.5 |",
                        "- PEFT 0.21.0 (file format)\n- lora-native 0.1\n");
    }

    @Test
    void adaptersOfPeftAreRead() throws Exception {
        Adapter router = AdapterFiles.read(AdapterFolder.resource("router_layer1"), TestTrees.qwen3Moe(2, 8));
        assertThat(router.modules()).singleElement().satisfies(module -> {
            assertThat(module.module().name()).isEqualTo("model.layers.1.mlp.gate");
            assertThat(module.r()).isEqualTo(4);
            assertThat(module.scaling()).isEqualTo(2);
            assertThat(module.a()).hasSize(4 * 32);
        });
        Adapter attention = AdapterFiles.read(AdapterFolder.resource("attn_rslora_pattern"), TestTrees.qwen3Moe(2, 8));
        assertThat(attention.warnings()).isEmpty();
        Map<String, AdapterModule> byName = new LinkedHashMap<>();
        attention.modules().forEach(module -> byName.put(module.name(), module));
        assertThat(byName.get("model.layers.0.self_attn.v_proj").r()).isEqualTo(2);
        assertThat(byName.get("model.layers.1.self_attn.q_proj").scaling()).isCloseTo(32 / 2.0, within(1e-12));
        assertThat(byName.get("model.layers.0.self_attn.v_proj").scaling()).isCloseTo(8 / Math.sqrt(2), within(1e-12));
    }
}
