"""Does PEFT compute what lora-native computes from an adapter that lora-native wrote?

usage: check_peft_loads.py MODEL ADAPTER DATA [--losses FILE] [--lora-native COMMAND]

Takes the mean loss of each sequence of DATA (tokenised: {"input_ids", "labels"} a line) twice: with transformers and
PeftModel.from_pretrained, in float32; and with `lora-native eval --json --per-example`, or from FILE, which holds what
that command printed, or a reference run's trajectory.json (then its sequence_loss_after counts). Fails (exit code 1) if
they differ by more than 1e-4 of the loss, if PEFT left out tensors of the file, or if the adapter changes nothing.
"""

import argparse
import json
import os
import shlex
import sys
import warnings

import torch
import transformers
from peft import PeftModel

from make_reference import sequence_losses
from run_all import ROOT, engine_losses

BOUND = 1e-4


def load(model):
    return transformers.AutoModelForCausalLM.from_pretrained(
        model, dtype=torch.float32, attn_implementation="eager", experts_implementation="eager"
    ).eval()


def read_rows(path):
    rows = [json.loads(line) for line in open(path) if line.strip()]
    if not rows or not all("input_ids" in row for row in rows):
        sys.exit(f"{path}: every line must have input_ids")
    return rows


def losses_in(path):
    found = json.load(open(path))
    if "sequence_loss_after" in found:
        return found["sequence_loss_after"]
    return [example["loss"] for example in found["examples"]]


def main():
    parser = argparse.ArgumentParser(usage=__doc__, add_help=False)
    for name in ("model", "adapter", "data"):
        parser.add_argument(name)
    parser.add_argument("--losses")
    parser.add_argument("--lora-native", default=os.path.join(ROOT, "lora-native"))
    options = parser.parse_args()
    rows = read_rows(options.data)
    base = torch.tensor(sequence_losses(load(options.model), rows))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = PeftModel.from_pretrained(load(options.model), options.adapter)
    left_out = [str(warning.message)[:300] for warning in caught if "adapter keys" in str(warning.message)]
    peft = torch.tensor(sequence_losses(model.eval(), rows))
    if options.losses:
        ours = torch.tensor(losses_in(options.losses))
    else:
        start = shlex.split(options.lora_native)
        ours = torch.tensor(engine_losses(start, options.model, options.adapter, options.data))
    if len(ours) != len(peft):
        sys.exit(f"{len(ours)} losses for {len(peft)} sequences")
    effect = (peft - base).abs().max().item()
    absolute, relative = (ours - peft).abs().max().item(), ((ours - peft) / peft).abs().max().item()
    print(f"{len(rows)} sequences; effect of the adapter {effect:.1e}", end="; ")
    print(f"difference {absolute:.1e}, relative {relative:.1e}")
    for message in left_out:
        print("peft:", message)
    sys.exit(1 if left_out or not relative <= BOUND or effect < 1e-6 else 0)


if __name__ == "__main__":
    main()
