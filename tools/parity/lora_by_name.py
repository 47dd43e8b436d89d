"""LoRA by the names of the checkpoint: W + scale * B @ A for any weight with two dimensions, experts one by one.

transformers 5 keeps the experts of a layer in two fused parameters and the router outside nn.Linear, so PEFT cannot
store an adapter for them under plain names. This class trains adapters under the names in the checkpoint's files.
"""

import json
import math
import os
import re

import torch
import torch.nn.functional as F
from safetensors.torch import save_file


def is_targeted(name, lora):
    """PEFT's rules: a list matches names or their ends at a dot, a string is a regular expression for all of it."""

    def matches(pattern):
        if isinstance(pattern, str):
            return re.fullmatch(pattern, name) is not None
        return any(name == end or name.endswith("." + end) for end in pattern)

    if lora.get("exclude_modules") and matches(lora["exclude_modules"]):
        return False
    if not matches(lora["target_modules"]):
        return False
    layer = re.search(r"\.layers\.(\d+)\.", name)
    wanted = lora.get("layers_to_transform")
    return wanted is None or (layer is not None and int(layer[1]) in wanted)


class LoraByName(torch.nn.Module):
    def __init__(self, base, lora, seed):
        super().__init__()
        self.base, self.lora, self.rank = base, dict(lora), lora["r"]
        self.shared = self.lora.pop("share_expert_adapters", False)  # one adapter for all experts of a projection
        self.scale = lora["lora_alpha"] / (math.sqrt(self.rank) if lora.get("use_rslora") else self.rank)
        self.a, self.b, self.places = torch.nn.ParameterDict(), torch.nn.ParameterDict(), {}
        self.random = torch.Generator().manual_seed(seed)
        base.requires_grad_(False)
        for name, weight in base.named_parameters():
            if weight.ndim == 3 and ".experts." in name:
                self._add_experts(name, weight)
            elif weight.ndim == 2 and name.endswith(".weight"):
                module = self._checkpoint_name(name.removesuffix(".weight"))
                self._add(module, (name, None, slice(None)), weight.shape[1], weight.shape[0])

    def _checkpoint_name(self, name):
        mixtral = self.base.config.model_type == "mixtral"
        return name.replace(".mlp.", ".block_sparse_moe.") if mixtral else name

    def _add_experts(self, name, weight):
        mixtral = self.base.config.model_type == "mixtral"
        gate, up, down = ("w1", "w3", "w2") if mixtral else ("gate_proj", "up_proj", "down_proj")
        experts, rows, columns = weight.shape
        if name.endswith("gate_up_proj"):
            parts = [(gate, slice(0, rows // 2)), (up, slice(rows // 2, rows))]
        else:
            parts = [(down, slice(0, rows))]
        prefix = self._checkpoint_name(name.rsplit(".", 1)[0])
        for expert in range(experts):
            for part, place in parts:
                self._add(f"{prefix}.{expert}.{part}", (name, expert, place), columns, place.stop - place.start)

    def _add(self, module, place, inputs, outputs):
        if not is_targeted(module, self.lora):
            return
        key = module.replace(".", "/")
        self.places[key] = place
        first = re.sub(r"/experts/\d+/", "/experts/0/", key)
        if self.shared and first != key:  # the same parameters under another expert's name
            self.a[key], self.b[key] = self.a[first], self.b[first]
            return
        uniform = torch.rand(self.rank, inputs, generator=self.random) * 2 - 1
        self.a[key] = torch.nn.Parameter(uniform / math.sqrt(inputs))
        self.b[key] = torch.nn.Parameter(torch.randn(outputs, self.rank, generator=self.random) * 0.05)

    def forward(self, **arguments):
        weights = dict(self.base.named_parameters())
        experts = {}
        for key, (name, expert, place) in self.places.items():
            update = self.scale * (self.b[key] @ self.a[key])
            if expert is None:
                weights[name] = weights[name] + update
            else:
                padding = (0, 0, place.start, weights[name].shape[1] - place.stop)
                experts.setdefault(name, {}).setdefault(expert, []).append(F.pad(update, padding))
        for name, updates in experts.items():
            zero = torch.zeros_like(weights[name][0])
            stacked = torch.stack([sum(updates.get(e, []), zero) for e in range(weights[name].shape[0])])
            weights[name] = weights[name] + stacked
        return torch.func.functional_call(self.base, weights, kwargs=arguments, tie_weights=True)

    def tensors(self, of):
        """The adapter's tensors by their names in an adapter file; ``of`` takes a parameter to what is wanted of it."""
        found = {}
        for key in self.a:
            name = "base_model.model." + key.replace("/", ".")
            found[name + ".lora_A.weight"] = of(self.a[key])
            found[name + ".lora_B.weight"] = of(self.b[key])
        return found

    def save(self, folder):
        os.makedirs(folder, exist_ok=True)
        metadata = {"format": "pt"} | ({"share_expert_adapters": "true"} if self.shared else {})
        tensors = self.tensors(lambda p: p.data.float().clone())
        save_file(tensors, os.path.join(folder, "adapter_model.safetensors"), metadata)
        config = dict(peft_type="LORA", task_type="CAUSAL_LM", base_model_name_or_path="../model", bias="none")
        config.update(lora_dropout=0.0, inference_mode=True, **self.lora)
        with open(os.path.join(folder, "adapter_config.json"), "w") as file:
            json.dump(config, file, indent=1)
