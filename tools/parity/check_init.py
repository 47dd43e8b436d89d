"""Compares the first values that lora-native gives adapters with PEFT's, for initialisations that draw nothing at random.

usage: check_init.py CASE [LORA_NATIVE]

CASE is a folder as make_reference.py makes them (model/, data.jsonl). lora-native runs with a learning rate of 0, so that its
adapter holds what it began with. pissa and olora: B.A against PEFT's, and what PEFT leaves of the weight. eva: ranks, and the
cosines between the spaces that the rows of A span.
"""

import json
import os
import subprocess
import sys
import tempfile
import warnings

warnings.filterwarnings("ignore")
import torch
import transformers
from peft import EvaConfig, LoraConfig, get_peft_model, initialize_lora_eva_weights
from safetensors.torch import load_file

from make_reference import IGNORED, collate

transformers.utils.logging.disable_progress_bar()
RANK, ALPHA = 4, 6
TARGETS = ["q_proj", "v_proj", "o_proj"]
BATCH = 4


def ours(native, case, init, *more):
    with tempfile.TemporaryDirectory() as folder:
        flags = dict(model=f"{case}/model", data=f"{case}/data.jsonl", output=f"{folder}/out", r=RANK, lora_alpha=ALPHA)
        flags |= dict(init_lora_weights=init, learning_rate=0, max_steps=1, per_device_train_batch_size=BATCH)
        flags |= dict(target_modules=",".join(TARGETS), train_sampling_strategy="sequential")
        command = [native, "train"] + [f"--{key.replace('_', '-')}={value}" for key, value in flags.items()] + list(more)
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        config = json.load(open(f"{folder}/out/adapter_config.json"))
        return config, load_file(f"{folder}/out/adapter_model.safetensors")


def base(case):
    return transformers.AutoModelForCausalLM.from_pretrained(f"{case}/model", dtype=torch.float32)


def check_weights(native, case, init):
    """Ours holds the trained and the subtracted update, here the same: the first half of the ranks is PEFT's."""
    weights = dict(base(case).named_parameters())
    config = LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=TARGETS, init_lora_weights=init, task_type="CAUSAL_LM")
    model = get_peft_model(base(case), config)
    tensors = ours(native, case, init)[1]
    scaling = ALPHA / RANK
    worst_product = worst_rest = 0.0
    for name, module in model.named_modules():
        if not hasattr(module, "lora_A") or "default" not in module.lora_A:
            continue
        a, b = tensors[f"{name}.lora_A.weight"], tensors[f"{name}.lora_B.weight"]
        assert a.shape[0] == 2 * RANK and (a[:RANK] == a[RANK:]).all() and (b[:, :RANK] == -b[:, RANK:]).all(), name
        product = scaling * b[:, :RANK] @ a[:RANK]
        theirs = scaling * module.lora_B.default.weight.detach() @ module.lora_A.default.weight.detach()
        weight = weights[name.removeprefix("base_model.model.") + ".weight"]
        rest = module.base_layer.weight.detach()
        worst_product = max(worst_product, ((product - theirs).norm() / theirs.norm()).item())
        worst_rest = max(worst_rest, ((weight - product - rest).norm() / weight.norm()).item())
    print(f"{init}: scaling B.A differs by {worst_product:.1e}, what is left of W by {worst_rest:.1e} (of their norms)")
    return worst_product < 1e-4 and worst_rest < 1e-5


def check_eva(native, case, settings):
    rows = [json.loads(line) for line in open(f"{case}/data.jsonl")]
    batches = []
    for first in range(0, len(rows), BATCH):
        together = rows[first : first + BATCH]
        inputs, _ = collate(together)
        longest = inputs["input_ids"].shape[1]
        labels = [row.get("labels", row["input_ids"]) for row in together]
        inputs["labels"] = torch.tensor([label + [IGNORED] * (longest - len(label)) for label in labels])
        batches.append(inputs)
    config = LoraConfig(
        r=RANK, lora_alpha=ALPHA, target_modules=TARGETS, init_lora_weights="eva", eva_config=EvaConfig(**settings),
        task_type="CAUSAL_LM",
    )
    model = get_peft_model(base(case), config)
    initialize_lora_eva_weights(model, batches, show_progress_bar=False)
    text = "--eva-config=" + json.dumps(settings)
    found, tensors = ours(native, case, "eva", text)
    theirs = {n: m.lora_A.default.weight.detach() for n, m in model.named_modules() if "default" in getattr(m, "lora_A", {})}
    different = [n for n in theirs if theirs[n].shape[0] != len(tensors.get(f"{n}.lora_A.weight", []))]
    smallest = 1.0
    for name, a in theirs.items():
        mine = tensors.get(f"{name}.lora_A.weight")
        if name in different or mine is None:
            continue
        angles = torch.linalg.svdvals(torch.linalg.qr(mine.T)[0].T @ torch.linalg.qr(a.T)[0])
        smallest = min(smallest, angles.min().item())
    ranks = {n.split("layers.")[1]: a.shape[0] for n, a in theirs.items()}
    print(f"eva {settings}: ranks {ranks}; other here: {different}; smallest cosine between the spaces {smallest:.4f}")
    return not different and smallest > 0.98


def main():
    torch.set_num_threads(1)
    case = sys.argv[1]
    native = sys.argv[2] if len(sys.argv) > 2 else os.path.join(os.path.dirname(__file__), "..", "..", "lora-native")
    results = [check_weights(native, case, init) for init in ("pissa", "olora")]
    results += [check_eva(native, case, settings) for settings in (dict(rho=1.0), dict(rho=2.0, use_label_mask=False))]
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
