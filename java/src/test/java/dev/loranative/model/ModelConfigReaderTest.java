package dev.loranative.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.loranative.errors.UserException;
import dev.loranative.nn.RopeParameters;
import dev.loranative.tensor.Activation;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

class ModelConfigReaderTest {

    /** effective-configs.json: configurations, and what transformers 5.18 makes of them. */
    @TestFactory
    Stream<DynamicTest> understandsAsTransformersDoes() throws Exception {
        JsonNode cases;
        try (InputStream json = ModelConfigReaderTest.class.getResourceAsStream("/model/effective-configs.json")) {
            cases = new JsonMapper().readTree(json);
        }
        return StreamSupport.stream(cases.spliterator(), false)
                .map(node -> DynamicTest.dynamicTest(node.get("name").stringValue(), () -> {
                    ModelConfig config =
                            ModelConfigReader.parse(node.get("config").toString(), "config.json");
                    compare(config, node.get("effective"));
                }));
    }

    private static void compare(ModelConfig config, JsonNode expected) {
        assertThat(config.vocabSize()).isEqualTo(expected.get("vocab_size").intValue());
        assertThat(config.hiddenSize()).isEqualTo(expected.get("hidden_size").intValue());
        assertThat(config.intermediateSize())
                .isEqualTo(expected.get("intermediate_size").intValue());
        assertThat(config.layers()).isEqualTo(expected.get("layers").intValue());
        assertThat(config.heads()).isEqualTo(expected.get("heads").intValue());
        assertThat(config.kvHeads()).isEqualTo(expected.get("kv_heads").intValue());
        assertThat(config.headDim()).isEqualTo(expected.get("head_dim").intValue());
        assertThat(config.maxPositionEmbeddings())
                .isEqualTo(expected.get("max_position_embeddings").intValue());
        assertThat(config.rmsNormEps()).isEqualTo(expected.get("rms_norm_eps").doubleValue());
        assertThat(config.tieWordEmbeddings()).isEqualTo(expected.get("tie").booleanValue());
        assertThat(config.qkvBias()).isEqualTo(expected.get("qkv_bias").booleanValue());
        assertThat(config.oBias()).isEqualTo(expected.get("o_bias").booleanValue());
        assertThat(config.mlpBias()).isEqualTo(expected.get("mlp_bias").booleanValue());
        assertThat(config.clipQkv()).isEqualTo(expected.get("clip_qkv").doubleValue());
        assertThat(config.slidingWindows()).isEqualTo(integers(expected.get("windows")));
        assertThat(config.activation()).isEqualTo(Activation.SILU);
        compareRope(config.rope(), expected.get("rope"));
        assertThat(config.moe().isPresent()).isEqualTo(expected.has("moe"));
        config.moe().ifPresent(moe -> compareMoe(moe, expected.get("moe")));
    }

    private static void compareRope(RopeParameters rope, JsonNode expected) {
        assertThat(rope.type().label()).isEqualTo(expected.get("rope_type").stringValue());
        assertThat(rope.theta()).isEqualTo(expected.get("rope_theta").doubleValue());
        assertThat(rope.factor()).isEqualTo(expected.path("factor").doubleValue(1));
        assertThat(rope.lowFreqFactor())
                .isEqualTo(expected.path("low_freq_factor").doubleValue(0));
        assertThat(rope.highFreqFactor())
                .isEqualTo(expected.path("high_freq_factor").doubleValue(0));
        assertThat(rope.originalMaxPositionEmbeddings())
                .isEqualTo(expected.path("original_max_position_embeddings").intValue(0));
    }

    private static void compareMoe(MoeConfig moe, JsonNode expected) {
        assertThat(moe.experts()).isEqualTo(expected.get("experts").intValue());
        assertThat(moe.topK()).isEqualTo(expected.get("top_k").intValue());
        assertThat(moe.intermediateSize())
                .isEqualTo(expected.get("intermediate_size").intValue());
        assertThat(moe.sharedIntermediateSize())
                .isEqualTo(expected.get("shared").intValue());
        assertThat(moe.renormalise()).isEqualTo(expected.get("renormalise").booleanValue());
        assertThat(moe.auxLossCoefficient()).isEqualTo(expected.get("aux").doubleValue());
        assertThat(moe.auxLossOn())
                .isEqualTo(expected.get("output_router_logits").booleanValue());
        List<Boolean> sparse = new ArrayList<>();
        expected.get("sparse").forEach(flag -> sparse.add(flag.booleanValue()));
        assertThat(moe.sparse()).isEqualTo(sparse);
    }

    private static List<Integer> integers(JsonNode array) {
        List<Integer> values = new ArrayList<>();
        array.forEach(value -> values.add(value.intValue()));
        return values;
    }

    private static ModelConfig parse(String text) {
        return ModelConfigReader.parse(text.replace('\'', '"'), "config.json");
    }

    @Test
    void readsBothSpellingsOfTheType() {
        assertThat(parse("{'model_type':'llama','torch_dtype':'float16'}").dtype())
                .contains("float16");
        assertThat(parse("{'model_type':'llama','dtype':'bfloat16'}").dtype()).contains("bfloat16");
        assertThat(parse("{'model_type':'llama'}").dtype()).isEmpty();
    }

    @ParameterizedTest
    @CsvSource({"silu,SILU", "swish,SILU", "gelu,GELU_ERF", "gelu_pytorch_tanh,GELU_TANH", "gelu_new,GELU_TANH"})
    void readsActivations(String name, Activation activation) {
        assertThat(parse("{'model_type':'llama','hidden_act':'" + name + "'}").activation())
                .isEqualTo(activation);
    }

    @Test
    void readsYarnsOwnKeys() {
        RopeParameters.Yarn yarn = parse("{'model_type':'llama','rope_parameters':{'rope_type':'yarn','factor':4,"
                        + "'original_max_position_embeddings':64,'beta_fast':16,'beta_slow':0,'mscale':0.7,"
                        + "'mscale_all_dim':1.2,'attention_factor':0.5,'truncate':false}}")
                .rope()
                .yarn();
        assertThat(yarn.betaFast()).isEqualTo(16);
        assertThat(yarn.betaSlow()).as("0 counts as absent").isEqualTo(1);
        assertThat(yarn.mscale()).hasValue(0.7);
        assertThat(yarn.mscaleAllDim()).hasValue(1.2);
        assertThat(yarn.attentionFactor()).hasValue(0.5);
        assertThat(yarn.truncate()).isFalse();
    }

    @Test
    void yarnWithoutFactorIsStretchedByTheRatioOfTheContexts() {
        RopeParameters rope = parse("{'model_type':'llama','max_position_embeddings':256,'rope_scaling':"
                        + "{'type':'yarn','factor':null,'original_max_position_embeddings':64}}")
                .rope();
        assertThat(rope.factor()).isEqualTo(4);
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            quoteCharacter = '`',
            value = {
                "{'model_type':'gpt2'}|model_type 'gpt2' is not supported",
                "{'hidden_size':8}|model_type is missing",
                "[]|not a JSON object",
                "{'model_type':'llama','hidden_size':'64'}|hidden_size is \"64\"",
                "{'model_type':'llama','hidden_size':64.5}|hidden_size is 64.5",
                "{'model_type':'llama','hidden_size':99999999999}|hidden_size is 99999999999",
                "{'model_type':'llama','hidden_size':0}|hidden_size is 0",
                "{'model_type':'llama','vocab_size':-1}|vocab_size is -1",
                "{'model_type':'llama','num_hidden_layers':0}|num_hidden_layers is 0",
                "{'model_type':'llama','num_hidden_layers':2000000000}|num_hidden_layers is 2000000000",
                "{'model_type':'llama','num_attention_heads':0}|num_attention_heads is 0",
                "{'model_type':'llama','num_key_value_heads':5}|num_key_value_heads (5)",
                "{'model_type':'llama','hidden_size':100}|hidden_size (100) is not a multiple",
                "{'model_type':'llama','head_dim':15}|head_dim 15",
                "{'model_type':'llama','head_dim':1073741824}|too large",
                "{'model_type':'llama','max_position_embeddings':0}|max_position_embeddings is 0",
                "{'model_type':'llama','rms_norm_eps':-1}|rms_norm_eps is -1.0",
                "{'model_type':'llama','rms_norm_eps':'x'}|rms_norm_eps is \"x\"",
                "{'model_type':'llama','tie_word_embeddings':1}|tie_word_embeddings is 1",
                "{'model_type':'llama','hidden_act':'relu'}|hidden_act 'relu' is not supported",
                "{'model_type':'llama','hidden_act':3}|hidden_act is 3",
                "{'model_type':'llama','attention_dropout':0.1}|attention_dropout is 0.1",
                "{'model_type':'llama','quantization_config':{'quant_method':'gptq'}}|quantised by gptq",
                "{'model_type':'llama','rope_scaling':{'type':'longrope'}}|rope_type 'longrope' is not supported",
                "{'model_type':'llama','rope_scaling':{'type':'linear'}}|rope_scaling.factor is missing",
                "{'model_type':'llama','rope_scaling':{'type':'linear','factor':'2'}}|rope_scaling.factor is \"2\"",
                "{'model_type':'llama','rope_parameters':{'rope_type':'llama3','factor':2}}|low_freq_factor is missing",
                "{'model_type':'llama','rope_parameters':{'full_attention':{}}}|rope_parameters.full_attention is an object",
                "{'model_type':'llama','rope_parameters':3}|rope_parameters is 3",
                "{'model_type':'llama','rope_theta':-1}|rope_theta is -1.0",
                "{'model_type':'llama','partial_rotary_factor':0.5}|partial_rotary_factor is 0.5",
                "{'model_type':'mistral','sliding_window':0}|sliding_window is 0",
                "{'model_type':'qwen2','num_hidden_layers':2,'layer_types':['full_attention']}|layer_types has 1 entries",
                "{'model_type':'qwen2','num_hidden_layers':1,'layer_types':['chunked']}|layer_types has 'chunked'",
                "{'model_type':'qwen2','num_hidden_layers':1,'layer_types':['sliding_attention']}|layer 0 has sliding",
                "{'model_type':'qwen2','layer_types':3}|layer_types is 3",
                "{'model_type':'mixtral','num_local_experts':4,'num_experts':8}|num_local_experts is 4",
                "{'model_type':'mixtral','num_local_experts':0}|num_experts is 0",
                "{'model_type':'mixtral','num_local_experts':2,'num_experts_per_tok':3}|more than the 2 experts",
                "{'model_type':'mixtral','num_experts_per_tok':0}|num_experts_per_tok is 0",
                "{'model_type':'mixtral','router_jitter_noise':0.1}|router_jitter_noise is 0.1",
                "{'model_type':'mixtral','router_aux_loss_coef':-1}|router_aux_loss_coef is -1.0",
                "{'model_type':'mixtral','num_local_experts':2000000000}|too many",
                "{'model_type':'qwen3_moe','decoder_sparse_step':0}|decoder_sparse_step is 0",
                "{'model_type':'qwen3_moe','mlp_only_layers':['a']}|mlp_only_layers is [\"a\"]",
                "{'model_type':'qwen3_moe','moe_intermediate_size':0}|intermediate size of the experts is 0",
                "{'model_type':'qwen2_moe','shared_expert_intermediate_size':0}|shared_expert_intermediate_size is 0",
                "{'model_type':'olmoe','head_dim':64}|is not hidden_size (2048)",
                "{'model_type':'olmoe','clip_qkv':0}|clip_qkv is 0.0",
                "{'model_type':'llama','model_type':'llama'}|config.json:1",
                "{'model_type':|config.json:1",
                "{'model_type':'llama','rms_norm_eps':NaN}|config.json:1",
            })
    void refuses(String text, String message) {
        assertThatThrownBy(() -> parse(text)).isInstanceOfSatisfying(UserException.class, e -> {
            assertThat(e.getMessage())
                    .startsWith("config.json")
                    .contains(message)
                    .doesNotContain("\n");
            assertThat(e.exitCode()).isEqualTo(UserException.BAD_INPUT);
            assertThat(e.hint()).isNotBlank();
        });
    }

    @Test
    void listsTheSupportedTypes() {
        assertThatThrownBy(() -> parse("{'model_type':'gpt2'}"))
                .isInstanceOfSatisfying(
                        UserException.class,
                        e -> assertThat(e.hint())
                                .contains(
                                        "llama",
                                        "mistral",
                                        "qwen2",
                                        "qwen3",
                                        "qwen3_moe",
                                        "qwen2_moe",
                                        "mixtral",
                                        "olmoe"));
    }

    @Test
    void refusesFoldersWithoutConfiguration(@TempDir Path folder) throws Exception {
        assertThatThrownBy(() -> ModelConfigReader.read(folder))
                .isInstanceOf(UserException.class)
                .hasMessage(folder + " holds no config.json");
        Path absent = folder.resolve("absent");
        assertThatThrownBy(() -> ModelConfigReader.read(absent))
                .isInstanceOf(UserException.class)
                .hasMessage(absent + " is no folder");
        Path file = folder.resolve("config.json");
        Files.write(file, new byte[] {(byte) 0xff, (byte) 0xfe, 0x41});
        assertThatThrownBy(() -> ModelConfigReader.read(folder))
                .isInstanceOf(UserException.class)
                .hasMessageContaining(file.toString());
        Files.writeString(file, "{\"model_type\":\"llama\",\"vocab_size\":7}");
        assertThat(ModelConfigReader.read(folder).vocabSize()).isEqualTo(7);
    }
}
