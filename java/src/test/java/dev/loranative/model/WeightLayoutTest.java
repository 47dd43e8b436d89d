package dev.loranative.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.loranative.checkpoint.Checkpoint;
import dev.loranative.checkpoint.ElementType;
import dev.loranative.checkpoint.SafetensorsWriter;
import dev.loranative.checkpoint.SafetensorsWriter.Tensor;
import dev.loranative.errors.UserException;
import dev.loranative.model.LinearModule.Kind;
import dev.loranative.quant.StoredWeights;
import java.io.InputStream;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** Module tree and tensors, against layouts/*.json: what transformers 5.18 saves for tiny models. */
class WeightLayoutTest {

    @TempDir
    Path folder;

    private Map<String, Tensor> tensors;
    private WeightLayout layout;

    private static JsonNode golden(String family) throws Exception {
        try (InputStream json = WeightLayoutTest.class.getResourceAsStream("/model/layouts/" + family + ".json")) {
            return new JsonMapper().readTree(json);
        }
    }

    private static ModelConfig config(String family) throws Exception {
        return ModelConfigReader.parse(golden(family).get("config").toString(), family);
    }

    @ParameterizedTest
    @ValueSource(strings = {"llama", "mistral", "qwen2", "qwen3", "qwen3_moe", "qwen2_moe", "mixtral", "olmoe"})
    void expectsWhatTransformersSaves(String family) throws Exception {
        Map<String, List<Long>> saved = new LinkedHashMap<>();
        golden(family).get("tensors").properties().forEach(entry -> {
            List<Long> shape = new ArrayList<>();
            entry.getValue().forEach(size -> shape.add(size.longValue()));
            saved.put(entry.getKey(), shape);
        });
        WeightLayout expected = WeightLayout.of(config(family));
        assertThat(expected.shapes()).containsExactlyInAnyOrderEntriesOf(saved);
        assertThat(expected.parameters())
                .isEqualTo(golden(family).get("parameters").longValue());
    }

    @Test
    void theTreeKnowsRoutersFromGates() throws Exception {
        ModuleTree tree = ModuleTree.of(config("qwen2_moe"));
        assertThat(names(tree, Kind.ROUTER)).containsExactly("model.layers.1.mlp.gate");
        assertThat(names(tree, Kind.MLP))
                .containsExactly(
                        "model.layers.0.mlp.gate_proj",
                        "model.layers.0.mlp.up_proj",
                        "model.layers.0.mlp.down_proj",
                        "model.layers.1.mlp.shared_expert.gate_proj",
                        "model.layers.1.mlp.shared_expert.up_proj",
                        "model.layers.1.mlp.shared_expert.down_proj",
                        "model.layers.1.mlp.shared_expert_gate");
        assertThat(names(tree, Kind.EXPERT))
                .hasSize(9)
                .allMatch(name -> name.startsWith("model.layers.1.mlp.experts."));
        assertThat(names(tree, Kind.ATTENTION)).hasSize(8);
        assertThat(tree.modules().getFirst())
                .isEqualTo(new LinearModule("model.embed_tokens", Kind.EMBEDDING, -1, -1, 48, 32, false, List.of()));
        assertThat(tree.modules().getLast())
                .isEqualTo(new LinearModule("lm_head", Kind.HEAD, -1, -1, 48, 32, false, List.of()));
    }

    @Test
    void mixtralHasItsCheckpointNamesAndThoseOfTransformersAsAliases() throws Exception {
        ModuleTree tree = ModuleTree.of(config("mixtral"));
        assertThat(tree.modules())
                .contains(
                        new LinearModule(
                                "model.layers.1.block_sparse_moe.gate",
                                Kind.ROUTER,
                                1,
                                -1,
                                3,
                                32,
                                false,
                                List.of("model.layers.1.mlp.gate")),
                        new LinearModule(
                                "model.layers.0.block_sparse_moe.experts.2.w2",
                                Kind.EXPERT,
                                0,
                                2,
                                32,
                                40,
                                false,
                                List.of("model.layers.0.mlp.experts.2.down_proj")),
                        new LinearModule(
                                "model.layers.0.block_sparse_moe.experts.0.w1",
                                Kind.EXPERT,
                                0,
                                0,
                                40,
                                32,
                                false,
                                List.of("model.layers.0.mlp.experts.0.gate_proj")),
                        new LinearModule(
                                "model.layers.0.block_sparse_moe.experts.0.w3",
                                Kind.EXPERT,
                                0,
                                0,
                                40,
                                32,
                                false,
                                List.of("model.layers.0.mlp.experts.0.up_proj")));
    }

    @Test
    void aTiedHeadIsAModuleWithoutTensor() throws Exception {
        ModelConfig tied = config("qwen2");
        assertThat(tied.tieWordEmbeddings()).isTrue();
        assertThat(names(ModuleTree.of(tied), Kind.HEAD)).containsExactly("lm_head");
        assertThat(WeightLayout.of(tied).shapes()).doesNotContainKey("lm_head.weight");
    }

    private static List<String> names(ModuleTree tree, Kind kind) {
        return tree.modules().stream()
                .filter(module -> module.kind() == kind)
                .map(LinearModule::name)
                .toList();
    }

    /** A checkpoint of the tied qwen2, to be spoiled. */
    @BeforeEach
    void fillCheckpoint() throws Exception {
        layout = WeightLayout.of(config("qwen2"));
        tensors = new LinkedHashMap<>();
        layout.shapes().forEach((name, shape) -> put(name, ElementType.BF16, shape));
    }

    private void put(String name, ElementType type, List<Long> shape) {
        long elements = shape.stream().reduce(1L, Math::multiplyExact);
        byte[] data = new byte[(int) elements * type.bytes()];
        tensors.put(name, new Tensor(name, type, shape, MemorySegment.ofArray(data)));
    }

    private void withCheckpoint(Consumer<Checkpoint> use) {
        SafetensorsWriter.write(folder.resolve("model.safetensors"), List.copyOf(tensors.values()), Map.of());
        try (Checkpoint checkpoint = Checkpoint.open(folder)) {
            use.accept(checkpoint);
        }
    }

    private void check(Checkpoint checkpoint) {
        layout.check(checkpoint, StoredWeights.of(checkpoint));
    }

    private void refused(String... message) {
        withCheckpoint(checkpoint -> assertThatThrownBy(() -> check(checkpoint))
                .isInstanceOfSatisfying(UserException.class, e -> {
                    assertThat(e.getMessage()).contains(message).contains(folder.toString());
                    assertThat(e.exitCode()).isEqualTo(UserException.BAD_INPUT);
                }));
    }

    @Test
    void acceptsWhatIsExpectedWithHarmlessExtras() {
        withCheckpoint(this::check);
        put("model.layers.0.self_attn.rotary_emb.inv_freq", ElementType.F32, List.of(4L));
        put("lm_head.weight", ElementType.BF16, List.of(48L, 32L));
        put("model.norm.weight", ElementType.F32, List.of(32L));
        put("model.layers.0.mlp.up_proj.weight", ElementType.F16, List.of(40L, 32L));
        withCheckpoint(this::check);
    }

    @Test
    void refusesATiedHeadThatDiffers() {
        put("lm_head.weight", ElementType.BF16, List.of(48L, 32L));
        tensors.get("lm_head.weight").data().set(ValueLayout.JAVA_BYTE, 3000, (byte) 1);
        refused("tie_word_embeddings true, but lm_head.weight differs from model.embed_tokens.weight");
    }

    @Test
    void refusesMissingTensorsAndCountsThem() {
        tensors.remove("model.norm.weight");
        refused("lacks 1 of 26 tensors: model.norm.weight");
        tensors.keySet().removeIf(name -> name.contains("self_attn"));
        refused("lacks 15 of 26 tensors: model.layers.0.self_attn.q_proj.weight,"
                + " model.layers.0.self_attn.q_proj.bias, model.layers.0.self_attn.k_proj.weight and 12 more");
    }

    @Test
    void refusesUnexpectedTensors() {
        put("model.layers.2.mlp.up_proj.weight", ElementType.BF16, List.of(40L, 32L));
        refused("holds 1 tensors that the model does not have: model.layers.2.mlp.up_proj.weight");
        tensors.remove("model.norm.weight");
        refused("lacks 1 of 26 tensors: model.norm.weight; it holds instead model.layers.2.mlp.up_proj.weight");
    }

    @Test
    void refusesOtherShapes() {
        put("model.layers.1.mlp.up_proj.weight", ElementType.BF16, List.of(32L, 40L));
        refused("model.layers.1.mlp.up_proj.weight is [32, 40] instead of [40, 32]");
    }

    @Test
    void refusesTypesThatCannotBeTrainedOn() {
        put("model.layers.1.mlp.up_proj.weight", ElementType.F8_E4M3, List.of(40L, 32L));
        refused("type that cannot be trained on: model.layers.1.mlp.up_proj.weight is F8_E4M3");
    }

    @Test
    void refusesOtherQuantisedFormats() {
        put("model.layers.1.mlp.up_proj.qweight", ElementType.I32, List.of(4L, 40L));
        refused("holds weights in a quantised format that cannot be read (model.layers.1.mlp.up_proj.qweight)");
        tensors.remove("model.layers.1.mlp.up_proj.qweight");
        put("model.layers.1.mlp.up_proj.SCB", ElementType.F32, List.of(40L));
        refused("holds weights in a quantised format that cannot be read (model.layers.1.mlp.up_proj.SCB)");
    }

    @Test
    void refusesPackedWeightsOfWhichNothingIsSaid() {
        put("model.layers.1.mlp.up_proj.weight", ElementType.U8, List.of(640L, 1L));
        refused("type that cannot be trained on: model.layers.1.mlp.up_proj.weight is U8");
    }
}
