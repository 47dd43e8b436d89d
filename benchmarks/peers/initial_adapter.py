"""The adapter that both sides start from, written for a model by the names in its checkpoint.

A is uniform as PEFT begins it; B is not zero, as after a few steps, so that gradients reach A from the first step on and
a comparison of losses sees all of the adapter.
"""

import json
import math
import os
import struct

GROUPS = {"attention": ("q_proj", "k_proj", "v_proj", "o_proj"), "router": ("gate",)}


def shapes(model):
    """Shapes by tensor name, from the header of model.safetensors."""
    with open(os.path.join(model, "model.safetensors"), "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
    return {name: entry["shape"] for name, entry in header.items() if name != "__metadata__"}


def write(model, targets, rank, folder):
    import torch
    from safetensors.torch import save_file

    ends = GROUPS[targets]
    random = torch.Generator().manual_seed(5)
    tensors = {}
    for name, shape in sorted(shapes(model).items()):
        module = name.removesuffix(".weight")
        if module.rsplit(".", 1)[-1] in ends:
            out, inputs = shape
            a = (torch.rand(rank, inputs, generator=random) * 2 - 1) / math.sqrt(inputs)
            tensors[f"base_model.model.{module}.lora_A.weight"] = a
            tensors[f"base_model.model.{module}.lora_B.weight"] = torch.randn(out, rank, generator=random) * 0.01
    os.makedirs(folder, exist_ok=True)
    save_file(tensors, os.path.join(folder, "adapter_model.safetensors"), metadata={"format": "pt"})
    config = dict(peft_type="LORA", task_type="CAUSAL_LM", r=rank, lora_alpha=2 * rank, lora_dropout=0.0, bias="none")
    config.update(target_modules=list(ends), base_model_name_or_path="", inference_mode=True)
    with open(os.path.join(folder, "adapter_config.json"), "w") as file:
        json.dump(config, file, indent=1)


if __name__ == "__main__":
    import sys

    write(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])
