"""Combines adapters with lora-native and compares with PEFT's add_weighted_adapter.

usage: check_combine.py FOLDER [--lora-native COMMAND]

Makes a tiny Llama and three random adapters (two of rank 4, one of rank 2 on more modules) in FOLDER, combines them with both
types and several weights, loads what `combine` wrote with PEFT, and compares A, B and logits with what PEFT made itself. Also
what both refuse. Needs torch, transformers, peft.
"""

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import warnings

warnings.filterwarnings("ignore")
import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model

transformers.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def make(folder):
    torch.manual_seed(1)
    config = transformers.LlamaConfig(
        vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2
    )
    model = transformers.AutoModelForCausalLM.from_config(config)
    model.save_pretrained(os.path.join(folder, "model"))
    settings = {
        "a": dict(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"]),
        "b": dict(r=4, lora_alpha=6, target_modules=["q_proj", "v_proj"], use_rslora=True),
        "c": dict(r=2, lora_alpha=2, target_modules=["q_proj", "down_proj"]),
    }
    for name, values in settings.items():
        base = transformers.AutoModelForCausalLM.from_pretrained(os.path.join(folder, "model"))
        peft = get_peft_model(base, LoraConfig(task_type="CAUSAL_LM", init_lora_weights=False, **values))
        peft.save_pretrained(os.path.join(folder, name))


def load(folder, *names):
    base = transformers.AutoModelForCausalLM.from_pretrained(os.path.join(folder, "model"), attn_implementation="eager")
    peft = PeftModel.from_pretrained(base, os.path.join(folder, names[0]), adapter_name=names[0])
    for name in names[1:]:
        peft.load_adapter(os.path.join(folder, name), adapter_name=name)
    return peft.eval()


def logits(model):
    with torch.no_grad():
        return model(input_ids=torch.arange(3, 27)[None]).logits


def combine(command, folder, names, weights, kind, output):
    shutil.rmtree(output, ignore_errors=True)
    arguments = ["combine", "--model", os.path.join(folder, "model"), "--output", output, "--combination-type", kind]
    for name in names:
        arguments += ["--adapter", f"{name}={os.path.join(folder, name)}"]
    arguments += ["--adapter-weights=" + ",".join(map(str, weights))]
    return subprocess.run([*command, *arguments], capture_output=True, text=True)


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("folder")
    parser.add_argument("--lora-native", default=os.path.join(ROOT, "lora-native"))
    arguments = parser.parse_args()
    command = shlex.split(arguments.lora_native)
    make(arguments.folder)
    failed = False
    cases = [
        (["a", "b"], [0.7, 0.3], "linear"),
        (["a", "b"], [1.0, -0.5], "linear"),
        (["a", "b"], [0.7, 0.3], "cat"),
        (["a", "c"], [0.5, 2.0], "cat"),
        (["a", "b", "c"], [0.2, -0.4, 1.0], "cat"),
        (["c"], [0.5], "cat"),
        (["a", "c"], [0.5, 0.5], "linear"),
    ]
    for names, weights, kind in cases:
        label = f"{kind:6} {' '.join(f'{w:+}*{n}' for n, w in zip(names, weights))}"
        output = os.path.join(arguments.folder, "combined")
        run = combine(command, arguments.folder, names, weights, kind, output)
        # PEFT keeps use_rslora of the first adapter in the new one's configuration and so scales it a second time; the first is
        # never rsLoRA here.
        peft = load(arguments.folder, *names)
        try:
            peft.add_weighted_adapter(names, weights, "both", combination_type=kind)
        except ValueError as e:
            print(f"{label:40} PEFT: {e}")
            print(f"{'':40} ours: {run.stderr.strip().splitlines()[0]}")
            failed |= run.returncode != 2
            continue
        if run.returncode != 0:
            print(run.stderr)
            failed = True
            continue
        peft.set_adapter("both")
        expected = logits(peft)
        ours = logits(load(arguments.folder, "combined"))
        plain = logits(transformers.AutoModelForCausalLM.from_pretrained(os.path.join(arguments.folder, "model")))
        scale = expected.abs().max()
        difference = ((ours - expected).abs().max() / scale).item()
        effect = ((expected - plain).abs().max() / scale).item()
        print(f"{label:40} logits differ by {difference:.1e} of the largest, the adapter changes {effect:.1e}")
        failed |= not difference < 1e-5
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
