"""Are experts that lie in one tensor read as transformers and bitsandbytes mean them?

usage: check_stacked.py [--keep FOLDER]

For every family with experts, and for sizes that no block of 32 divides, writes a tiny random model in each layout that
lora-native says it reads besides the hub's one tensor per expert:
 - stack: transformers' names in memory (experts.gate_up_proj [experts, 2 * intermediate, hidden]), in float32 and bfloat16;
 - nf4, fp4: the same after bitsandbytes' replace_parameter_4bit, with several block sizes, double quantisation or not;
 - projs: one 4-bit tensor per expert, named as in gpt_oss's copies (experts.gate_up_projs.3.weight).
Compares the losses of `lora-native eval` with those of transformers in float32, for 4 bits on the weights that bitsandbytes
dequantised. Fails (exit code 1) if one differs by more than 1e-5 of itself. Needs bitsandbytes, built as check_quantized.py
says, and java/target/lora-native.jar. --keep leaves the models in a folder, each with golden_logits.safetensors: token ids, the
logits that transformers computes in float32, and the stacks of the last layer as it computes with them.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile

import bitsandbytes.functional as bnb
import torch
import transformers
from bitsandbytes.nn.parametrize import replace_parameter_4bit
from safetensors.torch import save_file

from engine import Process
from make_reference import sequence_losses
from tiny_models import COMMON, FAMILIES, MOE, is_moe, load, write_model, write_rows

BOUND = 1e-5
STACKS = ("gate_up_proj", "down_proj")

# 33 * 15 elements of an expert are odd; 22 * 12 = 8 * 33; 24 * 20 = 32 * 15 divide no block of 64.
SIZES = {
    "odd": dict(hidden_size=33, moe_intermediate_size=15, num_attention_heads=3, num_key_value_heads=1, head_dim=8),
    "eighths": dict(hidden_size=22, moe_intermediate_size=12, num_attention_heads=2, num_key_value_heads=1, head_dim=8),
    "halves": dict(hidden_size=24, moe_intermediate_size=20, num_attention_heads=3, num_key_value_heads=1, head_dim=8),
}
for name, sizes in SIZES.items():
    FAMILIES["qwen3_moe-" + name] = ("Qwen3MoeConfig", {**MOE, "num_experts": 5, "norm_topk_prob": True, **sizes})

# quant_type, block size, double quantisation
QUANTISED = [("nf4", 64, False), ("nf4", 64, True), ("fp4", 128, True), ("nf4", 4096, False), ("nf4", 32, True)]


def experts_of(model):
    return [layer.mlp.experts for layer in model.model.layers if hasattr(layer.mlp, "experts")]


def save(model_folder, folder, tensors):
    os.makedirs(folder)
    shutil.copy(os.path.join(model_folder, "config.json"), folder)
    tensors = {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}
    save_file(tensors, os.path.join(folder, "model.safetensors"), metadata={"format": "pt"})
    return folder


def stacked(source, folder, dtype):
    """As it is in memory, and what computes with the same values in float32."""
    model = load(source)
    # Parameters only: the rotary frequencies must stay exact.
    for parameter in model.parameters():
        parameter.data = parameter.data.to(dtype)
    save(source, folder, model.state_dict())
    for parameter in model.parameters():
        parameter.data = parameter.data.float()
    return folder, model


def quantised(source, folder, quant_type, blocksize, nested):
    model = load(source)
    for experts in experts_of(model):
        for name in STACKS:
            replace_parameter_4bit(experts, name, compress_statistics=nested, quant_type=quant_type, blocksize=blocksize)
    return save(source, folder, model.state_dict()), model


def per_expert(source, folder):
    """gpt_oss's names; the judge's weights are dequantised."""
    model = load(source)
    tensors = {}
    for name, tensor in model.state_dict().items():
        prefix, last = name.rsplit(".", 1)
        if not (prefix.endswith(".experts") and last in STACKS):
            tensors[name] = tensor
            continue
        for number, weight in enumerate(tensor):
            own = f"{prefix}.{last}s.{number}.weight"
            codes, state = bnb.quantize_4bit(weight.contiguous(), quant_type="nf4", compress_statistics=True)
            tensors[own] = codes
            tensors.update({f"{own}.{key}": part for key, part in state.as_dict(packed=True).items()})
            tensor[number].copy_(bnb.dequantize_4bit(codes, state))
    return save(source, folder, tensors), model


def variants(source, root):
    for dtype in (torch.float32, torch.bfloat16):
        name = "stack-" + str(dtype).split(".")[1]
        yield name, *stacked(source, os.path.join(root, name), dtype)
    for quant_type, blocksize, nested in QUANTISED:
        name = f"{quant_type}-{blocksize}" + ("-nested" if nested else "")
        yield name, *quantised(source, os.path.join(root, name), quant_type, blocksize, nested)
    yield "projs", *per_expert(source, os.path.join(root, "projs"))


def write_golden(model, folder):
    ids = torch.randint(3, COMMON["vocab_size"], (2, 24), generator=torch.Generator().manual_seed(7))
    with torch.no_grad():
        golden = dict(input_ids=ids, logits_fp32_dequantized=model(ids).logits)
        for name in STACKS:
            golden[name] = getattr(experts_of(model)[-1], name)
    golden = {name: tensor.detach().clone().contiguous() for name, tensor in golden.items()}
    save_file(golden, os.path.join(folder, "golden_logits.safetensors"))


def check(family, root, engine, golden):
    source, data = os.path.join(root, "source"), os.path.join(root, "rows.jsonl")
    write_model(family, source)
    rows = write_rows(data)
    fine = True
    for name, folder, judge in variants(source, root):
        with torch.no_grad():
            expected = torch.tensor(sequence_losses(judge, rows))
        if golden:
            write_golden(judge, folder)
        try:
            printed = engine(["eval", "--json", "--per-example", "--model", folder, "--data", data])
            found = torch.tensor([example["loss"] for example in json.loads(printed)["examples"]])
            difference = ((found - expected) / expected).abs().max().item()
            verdict = f"{difference:.1e}"
        except RuntimeError as error:
            difference, verdict = float("inf"), str(error)
        fine &= difference <= BOUND
        print(f"{family:22} {name:16} {verdict}{'' if difference <= BOUND else '   DIFFERS'}", flush=True)
    return fine


def main():
    parser = argparse.ArgumentParser(usage=__doc__, add_help=False)
    parser.add_argument("--keep")
    options = parser.parse_args()
    transformers.logging.set_verbosity_error()
    engine = Process()
    results = []
    with tempfile.TemporaryDirectory() as scratch:
        for family in filter(is_moe, FAMILIES):
            folder = os.path.join(options.keep or scratch, family)
            results.append(check(family, folder, engine, golden=options.keep is not None))
    print(f"{sum(results)} of {len(results)} models are read as meant in every layout")
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
