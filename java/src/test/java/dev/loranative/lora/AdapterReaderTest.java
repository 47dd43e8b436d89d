package dev.loranative.lora;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.loranative.errors.UserException;
import dev.loranative.model.ModuleTree;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** What is refused or reported in the files of an adapter, on one adapter for one module. */
class AdapterReaderTest {

    private static final String Q = "model.layers.0.self_attn.q_proj";
    private static final String CONFIG = "\"r\":2,\"target_modules\":[\"layers.0.self_attn.q_proj\"]";

    @TempDir
    private Path path;

    private AdapterFolder folder;
    private final ModuleTree llama = TestTrees.llama(2);
    private final ModuleTree moe = TestTrees.qwen3Moe(2);

    @BeforeEach
    void aValidAdapter() {
        folder = new AdapterFolder(path);
        folder.putPair(Q, 2, 32, 32);
        folder.config(CONFIG);
    }

    @Test
    void halfPrecisionTensorsAreWidened() throws Exception {
        Path file = path.resolve(AdapterFiles.TENSORS);
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
        folder.writeConfig("{\"peft_type\":\"LORA\",\"r\":1,\"target_modules\":\".*layers.0.*q_proj\"}");
        AdapterModule module = AdapterFiles.read(path, llama).modules().getFirst();
        assertThat(module.a()).startsWith(-1.5f, -0.5f, 0.5f).hasSize(32);
        assertThat(module.b()).startsWith(0f, 0.25f, 0.5f).hasSize(32);
    }

    @Test
    void aConfigurationWithFewKeysIsEnoughAndUnknownKeysAreReported() {
        assertThat(folder.read(llama).warnings()).isEmpty();
        folder.config(CONFIG + ",\"novelty\":1,\"init_lora_weights\":\"gaussian\",\"rank_pattern\":null");
        assertThat(folder.read(llama).warnings()).singleElement().asString().contains("'novelty'");
    }

    @Test
    void anAdapterOfAChangedBaseIsReported() {
        folder.config(CONFIG + ",\"init_lora_weights\":\"pissa_niter_4\"");
        assertThat(folder.read(llama).warnings()).singleElement().asString().contains("pissa_niter_4");
    }

    @Test
    void zerosAreReported() {
        Arrays.fill(folder.values(Q + ".lora_B.weight"), 0);
        assertThat(folder.read(llama).warnings()).singleElement().asString().contains("changes nothing yet");
        folder.putPair("model.layers.1.self_attn.q_proj", 2, 32, 32);
        folder.config("\"r\":2,\"target_modules\":[\"q_proj\"]");
        assertThat(folder.read(llama).warnings()).singleElement().asString().contains("1 of 2 lora_B are zero", Q);
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', textBlock = """
            {"r":2}                                                     | no peft_type
            {"peft_type":"LOHA","r":2}                                  | LOHA
            {"peft_type":"LORA","r":2,"use_dora":true}                  | use_dora
            {"peft_type":"LORA","r":2,"use_dora":"yes"}                 | use_dora is the text "yes", expected true or false
            {"peft_type":"LORA","r":2,"use_rslora":"false"}             | use_rslora is the text "false"
            {"peft_type":"LORA","r":2,"lora_bias":1}                    | lora_bias
            {"peft_type":"LORA","r":2,"lora_bias":true}                 | lora_bias
            {"peft_type":"LORA","r":2,"modules_to_save":["lm_head"]}    | modules_to_save
            {"peft_type":"LORA","r":2,"trainable_token_indices":[3]}    | trainable_tokens_delta
            {"peft_type":"LORA","r":0,"target_modules":["q_proj"]}      | r must be
            {"peft_type":"LORA","r":4,"target_modules":[".*q_proj"]}    | rank 2
            {"peft_type":"LORA","r":2,"target_modules":["q_proj"]}      | no tensors for model.layers.1.self_attn.q_proj
            {"peft_type":"LORA","r":2,"target_modules":["k_proj"]}      | no tensors for model.layers.0.self_attn.k_proj
            {"peft_type":"LORA","r":2                                   | not valid JSON
            [1]                                                         | JSON object
            """)
    void brokenConfigurationsAreRefused(String json, String problem) {
        folder.writeTensors();
        folder.writeConfig(json);
        assertRefused(problem);
    }

    @Test
    void missingFilesAreRefused() throws Exception {
        assertThatThrownBy(() -> AdapterFiles.read(path.resolve("none"), llama))
                .isInstanceOf(UserException.class)
                .hasMessageContaining("no such adapter folder");
        assertRefused("adapter_config.json");
        folder.writeConfig("{\"peft_type\":\"LORA\",\"r\":2}");
        assertRefused("adapter_model.safetensors");
        Files.writeString(path.resolve("adapter_model.bin"), "");
        assertThatThrownBy(() -> AdapterFiles.read(path, llama))
                .isInstanceOfSatisfying(
                        UserException.class, e -> assertThat(e.hint()).contains("convert"));
    }

    @Test
    void aMissingPartnerIsRefused() {
        folder.remove(Q + ".lora_B.weight");
        folder.assertRefused(llama, "no lora_B");
    }

    @Test
    void tensorsWithoutATargetAreRefused() {
        folder.putPair("model.layers.1.self_attn.k_proj", 2, 16, 32);
        folder.assertRefused(llama, "unexpected tensors for model.layers.1.self_attn.k_proj", "does not target");
    }

    @ParameterizedTest
    @CsvSource({"3,32,32,3,rank 3", "2,31,32,2,shape", "2,32,32,3,shape", "2,32,31,2,shape"})
    void wrongShapesAreRefused(int aRows, int aColumns, int bRows, int bColumns, String problem) {
        folder.put(Q + ".lora_A.weight", aRows, aColumns);
        folder.put(Q + ".lora_B.weight", bRows, bColumns);
        folder.assertRefused(llama, problem);
    }

    @Test
    void numbersThatAreNoneAreRefused() {
        folder.values(Q + ".lora_A.weight")[5] = Float.NaN;
        folder.assertRefused(llama, "NaN at element 5", Q + ".lora_A.weight");
    }

    @ParameterizedTest
    @CsvSource({
        "base_model.model.model.layers.9.self_attn.q_proj.lora_A.weight, no linear module of this model",
        "base_model.model.model.layers.0.mlp.experts.down_proj, experts in modules_to_save",
        "base_model.model.model.layers.0.mlp.gate.weight, modules_to_save",
        "base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector, use_dora",
        "base_model.model.model.layers.0.self_attn.q_proj.lora_B.bias, lora_bias",
        "base_model.model.model.layers.0.self_attn.q_proj.lora_C.weight, known are",
        "base_model.model.model.layers.0.self_attn.q_proj.lora_embedding_A, no embedding",
        "base_model.model.model.layers.0.self_attn.q_proj.base_layer.weight, targeted embeddings and heads",
        "base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta, trainable_token_indices",
        "base_model.model.model.other.weight, no module of this model",
        "model.layers.0.self_attn.q_proj.lora_A.weight, base_model.model.",
    })
    void tensorsThatHaveNoPlaceAreRefused(String name, String problem) {
        folder.putWhole(name, 2, 32);
        folder.assertRefused(moe, name, problem);
    }

    @ParameterizedTest
    @CsvSource({
        "mlp.experts.lora_A.weight, no lora_B.weight",
        "mlp.experts.base_layer.lora_B.weight, no lora_A.weight",
    })
    void halfAPairIsRefused(String name, String problem) {
        folder.put("model.layers.0." + name, 8, 24);
        folder.assertRefused(moe, problem);
    }

    @Test
    void truncatedFilesAreRefused() throws Exception {
        folder.read(llama);
        Path file = path.resolve(AdapterFiles.TENSORS);
        byte[] bytes = Files.readAllBytes(file);
        Files.write(file, Arrays.copyOf(bytes, bytes.length - 5));
        assertRefused(AdapterFiles.TENSORS);
    }

    private void assertRefused(String problem) {
        assertThatThrownBy(() -> AdapterFiles.read(path, llama)).isInstanceOfSatisfying(UserException.class, e -> {
            assertThat(e).hasMessageContaining(problem);
            assertThat(e.exitCode()).isEqualTo(2);
            assertThat(e.hint()).isNotBlank();
        });
    }
}
