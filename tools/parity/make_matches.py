"""Writes what PEFT trains for random configurations on tiny dense models.

    python make_matches.py OUT.json COUNT [SEED]

One JSON object a line: family, layers, config, then either error (PEFT's message) or targets ([name, r, alpha] in the order of the
model), full (tensors of modules_to_save), biases and tokens. "stricter" lists what PEFT takes and lora-native refuses: entries that
name nothing, DoRA on embeddings, rows of a module that is trained in full. "wider" marks what PEFT refuses and lora-native takes:
expressions that also match modules without a weight, an empty layers_to_transform beside an expression, and full training
of what PEFT's default targets are.
The table in java/src/test/resources/lora/peft-random-matches.jsonl was made with: 400 20261126
"""

import json
import random
import re
import sys
import warnings

import torch
from peft import LoraConfig, get_peft_model
from peft.tuners.lora import Embedding as LoraEmbedding
from transformers import AutoConfig, AutoModelForCausalLM

FAMILIES = ["llama", "mistral", "qwen2", "qwen3"]
LEAVES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
SIZES = dict(vocab_size=64, hidden_size=32, intermediate_size=24, num_attention_heads=4, num_key_value_heads=2, head_dim=8,
             tie_word_embeddings=False)


def pick(rng, *weighted):
    return rng.choices([value for value, _ in weighted], [weight for _, weight in weighted])[0]()


def name(rng, layers):
    leaf = rng.choice(LEAVES)
    holder = "mlp" if leaf in LEAVES[4:] else "self_attn"
    layer = rng.randrange(layers)
    return pick(
        rng,
        (lambda: leaf, 8),
        (lambda: f"{holder}.{leaf}", 3),
        (lambda: f"{layer}.{holder}.{leaf}", 2),
        (lambda: f"layers.{layer}.{holder}.{leaf}", 2),
        (lambda: f"model.layers.{layer}.{holder}.{leaf}", 2),
        (lambda: "lm_head", 1),
        (lambda: "embed_tokens", 0.5),
        (lambda: rng.choice(["proj", "attn.q_proj", "xxx", "Q_proj", "gate"]), 0.4),
    )


def expression(rng, layers):
    layer = rng.randrange(layers)
    some = "|".join(rng.sample(LEAVES, rng.randint(1, 3)))
    return rng.choice([
        f".*\\.({some})", f".*layers\\.{layer}\\..*({some})", f".*layers\\.[0-{layer}]\\..*_proj", ".*self_attn\\..*_proj",
        f"model\\.layers\\.(?!{layer})\\d+\\..*\\.({some})", "q_proj", f".*mlp\\.(?P<kind>{some})", ".*(q|v)_proj",
        f".*{layer}.*_proj", "lm_head|.*v_proj", f".*layers\\.{layer}\\.mlp.*",
    ])


def names(rng, layers, most=4):
    return [name(rng, layers) for _ in range(rng.randint(1, most))]


def configuration(rng, layers):
    config = {}
    config["target_modules"] = pick(
        rng, (lambda: names(rng, layers), 10), (lambda: expression(rng, layers), 4), (lambda: "all-linear", 1), (lambda: None, 0.5))
    if rng.random() < 0.3:
        config["layers_to_transform"] = pick(
            rng, (lambda: rng.sample(range(layers), rng.randint(1, layers)), 5), (lambda: rng.randrange(layers), 2),
            (lambda: [], 1), (lambda: [layers], 0.4))
        if rng.random() < 0.3:
            config["layers_pattern"] = rng.choice(["layers", ["h", "layers"], "h", []])
    if rng.random() < 0.3:
        config["exclude_modules"] = pick(rng, (lambda: names(rng, layers, 2), 3), (lambda: expression(rng, layers), 1))
    for key, values in (("rank_pattern", [1, 2, 4, 16]), ("alpha_pattern", [1, 3, 32, 2.5])):
        if rng.random() < 0.35:
            pieces = [
                lambda: rng.choice(LEAVES), lambda: f"layers.{rng.randrange(layers)}.self_attn.{rng.choice(LEAVES[:4])}",
                lambda: f"layers\\.[0-1]\\..*", lambda: f"^model.layers.0.self_attn.{rng.choice(LEAVES[:4])}", lambda: "proj",
                lambda: f"(q|k)_proj", lambda: f"layers\\.{rng.randrange(layers)}\\.mlp\\.\\w+",
            ]
            config[key] = {rng.choice(pieces)(): rng.choice(values) for _ in range(rng.randint(1, 3))}
    if rng.random() < 0.3:
        config["modules_to_save"] = rng.sample(
            ["lm_head", "norm", "embed_tokens", "model.norm", "input_layernorm", "v_proj", "mlp", "layers.0", "0.mlp", "_norm",
             "layers.1.mlp.up_proj", "self_attn.k_proj", "nothing"], rng.randint(1, 2))
    if rng.random() < 0.25:
        config["bias"] = rng.choice(["all", "lora_only"])
    if rng.random() < 0.15:
        config["trainable_token_indices"] = rng.choice(
            [[3, 1], [63], {"embed_tokens": [5]}, {"lm_head": [2, 7]}, {"tokens": [1]}, {"nope": [1]},
             {"embed_tokens": [0], "lm_head": [1]}])
    config["r"] = rng.choice([1, 3, 8])
    config["lora_alpha"] = rng.choice([1, 16, 8])
    for key, chance in (("use_rslora", 0.2), ("use_dora", 0.1), ("lora_bias", 0.08)):
        if rng.random() < chance:
            config[key] = True
    return config


def plain(parameter):
    return re.sub(r"^base_model\.model\.", "", parameter).replace(".base_layer", "").replace(".modules_to_save.default", "")


def unmatched(config, modules):
    """Entries that name nothing that could be trained."""
    found = []
    targets = config.get("target_modules")
    linear = [key for key, module in modules.items() if isinstance(module, (torch.nn.Linear, torch.nn.Embedding))]
    layers = config.get("layers_to_transform")
    for target in targets if isinstance(targets, list) else []:
        hits = [key for key in linear if key == target or key.endswith("." + target)]
        if layers not in (None, []):
            wanted = [layers] if isinstance(layers, int) else layers
            hits = [key for key in hits if key == target or any(f".layers.{layer}." in key for layer in wanted)]
        if not hits:
            found.append(target)
    wanted = [layers] if isinstance(layers, int) else layers or []
    last = max(int(m.group(1)) for m in (re.search(r"layers\.(\d+)\.", key) for key in linear) if m)
    found += [layer for layer in wanted if layer > last]
    patterns = config.get("layers_pattern") or []
    if wanted and patterns and "layers" not in ([patterns] if isinstance(patterns, str) else patterns):
        found.append("layers_pattern")
    for entry in config.get("modules_to_save", []):
        if not any(key.endswith(entry) for key in modules):
            found.append(entry)
    return found


def case(rng):
    family, layers = rng.choice(FAMILIES), rng.randint(2, 3)
    config = configuration(rng, layers)
    record = {"family": family, "layers": layers, "config": {key: value for key, value in config.items() if value is not None}}
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, num_hidden_layers=layers, **SIZES))
    modules = dict(model.named_modules())
    record["stricter"] = unmatched(config, modules)
    try:
        adapted = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **config))
    except Exception as e:
        record["error"] = f"{type(e).__name__}: {str(e).splitlines()[0]}"[:160]
        text = isinstance(config["target_modules"], str)
        record["wider"] = (
            text and "is not supported" in str(e)
            or text and config.get("layers_to_transform") == [] and "layers_to_transform" in str(e)
            or "No modules were targeted" in str(e) and config["target_modules"] is None)
        return record
    record["targets"] = []
    for key, module in adapted.base_model.model.named_modules():
        if hasattr(module, "lora_A") and "default" in module.scaling:
            if config.get("use_dora") and isinstance(module, LoraEmbedding):
                record["stricter"].append("use_dora")
            record["targets"].append([key, module.r["default"], module.lora_alpha["default"], module.scaling["default"]])
    full, biases, tokens = set(), set(), {}
    for parameter, value in adapted.named_parameters():
        if not value.requires_grad or ".lora_" in parameter:
            continue
        if ".token_adapter.base_layer." in parameter:
            record["stricter"].append("trainable_token_indices")
        elif ".token_adapter." in parameter:
            tokens[plain(parameter).split(".token_adapter")[0]] = value.shape[0]
        elif ".modules_to_save." in parameter:
            full.add(plain(parameter))
        else:
            biases.add(plain(parameter).replace(".original_module", ""))
    record |= {"full": sorted(full), "biases": sorted(biases - full), "tokens": tokens}
    return record


def main(out, count, seed=0):
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    rng = random.Random(int(seed))
    with open(out, "w") as file:
        for _ in range(int(count)):
            file.write(json.dumps(case(rng)) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
