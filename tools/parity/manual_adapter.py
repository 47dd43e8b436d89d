"""A checkpoint with an adapter's changes in its tensors, computed from the two files alone, without PEFT.

Reads every tensor that PEFT 0.21 writes: low-rank updates of linear layers, embeddings, routers and experts (own tensors, or
one pair for all experts of a layer), DoRA, biases, modules_to_save, token rows.
"""

import json
import math
import os
import re
import shutil

from safetensors.torch import load_file, save_file

from tiny_models import read_checkpoint

PREFIX = "base_model.model."
FUSED = {"gate_proj": "gate_up_proj", "up_proj": "gate_up_proj", "w1": "gate_up_proj", "w3": "gate_up_proj"}


def lookup(patterns, names):
    for pattern, value in (patterns or {}).items():
        if any(re.match(rf"(.*\.)?({pattern})$", name) for name in names):
            return value
    return None


class ManualAdapter:
    def __init__(self, model_dir, adapter_dir):
        self.model_dir = model_dir
        self.config = json.load(open(os.path.join(adapter_dir, "adapter_config.json")))
        self.adapter = load_file(os.path.join(adapter_dir, "adapter_model.safetensors"))
        self.model_config = json.load(open(os.path.join(model_dir, "config.json")))
        self.tensors = read_checkpoint(model_dir)
        self.mixtral = self.model_config["model_type"] == "mixtral"
        self.tied = bool(self.model_config.get("tie_word_embeddings")) and "lm_head.weight" not in self.tensors
        self.biases = {}
        """Biases of modules that have none in the checkpoint, by module."""
        self.used = set()

    def scaling(self, rank, alpha):
        return alpha / math.sqrt(rank) if self.config.get("use_rslora") else alpha / rank

    def rank_and_alpha(self, names):
        rank, alpha = lookup(self.config.get("rank_pattern"), names), lookup(self.config.get("alpha_pattern"), names)
        return rank or self.config["r"], alpha or self.config.get("lora_alpha", 8)

    def module_scaling(self, module, found_rank):
        """The scaling of one module; an expert's is also that of the fused weight, of twice the rank for gate and up."""
        memory = module.replace(".block_sparse_moe.", ".mlp.")
        names = [module, memory, module + ".weight", memory + ".weight"]
        expert = re.match(r"(.*\.experts)\.\d+\.(\w+)$", memory)
        if expert and lookup(self.config.get("rank_pattern"), names) is None:
            if lookup(self.config.get("alpha_pattern"), names) is None:
                name = f"{expert[1]}.{FUSED.get(expert[2], 'down_proj')}"
                rank, alpha = self.rank_and_alpha([name])
                twice = name.endswith("gate_up_proj") and lookup(self.config.get("rank_pattern"), [name]) is not None
                assert found_rank == (rank // 2 if twice else rank), f"{module}: rank {found_rank}, not {rank}"
                return self.scaling(rank, alpha)
        rank, alpha = self.rank_and_alpha(names)
        assert found_rank == rank, f"{module}: rank {found_rank} in the file, {rank} in the configuration"
        return self.scaling(rank, alpha)

    def in_checkpoint(self, name):
        return name.replace(".mlp.", ".block_sparse_moe.") if self.mixtral else name

    def take(self, name):
        self.used.add(name)
        return self.adapter[name].float()

    def untie(self):
        """For updates of the embedding or of the head alone."""
        if self.tied:
            self.tensors["lm_head.weight"] = self.tensors["model.embed_tokens.weight"].clone()
            self.tied = False

    def apply(self):
        self.apply_biases()
        modules = sorted(n.removesuffix(".lora_A.weight") for n in self.adapter if n.endswith(".lora_A.weight"))
        for module in modules:
            name = module.removeprefix(PREFIX)
            container = re.sub(r"(\.base_layer)+$", "", name)
            if container.endswith(".experts"):
                self.apply_fused(module, container)
            else:
                self.apply_linear(module, self.in_checkpoint(name))
        for name in [n for n in self.adapter if n.endswith(".lora_embedding_A")]:
            self.untie()
            module = name.removesuffix(".lora_embedding_A")
            a, b = self.take(name), self.take(module + ".lora_embedding_B")
            weight = module.removeprefix(PREFIX) + ".weight"
            scaling = self.module_scaling(module.removeprefix(PREFIX), a.shape[0])
            self.tensors[weight] = self.tensors[weight] + scaling * (b @ a).T
        self.apply_full()
        left = set(self.adapter) - self.used
        assert not left, f"tensors without a meaning: {sorted(left)[:3]}"
        return self

    def apply_linear(self, module, name):
        a, b = self.take(module + ".lora_A.weight"), self.take(module + ".lora_B.weight")
        if name == "lm_head":
            self.untie()
        scaling = self.module_scaling(name, a.shape[0])
        weight = self.tensors[name + ".weight"]
        updated = weight + scaling * (b @ a)
        if module + ".lora_magnitude_vector" in self.adapter:
            magnitude = self.take(module + ".lora_magnitude_vector")
            updated = (magnitude / updated.norm(dim=1)).unsqueeze(1) * updated
        self.tensors[name + ".weight"] = updated
        if module + ".lora_B.bias" in self.adapter:
            bias = scaling * self.take(module + ".lora_B.bias")
            if name + ".bias" in self.tensors:
                self.tensors[name + ".bias"] = self.tensors[name + ".bias"] + bias
            else:
                self.biases[name] = bias

    def apply_fused(self, module, container):
        a, b = self.take(module + ".lora_A.weight"), self.take(module + ".lora_B.weight")
        experts = self.model_config.get("num_experts") or self.model_config.get("num_local_experts")
        gate, up, down = ("w1", "w3", "w2") if self.mixtral else ("gate_proj", "up_proj", "down_proj")
        prefix = self.in_checkpoint(container)
        inner, hidden = self.tensors[f"{prefix}.0.{gate}.weight"].shape
        if (b.shape[0], a.shape[1]) == (2 * inner, hidden):
            leaf, parts = "gate_up_proj", [gate, up]
        else:
            assert (b.shape[0], a.shape[1]) == (hidden, inner), f"{module}: A {a.shape}, B {b.shape}"
            leaf, parts = "down_proj", [down]
        rank, alpha = self.rank_and_alpha([f"{container}.{leaf}"])
        assert a.shape[0] == rank * experts, f"{module}: {a.shape[0]} rows of A, rank {rank}"
        a, b = a.reshape(experts, rank, -1), b.reshape(b.shape[0], rank, experts)
        for expert in range(experts):
            update = self.scaling(rank, alpha) * (b[:, :, expert] @ a[expert])
            for part, rows in zip(parts, update.chunk(len(parts))):
                name = f"{prefix}.{expert}.{part}.weight"
                self.tensors[name] = self.tensors[name] + rows

    def apply_biases(self):
        """Trained biases take the place of the model's; what lora_bias adds comes on top."""
        for name in [n for n in self.adapter if n.endswith(".base_layer.bias")]:
            target = self.in_checkpoint(name.removeprefix(PREFIX).replace(".base_layer.bias", ".bias"))
            assert target in self.tensors, f"{name} belongs to no tensor"
            self.tensors[target] = self.take(name)

    def apply_full(self):
        for name in sorted(set(self.adapter) - self.used):
            plain = name.removeprefix(PREFIX)
            if plain.endswith(".token_adapter.trainable_tokens_delta"):
                self.apply_tokens(plain.removesuffix(".token_adapter.trainable_tokens_delta"), self.take(name))
            elif plain.endswith(".base_layer.weight") and plain.startswith(("lm_head", "model.embed_tokens")):
                self.take(name)
            elif plain.endswith((".original_module.bias", ".modules_to_save.bias")):
                self.take(name)
            elif ".lora_" not in plain:
                target = self.in_checkpoint(plain)
                if target in ("lm_head.weight", "model.embed_tokens.weight"):
                    self.untie()
                assert target in self.tensors, f"{name} belongs to no tensor"
                self.tensors[target] = self.take(name)

    def apply_tokens(self, module, rows):
        indices = self.config["trainable_token_indices"]
        if isinstance(indices, dict):
            indices = next(numbers for key, numbers in indices.items() if module.endswith(key))
        weight = self.tensors[module + ".weight"].clone()
        weight[indices] = rows
        self.tensors[module + ".weight"] = weight

    def write(self, folder):
        """The changed checkpoint; biases that it cannot hold are in ``biases``."""
        os.makedirs(folder, exist_ok=True)
        for file in os.listdir(self.model_dir):
            if file.endswith(".json") and "index" not in file:
                shutil.copy(os.path.join(self.model_dir, file), folder)
        config = dict(self.model_config, tie_word_embeddings=self.tied)
        with open(os.path.join(folder, "config.json"), "w") as file:
            json.dump(config, file, indent=1)
        tensors = {name: value.contiguous() for name, value in self.tensors.items()}
        save_file(tensors, os.path.join(folder, "model.safetensors"), metadata={"format": "pt"})
