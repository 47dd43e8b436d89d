"""Tiny random models of every family, with the names that checkpoints on the hub have."""

import json
import os

import torch
import transformers

COMMON = dict(
    vocab_size=64,
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=64,
    bos_token_id=1,
    eos_token_id=2,
    pad_token_id=0,
)
MOE = dict(num_experts_per_tok=2, router_aux_loss_coef=0.001)

FAMILIES = {
    "llama": ("LlamaConfig", dict(intermediate_size=48, attention_bias=True)),
    "mistral": ("MistralConfig", dict(intermediate_size=48)),
    "qwen2": ("Qwen2Config", dict(intermediate_size=48)),
    "qwen2-tied": ("Qwen2Config", dict(intermediate_size=48, tie_word_embeddings=True)),
    "qwen3": ("Qwen3Config", dict(intermediate_size=48, head_dim=8)),
    "qwen3_moe": ("Qwen3MoeConfig", dict(MOE, num_experts=6, moe_intermediate_size=24, head_dim=8, norm_topk_prob=True)),
    "qwen3_moe-dense": (
        "Qwen3MoeConfig",
        dict(MOE, num_experts=4, moe_intermediate_size=20, intermediate_size=48, head_dim=8, mlp_only_layers=[0], num_hidden_layers=3),
    ),
    "qwen3_moe-square": ("Qwen3MoeConfig", dict(MOE, num_experts=4, moe_intermediate_size=16, head_dim=8)),
    "qwen2_moe": (
        "Qwen2MoeConfig",
        dict(MOE, num_experts=5, moe_intermediate_size=20, shared_expert_intermediate_size=28, intermediate_size=48),
    ),
    "olmoe": ("OlmoeConfig", dict(MOE, num_experts=4, intermediate_size=24)),
    "mixtral": ("MixtralConfig", dict(MOE, num_local_experts=4, intermediate_size=40)),
}


def is_moe(family):
    return family.startswith(("qwen3_moe", "qwen2_moe", "olmoe", "mixtral"))


def write_model(family, folder, seed=1):
    """A float32 checkpoint whose softmaxes and routing are not flat."""
    config_class, own = FAMILIES[family]
    torch.manual_seed(seed)
    config = getattr(transformers, config_class)(**{**COMMON, **own})
    config._attn_implementation = "eager"
    model = transformers.AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim == 1:
                weight.add_(torch.randn_like(weight) * 0.1)
            else:
                weight.copy_(torch.randn_like(weight) * 0.15)
    model.float().save_pretrained(folder)


def write_rows(path, seed=1, count=4):
    random = torch.Generator().manual_seed(seed)
    rows = []
    for index in range(count):
        length = 8 + 3 * index
        ids = torch.randint(3, COMMON["vocab_size"], (length,), generator=random).tolist()
        rows.append(dict(input_ids=ids, labels=[-100] * 3 + ids[3:]))
    with open(path, "w") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    return rows


def load(folder):
    return transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", experts_implementation="eager"
    ).eval()


def read_checkpoint(folder):
    from safetensors.torch import load_file

    tensors = {}
    for file in sorted(os.listdir(folder)):
        if file.endswith(".safetensors"):
            tensors.update(load_file(os.path.join(folder, file)))
    return {name: value.float() if value.is_floating_point() else value for name, value in tensors.items()}
