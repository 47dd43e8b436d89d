package dev.loranative.optim;

import static org.assertj.core.api.Assertions.assertThat;

import dev.loranative.nn.ParameterGroup;
import dev.loranative.nn.ParameterGroup.Rate;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Expected: get_decay_parameter_names of transformers 5.18, create_loraplus_optimizer of PEFT 0.21. */
class GroupRuleTest {

    @ParameterizedTest
    @CsvSource({
        "model.layers.0.self_attn.q_proj.lora_A.weight, true, COMMON, true",
        "model.layers.0.self_attn.q_proj.lora_B.weight, true, LORA_B, true",
        "model.layers.0.self_attn.q_proj.lora_B.bias, false, LORA_B, false",
        "model.layers.0.self_attn.q_proj.lora_magnitude_vector, true, LORA_B, true",
        "model.layers.0.self_attn.q_proj.bias, false, LORA_B, false",
        "model.layers.0.input_layernorm.weight, false, LORA_B, true",
        "model.layers.0.self_attn.q_norm.weight, false, LORA_B, true",
        "model.norm.weight, false, LORA_B, true",
        "model.layers.0.mlp.gate.weight, true, COMMON, true",
        "model.embed_tokens.lora_embedding_A, true, EMBEDDING, true",
        "model.embed_tokens.lora_embedding_B, true, EMBEDDING, true",
        "model.embed_tokens.token_adapter.trainable_tokens_delta, true, COMMON, true",
        "lm_head.weight, true, COMMON, true"
    })
    void groupsByName(String name, boolean decays, Rate plusRate, boolean plusDecays) {
        assertThat(GroupRule.PLAIN.apply(name)).isEqualTo(new ParameterGroup(Rate.COMMON, decays));
        assertThat(GroupRule.LORA_PLUS.apply(name)).isEqualTo(new ParameterGroup(plusRate, plusDecays));
    }
}
