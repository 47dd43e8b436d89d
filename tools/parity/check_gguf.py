"""Exports adapters as GGUF, reads the files field by field, and runs them in llama.cpp beside their base model.

usage: check_gguf.py CASES CASE [CASE ...] [--adapter NAME] [--output FOLDER] [--lora-native COMMAND] [--node-modules FOLDER]

Always: header, metadata, names, shapes and every number of the file, with the gguf package, against the adapter's tensors
and llama.cpp's conventions as told here a second time (query and key rows of the llama architecture in pairs, experts stacked).
With --node-modules (a folder in which `npm install --ignore-scripts node-llama-cpp @node-llama-cpp/linux-x64` was run): the base
model is written as GGUF too, and llama.cpp's next-token probabilities of base and of base + adapter are compared with those
of transformers; the adapter's effect must be far larger than the difference. Needs torch, transformers, gguf.
"""

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile

import gguf
import numpy as np
import torch
import transformers
from safetensors.torch import load_file

from manual_adapter import ManualAdapter
from tiny_models import load

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
IDS = [(3 + i * 41) % 90 + 3 for i in range(12)]
ARCHITECTURES = {"llama": "llama", "mistral": "llama", "mixtral": "llama", "qwen2": "qwen2", "qwen3": "qwen3"}
ARCHITECTURES |= {"qwen2_moe": "qwen2moe", "qwen3_moe": "qwen3moe", "olmoe": "olmoe"}
BLOCK = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "mlp.gate": "ffn_gate_inp",
    "mlp.shared_expert.gate_proj": "ffn_gate_shexp",
    "mlp.shared_expert.up_proj": "ffn_up_shexp",
    "mlp.shared_expert.down_proj": "ffn_down_shexp",
    "mlp.shared_expert_gate": "ffn_gate_inp_shexp",
}
EXPERT = {"gate_proj": "ffn_gate_exps", "up_proj": "ffn_up_exps", "down_proj": "ffn_down_exps"}
EXPERT |= {"w1": "ffn_gate_exps", "w3": "ffn_up_exps", "w2": "ffn_down_exps"}


def target(module):
    """Name in llama.cpp without suffix, and number of the expert or None."""
    whole = {"model.embed_tokens": "token_embd", "lm_head": "output", "model.norm": "output_norm"}
    if module in whole:
        return whole[module], None
    layer, rest = re.match(r"model\.layers\.(\d+)\.(.*)", module).groups()
    rest = rest.replace("block_sparse_moe.", "mlp.")
    expert = re.match(r"mlp\.experts\.(\d+)\.(\w+)", rest)
    if expert:
        return f"blk.{layer}.{EXPERT[expert[2]]}", int(expert[1])
    return f"blk.{layer}.{BLOCK[rest]}", None


def heads_of(config, module):
    if ARCHITECTURES[config.model_type] != "llama":
        return None
    return {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}.get(module.split(".")[-1])


def in_pairs(rows, heads):
    """Rows of a head from (first half, second half) to pairs."""
    if heads is None:
        return rows
    return rows.reshape(heads, 2, rows.shape[0] // heads // 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def check_fields(file, case, adapter_dir, config):
    reader = gguf.GGUFReader(file)
    fields = {name: field.contents() for name, field in reader.fields.items()}
    wanted = {"general.type": "adapter", "adapter.type": "lora", "GGUF.version": 3}
    wanted["general.architecture"] = ARCHITECTURES[config.model_type]
    for name, value in wanted.items():
        assert fields[name] == value, f"{name} is {fields[name]}"
    alpha = fields["adapter.lora.alpha"]
    assert reader.fields["adapter.lora.alpha"].types == [gguf.GGUFValueType.FLOAT32]
    assert alpha != 0
    assert reader.data_offset % 32 == 0
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    assert all(tensor.data_offset % 32 == 0 for tensor in reader.tensors)
    manual = ManualAdapter(os.path.join(case, "model"), adapter_dir)
    adapter = load_file(os.path.join(adapter_dir, "adapter_model.safetensors"))
    seen, worst = set(), 0
    for name in [n for n in adapter if n.endswith(".lora_A.weight")]:
        module = name.removeprefix("base_model.model.").removesuffix(".lora_A.weight")
        a, b = adapter[name].double(), adapter[name.replace("_A.", "_B.")].double()
        scaling = manual.module_scaling(module, a.shape[0])
        weight, expert = target(module)
        data_a, data_b = tensors[weight + ".weight.lora_a"].data, tensors[weight + ".weight.lora_b"].data
        seen |= {weight + ".weight.lora_a", weight + ".weight.lora_b"}
        if expert is not None:
            data_a, data_b = data_a[expert], data_b[expert]
        got = (alpha / data_b.shape[1]) * (data_b.astype(np.float64) @ data_a.astype(np.float64))
        expected = in_pairs((scaling * (b @ a)).numpy(), heads_of(config, module))
        assert got.shape == expected.shape, f"{weight}: {got.shape}"
        worst = max(worst, np.abs(got - expected).max() / np.abs(expected).max())
    assert seen == set(tensors), f"also {set(tensors) - seen}"
    return len(tensors), worst


def write_base(case, file):
    """A GGUF of a tiny model, with no more tokenizer than llama.cpp asks for."""
    model = load(os.path.join(case, "model"))
    config = model.config
    tensors = {}
    for name in sorted(os.listdir(os.path.join(case, "model"))):
        if name.endswith(".safetensors"):
            tensors |= load_file(os.path.join(case, "model", name))
    writer = gguf.GGUFWriter(file, ARCHITECTURES[config.model_type])
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_rope_dimension_count(head)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    experts = getattr(config, "num_experts", None) or getattr(config, "num_local_experts", None)
    if experts:
        writer.add_expert_count(experts)
        writer.add_expert_used_count(config.num_experts_per_tok)
        writer.add_expert_feed_forward_length(getattr(config, "moe_intermediate_size", config.intermediate_size))
        if getattr(config, "norm_topk_prob", None):
            writer.add_expert_weights_norm(True)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([b"\xc4\x8a"] + [f"t{i}".encode() for i in range(1, config.vocab_size)])
    writer.add_token_types([1] * config.vocab_size)
    writer.add_token_merges(["t 1"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    stacks = {}
    for name, value in tensors.items():
        module, suffix = name.rsplit(".", 1)
        weight, expert = target(module)
        value = in_pairs(value.float().numpy(), heads_of(config, module))
        if expert is None:
            writer.add_tensor(f"{weight}.{suffix}", np.ascontiguousarray(value))
        else:
            stacks.setdefault(weight, {})[expert] = value
    for weight, values in stacks.items():
        writer.add_tensor(weight + ".weight", np.stack([values[e] for e in range(experts)]))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def llama_cpp(modules, base, adapter):
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "llama_probabilities.mjs")
    run = subprocess.run(
        ["node", script, modules, base, adapter or "", ",".join(map(str, IDS))], capture_output=True, text=True
    )
    if run.returncode != 0:
        sys.exit(run.stdout + run.stderr)
    return np.array(json.loads(run.stdout.strip().splitlines()[-1]))


def probabilities(folder):
    with torch.no_grad():
        return torch.softmax(load(folder)(input_ids=torch.tensor([IDS])).logits[0].double(), -1).numpy()


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("cases")
    parser.add_argument("names", nargs="+")
    parser.add_argument("--adapter", default="adapter_final")
    parser.add_argument("--output", default="gguf")
    parser.add_argument("--lora-native", default=os.path.join(ROOT, "lora-native"))
    parser.add_argument("--node-modules")
    arguments = parser.parse_args()
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    os.makedirs(arguments.output, exist_ok=True)
    failed = False
    for name in arguments.names:
        case = os.path.join(arguments.cases, name)
        adapter = os.path.join(case, arguments.adapter)
        file = os.path.join(arguments.output, name + ".gguf")
        if os.path.exists(file):
            os.remove(file)
        command = [*shlex.split(arguments.lora_native), "export", "--model", os.path.join(case, "model")]
        subprocess.run(
            [*command, "--adapter", adapter, "--format", "gguf", "--output", file], check=True, capture_output=True
        )
        config = transformers.AutoConfig.from_pretrained(os.path.join(case, "model"))
        count, worst = check_fields(file, case, adapter, config)
        line = f"{name:24} {count:3} tensors, largest relative difference of an update {worst:.1e}"
        failed |= not worst < 1e-5
        if arguments.node_modules:
            base = os.path.join(arguments.output, name + "-base.gguf")
            write_base(case, base)
            with tempfile.TemporaryDirectory() as copy:
                ManualAdapter(os.path.join(case, "model"), adapter).apply().write(copy)
                adapted = probabilities(copy)
            plain = probabilities(os.path.join(case, "model"))
            got_plain = llama_cpp(arguments.node_modules, base, None)
            got_adapted = llama_cpp(arguments.node_modules, base, os.path.abspath(file))
            scale = adapted.max()
            effect = np.abs(adapted - plain).max() / scale
            difference = np.abs(got_adapted - adapted).max() / scale
            of_base = np.abs(got_plain - plain).max() / scale
            if of_base > 1e-4:  # GELU, sliding windows, RoPE scalings: this script's base model is too plain, or llama.cpp's is
                line += f"; llama.cpp: not compared, its base model already differs by {of_base:.1e}"
            else:
                line += f"; llama.cpp: base differs by {of_base:.1e}, base + adapter by {difference:.1e}, of an effect of {effect:.1e}"
                failed |= not difference < min(1e-4, effect / 20)
        print(line, flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
