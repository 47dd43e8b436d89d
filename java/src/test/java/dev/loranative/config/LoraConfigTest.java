package dev.loranative.config;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.loranative.errors.UserException;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Every field of PEFT 0.21's {@code LoraConfig}: what it takes, and what excludes what. */
class LoraConfigTest {

    @Test
    void everyFieldOfPeftIsKnown() {
        ConfigParser parser = new ConfigParser(TrainKeys.ALL);
        assertThat(List.of(
                                "peft_type,task_type,inference_mode,r,target_modules,exclude_modules,lora_alpha,lora_dropout,"
                                        + "fan_in_fan_out,bias,use_rslora,modules_to_save,init_lora_weights,layers_to_transform,"
                                        + "layers_pattern,rank_pattern,alpha_pattern,megatron_config,megatron_core,"
                                        + "trainable_token_indices,loftq_config,eva_config,corda_config,lora_ga_config,use_dora,"
                                        + "velora_config,kasa_config,monteclora_config,use_bdlora,arrow_config,"
                                        + "alora_invocation_tokens,use_qalora,qalora_group_size,layer_replication,"
                                        + "runtime_config,lora_bias,target_parameters,ensure_weight_tying")
                        .getFirst()
                        .split(","))
                .allMatch(parser::knows);
    }

    @Test
    void whatPeftsDataclassHoldsByDefaultIsAccepted() {
        LoraConfig config = LoraConfig.from(new ConfigParser(TrainKeys.ALL)
                .parse(
                        Map.ofEntries(
                                Map.entry("peft_type", "LORA"),
                                Map.entry("inference_mode", false),
                                Map.entry("task_type", "CAUSAL_LM"),
                                Map.entry("fan_in_fan_out", false),
                                Map.entry("bias", "none"),
                                Map.entry("loftq_config", Map.of()),
                                Map.entry("megatron_core", "megatron.core"),
                                Map.entry("use_qalora", false),
                                Map.entry("qalora_group_size", 16),
                                Map.entry("runtime_config", Map.of("ephemeral_gpu_offload", false)),
                                Map.entry("ensure_weight_tying", false)),
                        "test"));
        assertThat(config.taskType()).hasValue("CAUSAL_LM");
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', textBlock = """
            task_type: SEQ_CLS                  | causal language models
            task_type: POETRY                   | one of CAUSAL_LM
            fan_in_fan_out: true                | [out, in]
            layer_replication: [[0, 2], [1, 2]] | more layers
            megatron_config: {tp: 1}            | Megatron
            megatron_core: other                | Megatron
            use_qalora: true                    | GPTQ
            velora_config: {a: 1}               | DoRA
            use_bdlora: {a: 1}                  | DoRA
            corda_config: {a: 1}                | initialisation
            peft_type: IA3                      | only LoRA
            inference_mode: true                | freeze
            runtime_config: {ephemeral_gpu_offload: true} | by itself
            bias: some                          | one of none, all, lora_only
            target_parameters: mlp.gate.weight  | a list, for example [mlp.gate.weight]
            layers_to_transform: last:0         | last:K
            layers_to_transform: first:2        | last:K
            trainable_token_indices: [3, 3]     | each once
            trainable_token_indices: [-3]       | at least 0
            modules_to_save: [null]             | without null
            rank_pattern: {q_proj: 4, v: no}    | a map in which 'v' is a whole number of at least 1
            alpha_pattern: {q_proj: x}          | a map in which 'q_proj' is a number above 0
            """)
    void whatIsRefusedIsNamedWithTheReason(String line, String reason) {
        assertThatThrownBy(() -> parse(line)).isInstanceOfSatisfying(UserException.class, e -> {
            assertThat(e)
                    .hasMessageContaining(line.substring(0, line.indexOf(':')))
                    .hasMessageContaining(reason);
            assertThat(e.hint()).isNotBlank();
            assertThat(e.exitCode()).isEqualTo(2);
        });
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', textBlock = """
            use_dora: true, lora_bias: true                              | lora_bias true (test) cannot be used with use_dora
            use_dora: true, target_parameters: [mlp.gate.weight]         | use_dora true (test) cannot be used with target_parameters
            lora_bias: true, target_parameters: [mlp.gate.weight]        | lora_bias true (test) cannot be used with target_parameters
            lora_bias: true, init_lora_weights: gaussian                 | needs init_lora_weights true or false, not gaussian
            target_modules: all-linear, layers_to_transform: [1]         | cannot be used when target_modules is a text
            target_modules: '.*q_proj', layers_to_transform: 1           | cannot be used when target_modules is a text
            target_modules: [q_proj], layers_pattern: h                  | needs layers_to_transform
            target_modules: '.*q_proj', layers_pattern: h                | needs layers_to_transform
            """)
    void settingsThatExcludeEachOtherAreRefusedAsInPeft(String lines, String reason) {
        assertThatThrownBy(() -> parse(lines)).isInstanceOfSatisfying(UserException.class, e -> {
            assertThat(e).hasMessageContaining(reason);
            assertThat(e.hint()).isNotBlank();
        });
    }

    @Test
    void combinationsThatPeftTakesAreTaken() {
        assertThat(parse("target_modules: [q_proj], layers_pattern: []").layersPattern())
                .isEmpty();
        assertThat(parse("target_modules: '.*q_proj', layers_to_transform: []").layersToTransform())
                .isEmpty();
        assertThat(parse("lora_bias: true, init_lora_weights: false").loraBias())
                .isTrue();
        assertThat(parse("modules_to_save: lm_head").modulesToSave()).containsExactly("lm_head");
        assertThat(parse("trainable_token_indices: []").trainableTokens().isEmpty())
                .isTrue();
        assertThat(parse("trainable_token_indices: {embed_tokens: [4, 2]}")
                        .trainableTokens()
                        .rows())
                .containsExactly(Map.entry("embed_tokens", List.of(4, 2)));
        assertThat(parse("layers_to_transform: 3, target_modules: [q_proj]").layersToTransform())
                .containsExactly(3);
    }

    @Test
    void layersCanBeCountedFromBehind() {
        assertThat(parse("layers_to_transform: last:3, target_modules: [router]")
                        .layersToTransform())
                .containsExactly(-3, -2, -1);
        assertThat(parse("layers_to_transform: [0, -1, last:2], target_modules: [router]")
                        .layersToTransform())
                .containsExactly(0, -1, -2);
        assertThat(LoraConfig.from(new ConfigParser(LoraKeys.ALL)
                                .parse(List.of("--layers-to-transform", "-1", "--target-modules", "router")))
                        .layersToTransform())
                .containsExactly(-1);
        assertThat(LoraConfig.from(new ConfigParser(LoraKeys.ALL)
                                .parse(List.of("--layers-to-transform", "0,last:2", "--target-modules", "router")))
                        .layersToTransform())
                .containsExactly(0, -2, -1);
    }

    private static LoraConfig parse(String flow) {
        @SuppressWarnings("unchecked") // keys of YAML in these tests are texts
        Map<String, Object> map = (Map<String, Object>) YamlFile.value("{" + flow + "}");
        return LoraConfig.from(new ConfigParser(TrainKeys.ALL).parse(map, "test"));
    }
}
