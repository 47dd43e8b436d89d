"""Merges adapters with lora-native, loads the results with transformers, and compares with base + adapter.

usage: check_merge.py CASES [CASE ...] [--adapter NAME] [--output FOLDER] [--lora-native COMMAND] [--json FILE]

CASES is a folder of cases as make_reference.py makes them (model/ and an adapter, by default adapter_final/). Each is merged
as float32 and as it is stored, the latter also in files of a limited size. Reported is the largest difference of the logits
as a share of the largest logit, and whether transformers found exactly the tensors it wants. float32 must stay below 1e-4.

Base + adapter is what PEFT computes. Cases that cases.json marks by_name were trained by lora_by_name.py, and PEFT reads some of
them as other targets or not at all; those are judged by W + scaling * B @ A, computed from the files without PEFT
(manual_adapter.py). The column "judge" says which it was.
"""

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import warnings

warnings.filterwarnings("ignore")
import torch
import transformers
from peft import PeftModel
from safetensors import safe_open

from judge import LIMIT, changed_model

transformers.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def names(folder):
    found = {}
    for file in sorted(os.listdir(folder)):
        if file.endswith(".safetensors"):
            with safe_open(os.path.join(folder, file), "pt") as tensors:
                found.update({name: tensors.get_slice(name).get_dtype() for name in tensors.keys()})
    return found


def load(folder):
    model, info = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True
    )
    return model.eval(), sorted(list(info["missing_keys"]) + list(info["unexpected_keys"]) + list(info["mismatched_keys"]))


def logits(model, vocabulary):
    torch.manual_seed(0)
    ids = torch.randint(0, vocabulary, (2, 24))
    with torch.no_grad():
        return model(input_ids=ids).logits.double()


def merge(command, case, adapter, output, more):
    shutil.rmtree(output, ignore_errors=True)
    run = subprocess.run(
        [*command, "merge", "--model", os.path.join(case, "model"), "--adapter", adapter, "--output", output, "--json", *more],
        capture_output=True,
        text=True,
    )
    if run.returncode != 0:
        raise RuntimeError(run.stderr.strip())
    return json.loads(run.stdout)


def base_and_adapter(base, name, case, adapter):
    """Who computed the logits, and the logits."""
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "cases.json")) as file:
        by_name = any(one["name"] == name and one.get("by_name") for one in json.load(file)["cases"])
    vocabulary = base.config.vocab_size
    if not by_name:
        return "PEFT", logits(PeftModel.from_pretrained(base, adapter).eval(), vocabulary)
    with tempfile.TemporaryDirectory() as folder:
        manual = logits(changed_model(os.path.join(case, "model"), adapter, folder), vocabulary)
    try:
        peft = logits(PeftModel.from_pretrained(base, adapter).eval(), vocabulary)
    except (ValueError, RuntimeError):
        return "manual", manual
    same = (peft - manual).abs().max() <= LIMIT * manual.abs().max()
    return ("PEFT", peft) if same else ("manual", manual)


def check(name, arguments):
    case = os.path.join(arguments.cases, name)
    adapter = os.path.join(case, arguments.adapter)
    output = os.path.join(arguments.output, name)
    base, _ = load(os.path.join(case, "model"))
    vocabulary = base.config.vocab_size
    judge, expected = base_and_adapter(base, name, case, adapter)
    scale = expected.abs().max().item()
    stored = names(os.path.join(case, "model"))
    rows = []
    for label, more in [
        ("float32", ["--dtype", "float32"]),
        ("as stored", []),
        ("as stored, split", ["--max-shard-size", "60kB"]),
    ]:
        report = merge(shlex.split(arguments.lora_native), case, adapter, output, more)
        model, complaints = load(output)
        merged = names(output)
        difference = (logits(model, vocabulary) - expected).abs()
        rows.append(
            {
                "case": name,
                "judge": judge,
                "merged": label,
                "files": report["files"],
                "max": difference.max().item() / scale,
                "mean": difference.mean().item() / scale,
                "own_max": report["logits"]["max_difference"] / report["logits"]["scale"],
                "own_bound": report["logits"]["bound"] / report["logits"]["scale"],
                "complaints": complaints + sorted(set(stored) - set(merged)),
                "added": sorted(set(merged) - set(stored)),
            }
        )
    return rows


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("cases")
    parser.add_argument("names", nargs="*")
    parser.add_argument("--adapter", default="adapter_final")
    parser.add_argument("--output", default="merged")
    parser.add_argument("--lora-native", default=os.path.join(ROOT, "lora-native"))
    parser.add_argument("--json")
    arguments = parser.parse_args()
    os.makedirs(arguments.output, exist_ok=True)
    selected = arguments.names or sorted(os.listdir(arguments.cases))
    results, failed = [], False
    print(f"{'case':28} {'merged':17} judge   files  max/scale  mean/scale  own max    own bound")
    for name in selected:
        if not os.path.isdir(os.path.join(arguments.cases, name, arguments.adapter)):
            continue
        try:
            rows = check(name, arguments)
        except Exception as e:  # a case that PEFT cannot load is told, not hidden
            print(f"{name:28} {type(e).__name__}: {str(e).splitlines()[0][:150]}")
            failed = True
            continue
        for row in rows:
            bad = row["complaints"] or row["merged"] == "float32" and row["max"] > 1e-4
            failed |= bool(bad)
            print(
                f"{row['case']:28} {row['merged']:17} {row['judge']:6}  {row['files']:5}  {row['max']:.2e}   {row['mean']:.2e}    "
                f"{row['own_max']:.2e}   {row['own_bound']:.2e}  {'FAILED ' + str(row['complaints']) if bad else ''}"
                f"{'added ' + ' '.join(row['added']) if row['added'] else ''}"
            )
        results += rows
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump(results, file, indent=1)
            file.write("\n")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
