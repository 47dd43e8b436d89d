"""Do transformers and bitsandbytes read what `lora-native quantize` wrote, and compute the same?

usage: check_quantized.py MODEL [MODEL ...] [--lora-native COMMAND]

For each 4-bit model takes the mean loss of eight random sequences three times:
 - exact: a float32 model of weights that bitsandbytes dequantises one by one (QuantState.from_dict, which refuses what it
   does not know), so that experts can be read too, which transformers 5 cannot;
 - transformers: AutoModelForCausalLM.from_pretrained with bitsandbytes computing in float32; left out where experts are in
   4 bits, because transformers 5 does not load them;
 - ours: `lora-native eval`.
Fails (exit code 1) if they differ by more than 1e-4 of the loss. Needs bitsandbytes, built with
cmake -DCOMPUTE_BACKEND=cpu -DHAS_AVX512F_FLAG=OFF -DHAS_AVX512BF16_FLAG=OFF: on a CPU without AVX-512 the other build does
not run, on one with it that build computes in bfloat16 and refuses odd sizes.
"""

import argparse
import glob
import json
import os
import shlex
import sys
import tempfile

import bitsandbytes.functional as bnb
import torch
import transformers
from bitsandbytes.nn import Params4bit
from safetensors import safe_open
from safetensors.torch import save_file

from make_reference import sequence_losses
from run_all import ROOT, run

BOUND = 1e-4
STATE = ".quant_state.bitsandbytes__"


def tensors_of(folder):
    tensors = {}
    for path in sorted(glob.glob(os.path.join(folder, "*.safetensors"))):
        if os.path.basename(path).startswith("golden"):
            continue
        with safe_open(path, "pt") as file:
            tensors.update({name: file.get_tensor(name) for name in file.keys()})
    return tensors


def dequantized(tensors):
    """Plain float32 weights; and the names of those that were in 4 bits."""
    quantized = {name.split(STATE)[0] for name in tensors if STATE in name}
    plain = {}
    for name, tensor in tensors.items():
        if name in quantized:
            parts = {key[len(name) + 1:]: part for key, part in tensors.items() if key.startswith(name + ".")}
            state = bnb.QuantState.from_dict(parts, device="cpu")
            state.dtype = torch.float32
            plain[name] = bnb.dequantize_4bit(tensor, state).reshape(state.shape).contiguous()
        elif not any(name.startswith(weight + ".") for weight in quantized):
            plain[name] = tensor.float()
    return plain, quantized


def exact_model(folder, plain):
    with tempfile.TemporaryDirectory() as copy:
        config = json.load(open(os.path.join(folder, "config.json")))
        config.pop("quantization_config")
        json.dump(config, open(os.path.join(copy, "config.json"), "w"))
        save_file(plain, os.path.join(copy, "model.safetensors"), metadata={"format": "pt"})
        return load(copy)


def load(folder):
    return transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", experts_implementation="eager"
    ).eval()


def float32_model(folder):
    """As transformers loads it, computing in float32 whatever the file says."""
    model = load(folder)
    for module in model.modules():
        if hasattr(module, "compute_dtype"):
            module.compute_dtype = torch.float32
    for parameter in model.parameters():
        if parameter.is_floating_point() and not isinstance(parameter, Params4bit):
            parameter.data = parameter.data.float()
    return model


def ours(start, folder, rows):
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as data:
        data.write("\n".join(json.dumps(row) for row in rows))
        data.flush()
        printed = run(start + ["eval", "--json", "--per-example", "--model", folder, "--data", data.name])
    return [example["loss"] for example in json.loads(printed)["examples"]]


def check(folder, start):
    plain, quantized = dequantized(tensors_of(folder))
    vocabulary = json.load(open(os.path.join(folder, "config.json")))["vocab_size"]
    generator = torch.Generator().manual_seed(1)
    rows = []
    for length in range(5, 45, 5):
        ids = torch.randint(0, vocabulary, (length,), generator=generator).tolist()
        rows.append(dict(input_ids=ids, labels=ids))
    exact = torch.tensor(sequence_losses(exact_model(folder, plain), rows))
    found = {"ours": torch.tensor(ours(start, folder, rows))}
    if not any(".experts." in name for name in quantized):
        found["transformers"] = torch.tensor(sequence_losses(float32_model(folder), rows))
    differences = {name: ((losses - exact) / exact).abs().max().item() for name, losses in found.items()}
    print(f"{folder}: {len(quantized)} weights in 4 bits; relative to the exact losses:", end=" ")
    print(", ".join(f"{name} {difference:.1e}" for name, difference in differences.items()), flush=True)
    return all(difference <= BOUND for difference in differences.values())


def main():
    parser = argparse.ArgumentParser(usage=__doc__, add_help=False)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--lora-native", default=os.path.join(ROOT, "lora-native"))
    options = parser.parse_args()
    transformers.logging.set_verbosity_error()
    start = shlex.split(options.lora_native)
    results = [check(folder, start) for folder in options.models]
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
