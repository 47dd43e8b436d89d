"""What PEFT, plain arithmetic and lora-native make of one adapter folder; used by the check_*.py scripts."""

import dataclasses
import json
import tempfile
import warnings

import torch
from peft import PeftModel

from make_reference import sequence_losses
from manual_adapter import ManualAdapter
from tiny_models import load

LIMIT = 1e-4
LEAST_EFFECT = 1e-4


@dataclasses.dataclass
class Verdict:
    effect: float
    """Largest change of a logit by the adapter, relative to the largest logit."""
    manual: float
    """Largest difference of PEFT's logits from those of W + scaling * B @ A, relative to the largest logit."""
    engine: float
    """Largest relative difference of a sequence's loss in lora-native from PEFT's."""
    messages: list

    def failed(self):
        return bool(self.messages) or not (self.manual <= LIMIT and self.engine <= LIMIT and self.effect >= LEAST_EFFECT)

    def __str__(self):
        text = f"effect {self.effect:.1e}, PEFT - manual {self.manual:.1e}, lora-native - PEFT {self.engine:.1e}"
        return "; ".join([text] + self.messages)


def logits_of(model, rows):
    with torch.no_grad():
        return [model(input_ids=torch.tensor([row["input_ids"]])).logits[0] for row in rows]


def largest_difference(ours, theirs):
    scale = max(logits.abs().max().item() for logits in theirs)
    return max((a - b).abs().max().item() for a, b in zip(ours, theirs)) / scale


def load_peft(model_dir, adapter_dir):
    """The adapted model, and what PEFT said about tensors that it missed."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = PeftModel.from_pretrained(load(model_dir), adapter_dir).eval()
    messages = [str(warning.message) for warning in caught]
    return model, ["PEFT: " + text[:160] for text in messages if "adapter keys" in text or "size mismatch" in text]


def engine_losses(engine, model_dir, adapter_dir, data):
    command = ["eval", "--json", "--per-example", "--per-device-eval-batch-size", "1"]
    printed = engine(command + ["--model", model_dir, "--adapter", adapter_dir, "--data", data])
    return [example["loss"] for example in json.loads(printed)["examples"]]


def changed_model(model_dir, adapter_dir, folder):
    """The model with the adapter's changes in its tensors, made without PEFT; written into ``folder``."""
    manual = ManualAdapter(model_dir, adapter_dir).apply()
    manual.write(folder)
    model = load(folder)
    for name, bias in manual.biases.items():
        model.get_submodule(name.replace(".block_sparse_moe.", ".mlp.")).bias = torch.nn.Parameter(bias)
    return model


def judge(model_dir, adapter_dir, data, rows, engine):
    """``engine``: lora-native, see engine.py."""
    base = logits_of(load(model_dir), rows)
    model, messages = load_peft(model_dir, adapter_dir)
    peft = logits_of(model, rows)
    losses = sequence_losses(model, rows)
    with tempfile.TemporaryDirectory() as folder:
        expected = logits_of(changed_model(model_dir, adapter_dir, folder), rows)
    ours = engine_losses(engine, model_dir, adapter_dir, data)
    difference = max(abs(a - b) / abs(b) for a, b in zip(ours, losses, strict=True))
    return Verdict(largest_difference(peft, base), largest_difference(peft, expected), difference, messages)
