"""What the checks found, as files to commit."""

import datetime
import glob
import json
import os
import platform
import subprocess

import peft
import torch
import transformers

from run_all import ROOT


def commit():
    done = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def write(folder, family, results):
    os.makedirs(folder, exist_ok=True)
    found = dict(
        family=family,
        date=datetime.date.today().isoformat(),
        commit=commit(),
        peft=peft.__version__,
        transformers=transformers.__version__,
        torch=torch.__version__,
        machine=platform.machine(),
        results=[{key: rounded(value) for key, value in result.items()} for result in results],
    )
    with open(os.path.join(folder, family + ".json"), "w") as file:
        json.dump(found, file, indent=1)
        file.write("\n")
    write_summary(folder)


def rounded(value):
    return float(f"{value:.3g}") if isinstance(value, float) else value


def write_summary(folder):
    lines = [
        "# Adapters: lora-native, PEFT and plain arithmetic",
        "",
        "Written by `check_dialects.py --results`; its first lines say what is compared. The bound is 1e-4; a file beside this one has",
        "every adapter of its family. `PEFT - manual` and `lora-native - PEFT` are the largest differences of all adapters that ran.",
        "",
        "| family | adapters | failed | PEFT - manual | lora-native - PEFT | date | commit | PEFT, transformers, torch |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for path in sorted(glob.glob(os.path.join(folder, "*.json"))):
        found = json.load(open(path))
        ran = [result for result in found["results"] if "manual" in result]
        lines.append(
            f"| {found['family']} | {len(found['results'])} | {sum(r['failed'] for r in found['results'])} | "
            f"{max((r['manual'] for r in ran), default=0):.1e} | {max((r['engine'] for r in ran), default=0):.1e} | "
            f"{found['date']} | {found['commit']} | {found['peft']}, {found['transformers']}, {found['torch']} |"
        )
    with open(os.path.join(folder, "README.md"), "w") as file:
        file.write("\n".join(lines) + "\n")
