"""What PEFT, plain arithmetic and lora-native make of one adapter folder; used by the check_*.py scripts."""

import dataclasses
import tempfile
import warnings

import torch
from peft import PeftModel

from make_reference import sequence_losses
from manual_adapter import ManualAdapter
from run_all import engine_losses
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


def judge(model_dir, adapter_dir, data, rows, start, engine=True):
    """``start``: how to run lora-native, a list of words."""
    base = logits_of(load(model_dir), rows)
    model, messages = load_peft(model_dir, adapter_dir)
    peft = logits_of(model, rows)
    losses = sequence_losses(model, rows)
    with tempfile.TemporaryDirectory() as folder:
        manual = ManualAdapter(model_dir, adapter_dir).apply()
        manual.write(folder)
        changed = load(folder)
        for name, bias in manual.biases.items():
            changed.get_submodule(name.replace(".block_sparse_moe.", ".mlp.")).bias = torch.nn.Parameter(bias)
        expected = logits_of(changed, rows)
    difference = 0.0
    if engine:
        ours = engine_losses(start, model_dir, adapter_dir, data)
        difference = max(abs(a - b) / abs(b) for a, b in zip(ours, losses, strict=True))
    return Verdict(largest_difference(peft, base), largest_difference(peft, expected), difference, messages)
