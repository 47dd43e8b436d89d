package dev.loranative.lora;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.loranative.checkpoint.FloatTensors;
import dev.loranative.checkpoint.SafetensorsFile;
import dev.loranative.checkpoint.SafetensorsWriter;
import dev.loranative.config.ConfigParser;
import dev.loranative.config.LoraConfig;
import dev.loranative.config.LoraKeys;
import dev.loranative.errors.UserException;
import dev.loranative.model.ModuleTree;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import tools.jackson.databind.json.JsonMapper;

class AdapterFilesTest {

    private static final JsonMapper JSON = JsonMapper.builder().build();
    private static final ModelCard CARD =
            new ModelCard("two | files", Map.of("learning_rate", "1e-4"), Map.of("loss", "2.5"));
    private static final String Q = "model.layers.0.self_attn.q_proj";

    @TempDir
    private Path folder;

    private final ModuleTree llama = TestTrees.llama(2);
    private final ModuleTree moe = TestTrees.qwen3Moe(2);
    private final Map<String, float[]> tensors = new LinkedHashMap<>();
    private final Map<String, List<Long>> shapes = new LinkedHashMap<>();

    @BeforeEach
    void aValidAdapter() {
        put("base_model.model." + Q + ".lora_A.weight", 2, 32);
        put("base_model.model." + Q + ".lora_B.weight", 32, 2);
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "--target-modules=attention",
                "--target-modules=.*[qv]_proj",
                "--target-modules=all-linear --use-rslora",
                "--target-modules=router --layers-to-transform=1",
                "--target-modules=attention,router,experts --use-rslora",
                "--target-modules=experts --layers-to-transform=1 --use-rslora",
                "--target-modules=router,experts,q_proj --rank-pattern={'.*experts.*':4,'gate':2} --alpha-pattern={'gate':3}",
                "--target-modules=down_proj --rank-pattern={'layers.1.*':4}",
            })
    void whatIsWrittenIsReadAgain(String flags) {
        LoraConfig config = config(flags.split(" "));
        List<AdapterModule> modules = random(config, moe);
        assertThat(AdapterFiles.write(folder, config, Optional.of("base"), moe, AdapterTensors.of(modules), CARD))
                .isEmpty();
        Adapter read = AdapterFiles.read(folder, moe);

        assertThat(read.warnings()).isEmpty();
        assertThat(read.config().baseModel()).contains("base");
        assertSame(read.modules(), modules);
        assertThat(folder).isDirectoryContaining("glob:**README.md");
    }

    @Test
    void theSpellingOfTheFileIsKept() {
        ModuleTree mixtral = TestTrees.mixtral(1);
        LoraConfig config = config("--target-modules=gate,w1,w2,w3");
        List<AdapterModule> modules = new ArrayList<>();
        for (AdapterModule module : random(config, mixtral)) {
            String alias = module.module().aliases().getFirst();
            modules.add(new AdapterModule(
                    module.module(), alias, module.r(), module.alpha(), module.scaling(), module.a(), module.b()));
        }
        AdapterFiles.write(folder, config, Optional.empty(), mixtral, AdapterTensors.of(modules), CARD);
        List<AdapterModule> read = AdapterFiles.read(folder, mixtral).modules();
        assertThat(read.getFirst().name()).isEqualTo("model.layers.0.mlp.gate");
        assertSame(read, modules);
    }

    @Test
    void everyKeyOfPeftIsWrittenInOrder() throws Exception {
        LoraConfig config = config("--target-modules=q_proj,v_proj", "--lora-dropout=0.1", "--lora-alpha=32");
        AdapterFiles.write(folder, config, Optional.empty(), llama, AdapterTensors.of(random(config, llama)), CARD);
        Map<String, Object> written = json();
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
                .containsEntry("target_parameters", null);
        try (SafetensorsFile file = SafetensorsFile.open(folder.resolve(AdapterFiles.TENSORS))) {
            assertThat(file.metadata()).containsEntry("format", "pt");
            assertThat(file.find("base_model.model." + Q + ".lora_A.weight")
                            .orElseThrow()
                            .shape())
                    .containsExactly(8L, 32L);
            assertThat(file.entries()).hasSize(8);
        }
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
    void mixturesOfExpertsAreDescribedSoThatPeftDoesNotWidenThem(String flags, String modules, String parameters)
            throws Exception {
        LoraConfig config = config(("--target-modules=" + flags + " --lora-dropout=0.1").split(" "));
        AdapterFiles.write(folder, config, Optional.empty(), moe, AdapterTensors.of(random(config, moe)), CARD);
        assertThat(json().get("target_modules")).hasToString(modules);
        assertThat(String.valueOf(json().get("target_parameters"))).isEqualTo(parameters);
        boolean weights = !flags.startsWith("attention");
        assertThat(json().get("lora_dropout")).isEqualTo(weights ? 0.0 : 0.1);
    }

    @Test
    void whatPeftCannotLoadIsSaid() {
        LoraConfig config = config("--target-modules=up_proj");
        assertThat(AdapterFiles.write(
                        folder, config, Optional.empty(), moe, AdapterTensors.of(random(config, moe)), CARD))
                .singleElement()
                .asString()
                .contains("PEFT 0.21 cannot load");
        assertThat(folder.resolve(AdapterFiles.CARD)).content().contains("PEFT 0.21 cannot load");
    }

    @Test
    void theModelCardTellsWhatHowAndOnWhat() {
        LoraConfig config = config("--target-modules=q_proj");
        AdapterFiles.write(
                folder, config, Optional.of("org/base"), llama, AdapterTensors.of(random(config, llama)), CARD);
        assertThat(folder.resolve(AdapterFiles.CARD))
                .content()
                .startsWith("---\nbase_model: \"org/base\"\nlibrary_name: peft\n")
                .contains(
                        "two | files",
                        "| learning_rate | 1e-4 |",
                        "| loss | 2.5 |",
                        "2 of kind attention",
                        "1024 param");
    }

    @Test
    void adaptersOfPeftAreRead() throws Exception {
        Adapter router = AdapterFiles.read(resource("router_layer1"), TestTrees.qwen3Moe(2, 8));
        assertThat(router.modules()).singleElement().satisfies(module -> {
            assertThat(module.module().name()).isEqualTo("model.layers.1.mlp.gate");
            assertThat(module.r()).isEqualTo(4);
            assertThat(module.scaling()).isEqualTo(2);
            assertThat(module.a()).hasSize(4 * 32);
        });
        Adapter attention = AdapterFiles.read(resource("attn_rslora_pattern"), TestTrees.qwen3Moe(2, 8));
        assertThat(attention.warnings()).isEmpty();
        Map<String, AdapterModule> byName = new LinkedHashMap<>();
        attention.modules().forEach(module -> byName.put(module.name(), module));
        assertThat(byName.get("model.layers.0.self_attn.v_proj").r()).isEqualTo(2);
        assertThat(byName.get("model.layers.1.self_attn.q_proj").scaling()).isCloseTo(32 / 2.0, within(1e-12));
        assertThat(byName.get("model.layers.0.self_attn.v_proj").scaling()).isCloseTo(8 / Math.sqrt(2), within(1e-12));
    }

    @Test
    void halfPrecisionTensorsAreWidened() throws Exception {
        Path file = folder.resolve(AdapterFiles.TENSORS);
        String header =
                "{\"base_model.model.%s.lora_A.weight\":{\"dtype\":\"BF16\",\"shape\":[1,32],\"data_offsets\":[0,64]},"
                                .formatted(Q)
                        + "\"base_model.model.%s.lora_B.weight\":{\"dtype\":\"F16\",\"shape\":[32,1],\"data_offsets\":[64,128]}}"
                                .formatted(Q);
        header += " ".repeat(Math.floorMod(-header.length(), 8));
        ByteBuffer bytes = ByteBuffer.allocate(8 + header.length() + 128).order(ByteOrder.LITTLE_ENDIAN);
        bytes.putLong(header.length()).put(header.getBytes(StandardCharsets.UTF_8));
        for (int i = 0; i < 32; i++) {
            bytes.putShort((short) (Float.floatToIntBits(i - 1.5f) >>> 16));
        }
        for (int i = 0; i < 32; i++) {
            bytes.putShort(Float.floatToFloat16(i * 0.25f));
        }
        Files.write(file, bytes.array());
        writeConfig("\"peft_type\":\"LORA\",\"r\":1,\"target_modules\":\".*layers.0.*q_proj\"");
        AdapterModule module = AdapterFiles.read(folder, llama).modules().getFirst();
        assertThat(module.a()).startsWith(-1.5f, -0.5f, 0.5f).hasSize(32);
        assertThat(module.b()).startsWith(0f, 0.25f, 0.5f).hasSize(32);
    }

    @Test
    void aConfigurationWithFewKeysIsEnoughAndUnknownKeysAreReported() throws Exception {
        assertThat(read().warnings()).isEmpty();
        writeConfig("\"peft_type\":\"LORA\",\"r\":2,\"target_modules\":[\"layers.0.self_attn.q_proj\"],\"novelty\":1,"
                + "\"init_lora_weights\":\"pissa\",\"rank_pattern\":null");
        assertThat(AdapterFiles.read(folder, llama).warnings())
                .singleElement()
                .asString()
                .contains("'novelty'");
    }

    @Test
    void anAdapterOfZerosIsReported() throws Exception {
        Arrays.fill(tensors.get("base_model.model." + Q + ".lora_B.weight"), 0);
        assertThat(read().warnings()).singleElement().asString().contains("changes nothing");
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', textBlock = """
            {"r":2}                                                     | no peft_type
            {"peft_type":"LOHA","r":2}                                  | LOHA
            {"peft_type":"LORA","r":2,"use_dora":true}                  | use_dora
            {"peft_type":"LORA","r":2,"modules_to_save":["lm_head"]}    | modules_to_save
            {"peft_type":"LORA","r":0,"target_modules":["q_proj"]}      | r must be
            {"peft_type":"LORA","r":4,"target_modules":[".*q_proj"]}    | rank 2
            {"peft_type":"LORA","r":2,"target_modules":["q_proj"]}      | no tensors for model.layers.1.self_attn.q_proj
            {"peft_type":"LORA","r":2                                   | not valid JSON
            [1]                                                         | JSON object
            """)
    void brokenConfigurationsAreRefused(String json, String problem) throws Exception {
        writeTensors();
        Files.writeString(folder.resolve(AdapterConfig.FILE), json);
        assertRefused(problem);
    }

    @Test
    void missingFilesAreRefused() throws Exception {
        assertThatThrownBy(() -> AdapterFiles.read(folder.resolve("none"), llama))
                .isInstanceOf(UserException.class)
                .hasMessageContaining("no such adapter folder");
        assertRefused("adapter_config.json");
        writeConfig("\"peft_type\":\"LORA\",\"r\":2");
        assertRefused("adapter_model.safetensors");
        Files.writeString(folder.resolve("adapter_model.bin"), "");
        assertThatThrownBy(() -> AdapterFiles.read(folder, llama))
                .isInstanceOfSatisfying(
                        UserException.class, e -> assertThat(e.hint()).contains("convert"));
    }

    @Test
    void aMissingPartnerIsRefused() throws Exception {
        tensors.remove("base_model.model." + Q + ".lora_B.weight");
        assertThatThrownBy(this::read).isInstanceOf(UserException.class).hasMessageContaining("no lora_B");
    }

    @ParameterizedTest
    @CsvSource({"3,32,32,3,rank 3", "2,31,32,2,shape", "2,32,32,3,shape", "2,32,31,2,shape"})
    void wrongShapesAreRefused(int aRows, int aColumns, int bRows, int bColumns, String problem) {
        put("base_model.model." + Q + ".lora_A.weight", aRows, aColumns);
        put("base_model.model." + Q + ".lora_B.weight", bRows, bColumns);
        assertThatThrownBy(this::read).isInstanceOf(UserException.class).hasMessageContaining(problem);
    }

    @Test
    void numbersThatAreNoneAreRefused() {
        tensors.get("base_model.model." + Q + ".lora_A.weight")[5] = Float.NaN;
        assertThatThrownBy(this::read)
                .isInstanceOf(UserException.class)
                .hasMessageContaining("NaN at element 5")
                .hasMessageContaining(Q + ".lora_A.weight");
    }

    @ParameterizedTest
    @CsvSource({
        "base_model.model.model.layers.9.self_attn.q_proj.lora_A.weight, no linear module of this model",
        "base_model.model.model.layers.0.mlp.experts.lora_A.weight, fused",
        "base_model.model.model.layers.0.mlp.experts.base_layer.lora_B.weight, fused",
        "base_model.model.model.layers.0.mlp.gate.weight, modules_to_save",
        "base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector, DoRA",
        "base_model.model.model.embed_tokens.lora_embedding_A, embeddings",
        "model.layers.0.self_attn.q_proj.lora_A.weight, base_model.model.",
    })
    void tensorsThatHaveNoPlaceAreRefused(String name, String problem) throws Exception {
        put(name, 2, 32);
        writeTensors();
        writeConfig("\"peft_type\":\"LORA\",\"r\":2,\"target_modules\":[\"layers.0.self_attn.q_proj\"]");
        assertThatThrownBy(() -> AdapterFiles.read(folder, moe))
                .isInstanceOfSatisfying(
                        UserException.class,
                        e -> assertThat(e.getMessage() + e.hint())
                                .contains(name)
                                .contains(problem));
    }

    @Test
    void truncatedFilesAreRefused() throws Exception {
        read();
        Path file = folder.resolve(AdapterFiles.TENSORS);
        byte[] bytes = Files.readAllBytes(file);
        Files.write(file, Arrays.copyOf(bytes, bytes.length - 5));
        assertRefused(AdapterFiles.TENSORS);
    }

    private Adapter read() throws Exception {
        writeTensors();
        writeConfig("\"peft_type\":\"LORA\",\"r\":2,\"target_modules\":[\"layers.0.self_attn.q_proj\"]");
        return AdapterFiles.read(folder, llama);
    }

    private void put(String name, long rows, long columns) {
        float[] values = new float[(int) (rows * columns)];
        Random random = new Random(name.hashCode());
        for (int i = 0; i < values.length; i++) {
            values[i] = random.nextFloat() - 0.5f;
        }
        tensors.put(name, values);
        shapes.put(name, List.of(rows, columns));
    }

    private void writeTensors() {
        List<SafetensorsWriter.Tensor> list = new ArrayList<>();
        tensors.forEach((name, values) -> list.add(FloatTensors.of(name, shapes.get(name), values)));
        SafetensorsWriter.write(folder.resolve(AdapterFiles.TENSORS), list, Map.of());
    }

    private void writeConfig(String keys) throws Exception {
        Files.writeString(folder.resolve(AdapterConfig.FILE), "{" + keys + "}");
    }

    private void assertRefused(String problem) {
        assertThatThrownBy(() -> AdapterFiles.read(folder, llama)).isInstanceOfSatisfying(UserException.class, e -> {
            assertThat(e).hasMessageContaining(problem);
            assertThat(e.exitCode()).isEqualTo(2);
            assertThat(e.hint()).isNotBlank();
        });
    }

    private Map<String, Object> json() throws Exception {
        Map<String, Object> map = new LinkedHashMap<>();
        Map<?, ?> read = JSON.readValue(Files.readString(folder.resolve(AdapterConfig.FILE)), LinkedHashMap.class);
        read.forEach((key, value) -> map.put((String) key, value));
        return map;
    }

    private static Path resource(String name) throws Exception {
        return Path.of(
                AdapterFilesTest.class.getResource("/lora/adapters/" + name).toURI());
    }

    private static LoraConfig config(String... flags) {
        return LoraConfig.from(new ConfigParser(LoraKeys.ALL).parse(List.of(flags)));
    }

    private static List<AdapterModule> random(LoraConfig config, ModuleTree tree) {
        Random random = new Random(7);
        List<AdapterModule> modules = new ArrayList<>();
        for (Target target : TargetMatcher.match(config, tree).list()) {
            float[] a = new float[Math.toIntExact(target.r() * target.module().in())];
            float[] b = new float[Math.toIntExact(target.module().out() * target.r())];
            for (int i = 0; i < a.length; i++) {
                a[i] = (float) random.nextGaussian();
            }
            for (int i = 0; i < b.length; i++) {
                b[i] = (float) random.nextGaussian();
            }
            modules.add(AdapterModule.of(target, a, b));
        }
        return modules;
    }

    private static void assertSame(List<AdapterModule> read, List<AdapterModule> written) {
        assertThat(read).hasSameSizeAs(written);
        for (int i = 0; i < read.size(); i++) {
            assertThat(read.get(i).name()).isEqualTo(written.get(i).name());
            assertThat(read.get(i).module()).isEqualTo(written.get(i).module());
            assertThat(read.get(i).r()).isEqualTo(written.get(i).r());
            assertThat(read.get(i).scaling()).isCloseTo(written.get(i).scaling(), within(1e-12));
            assertThat(read.get(i).a()).containsExactly(written.get(i).a());
            assertThat(read.get(i).b()).containsExactly(written.get(i).b());
        }
    }
}
