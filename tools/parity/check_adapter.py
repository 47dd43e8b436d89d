"""Does PEFT read an adapter folder as lora-native means it?

usage: check_adapter.py MODEL ADAPTER PROMPT_IDS [LOGITS.json]

Computes the logits of the prompt (ids with commas) three ways, in float32 on the CPU, and prints the largest differences:
  peft     PeftModel.from_pretrained(MODEL, ADAPTER)
  manual   the checkpoint's own tensors, W + scaling * B @ A by their names in the checkpoint, loaded without PEFT
  engine   the numbers in LOGITS.json, if given: a list [positions][vocabulary], or an object with the key "logits"
Fails (exit code 1) above 1e-4, and if the adapter changes nothing. Needs torch, transformers, peft.
"""

import json
import math
import os
import re
import shutil
import sys
import tempfile
import warnings

import torch
import transformers
from peft import PeftModel
from safetensors.torch import load_file, save_file

LIMIT = 1e-4
FUSED = {"gate_proj": "gate_up_proj", "up_proj": "gate_up_proj", "w1": "gate_up_proj", "w3": "gate_up_proj"}


def lookup(patterns, names):
    for pattern, value in (patterns or {}).items():
        if any(re.match(rf"(.*\.)?({pattern})$", name) for name in names):
            return value
    return None


def rank_and_alpha(config, module):
    """What adapter_config.json gives a module; experts also under the name of the fused weight, of twice the rank."""
    memory = module.replace(".block_sparse_moe.", ".mlp.")
    names = [module, memory, module + ".weight", memory + ".weight"]
    rank, alpha = lookup(config.get("rank_pattern"), names), lookup(config.get("alpha_pattern"), names)
    expert = re.match(r"(.*\.experts)\.\d+\.(\w+)$", memory)
    if expert and rank is None and alpha is None:
        name = f"{expert[1]}.{FUSED.get(expert[2], 'down_proj')}"
        rank, alpha = lookup(config.get("rank_pattern"), [name]), lookup(config.get("alpha_pattern"), [name])
        if name.endswith("gate_up_proj") and rank is not None:
            rank //= 2
            alpha = (alpha or config["lora_alpha"]) / (math.sqrt(2) if config.get("use_rslora") else 2)
    return rank or config["r"], alpha or config["lora_alpha"]


def merged_copy(model_dir, adapter_dir, target_dir):
    """Writes MODEL with the adapter added to its tensors, one by one, without PEFT."""
    config = json.load(open(os.path.join(adapter_dir, "adapter_config.json")))
    adapter = load_file(os.path.join(adapter_dir, "adapter_model.safetensors"))
    tensors = {}
    for file in sorted(os.listdir(model_dir)):
        if file.endswith(".safetensors"):
            tensors.update(load_file(os.path.join(model_dir, file)))
        elif file.endswith(".json") and "index" not in file:
            shutil.copy(os.path.join(model_dir, file), target_dir)
    tensors = {name: value.float() if value.is_floating_point() else value for name, value in tensors.items()}
    for name in [n for n in adapter if n.endswith(".lora_A.weight")]:
        module = name.removeprefix("base_model.model.").removesuffix(".lora_A.weight")
        a, b = adapter[name].float(), adapter[name.replace(".lora_A.", ".lora_B.")].float()
        rank, alpha = rank_and_alpha(config, module)
        if a.shape[0] != rank:
            sys.exit(f"{name} has rank {a.shape[0]}, the configuration says {rank}")
        scaling = alpha / math.sqrt(rank) if config.get("use_rslora") else alpha / rank
        tensors[module + ".weight"] = tensors[module + ".weight"] + scaling * (b @ a)
    save_file(tensors, os.path.join(target_dir, "model.safetensors"), metadata={"format": "pt"})


def load(directory):
    model = transformers.AutoModelForCausalLM.from_pretrained(
        directory, dtype=torch.float32, attn_implementation="eager"
    )
    return model.eval()


def main():
    model_dir, adapter_dir, prompt = sys.argv[1:4]
    ids = torch.tensor([[int(i) for i in prompt.split(",")]])
    transformers.logging.set_verbosity_error()
    with torch.no_grad():
        base = load(model_dir)(input_ids=ids).logits[0]
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            peft = PeftModel.from_pretrained(load(model_dir), adapter_dir)
        missing = [str(w.message)[:200] for w in caught if "adapter keys" in str(w.message)]
        results = {"peft": peft.eval()(input_ids=ids).logits[0]}
        with tempfile.TemporaryDirectory() as copy:
            merged_copy(model_dir, adapter_dir, copy)
            manual = load(copy)(input_ids=ids).logits[0]
    if len(sys.argv) > 4:
        engine = json.load(open(sys.argv[4]))
        results["engine"] = torch.tensor(engine["logits"] if isinstance(engine, dict) else engine)
    effect = (manual - base).abs().max().item()
    print(f"effect of the adapter on the logits: {effect:.3e}")
    failed = effect < LIMIT
    for name, logits in results.items():
        difference = (logits - manual).abs().max().item()
        failed |= not difference <= LIMIT
        print(f"{name} - manual: {difference:.3e}")
    for message in missing:
        print(f"peft: {message}")
    if failed or missing:
        sys.exit(1)


if __name__ == "__main__":
    main()
