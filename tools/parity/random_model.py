"""Writes a random mixture of experts of about 2 GB in bfloat16, in several files, to measure loading and memory with.

usage: random_model.py OUT
"""

import json
import os
import sys

import torch
import transformers

CONFIG = dict(
    vocab_size=32000,
    hidden_size=1024,
    intermediate_size=3072,
    num_hidden_layers=12,
    num_attention_heads=16,
    num_key_value_heads=4,
    head_dim=64,
    num_experts=48,
    num_experts_per_tok=4,
    moe_intermediate_size=512,
    norm_topk_prob=True,
    max_position_embeddings=4096,
)


def main():
    (out,) = sys.argv[1:]
    torch.manual_seed(0)
    config = transformers.Qwen3MoeConfig(**CONFIG)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(out, max_shard_size="600MB")
    with open(os.path.join(out, "data.jsonl"), "w") as file:
        for _ in range(4):
            ids = torch.randint(3, config.vocab_size, (64,)).tolist()
            file.write(json.dumps(dict(input_ids=ids, labels=ids)) + "\n")
    print(f"{sum(parameter.numel() for parameter in model.parameters()):,} parameters in {out}")


if __name__ == "__main__":
    main()
