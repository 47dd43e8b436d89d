"""Compares the first values that lora-native gives adapters with PEFT's, for initialisations that draw nothing at random.

usage: check_init.py CASE [LORA_NATIVE]

CASE is a folder as make_reference.py makes them (model/, data.jsonl). lora-native runs with a learning rate of 0, so that its
adapter holds what it began with. pissa and olora: B.A against PEFT's, and what PEFT leaves of the weight. eva: ranks, and the
cosines between the spaces that the rows of A span, against PEFT's search with exact singular value decompositions (as ours are)
in place of its randomised ones, which are told too and judge nothing but the ranks.
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
import peft.tuners.lora.eva
from peft import EvaConfig, LoraConfig, get_peft_model, initialize_lora_eva_weights
from peft.utils.incremental_pca import IncrementalPCA
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


class ExactPca(IncrementalPCA):
    """PEFT's, with torch.linalg.svd instead of svd_lowrank: two power iterations leave an error where values lie close together."""

    def __init__(self, **settings):
        super().__init__(**settings | dict(lowrank=False))


def peft_eva(case, settings, batches, pca):
    """Values of A by module."""
    config = LoraConfig(
        r=RANK, lora_alpha=ALPHA, target_modules=TARGETS, init_lora_weights="eva", eva_config=EvaConfig(**settings),
        task_type="CAUSAL_LM",
    )
    model = get_peft_model(base(case), config)
    peft.tuners.lora.eva.IncrementalPCA = pca
    initialize_lora_eva_weights(model, batches, show_progress_bar=False)
    return {n: m.lora_A.default.weight.detach() for n, m in model.named_modules() if "default" in getattr(m, "lora_A", {})}


def smallest_cosine(ours, theirs):
    """Over all modules, of the principal angles between the spaces that the rows span; rows must be as many."""
    smallest = 1.0
    for name, a in theirs.items():
        angles = torch.linalg.svdvals(torch.linalg.qr(ours[name].T)[0].T @ torch.linalg.qr(a.T)[0])
        smallest = min(smallest, angles.min().item())
    return smallest


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
    tensors = ours(native, case, "eva", "--eva-config=" + json.dumps(settings))[1]
    found = {name.removesuffix(".lora_A.weight"): a for name, a in tensors.items() if name.endswith(".lora_A.weight")}
    exact, randomised = (peft_eva(case, settings, batches, pca) for pca in (ExactPca, IncrementalPCA))
    ranks = [{name: len(a) for name, a in one.items()} for one in (found, exact, randomised)]
    if not ranks[0] == ranks[1] == ranks[2]:
        print(f"eva {settings}: ranks here {ranks[0]}, PEFT {ranks[2]}, with exact decompositions {ranks[1]}")
        return False
    cosine = smallest_cosine(found, exact)
    print(
        f"eva {settings}: ranks {[len(a) for a in found.values()]}; smallest cosine between the spaces: {cosine:.6f} with exact "
        f"decompositions in PEFT, {smallest_cosine(found, randomised):.4f} with its own (exact to own {smallest_cosine(exact, randomised):.4f})"
    )
    return cosine > 0.9999


def main():
    torch.set_num_threads(1)
    case = sys.argv[1]
    native = sys.argv[2] if len(sys.argv) > 2 else os.path.join(os.path.dirname(__file__), "..", "..", "lora-native")
    results = [check_weights(native, case, init) for init in ("pissa", "olora")]
    results += [check_eva(native, case, settings) for settings in (dict(rho=1.0), dict(rho=2.0, use_label_mask=False))]
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
