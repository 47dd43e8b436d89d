"""Runs lora-native over reference cases and prints a table.

usage: run_all.py CASES [CASE ...] [--lora-native COMMAND] [--output DIR] [--yaml] [--eval] [--flag --threads=2 ...]

CASES is a folder of case folders (see make_reference.py); names after it choose among them.
  --lora-native  how to start it; by default the launcher at the root of this repository
  --output       where the runs' folders go and stay; by default they are removed
  --yaml         gives the settings in a --config file instead of flags
  --eval         also compares `eval --per-example` of the final adapter with the reference
  --flag         hands a flag on to every `train`; may be repeated
Fails (exit code 1) if a case is not within the bounds of compare_run.py.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time

from compare_run import LOSS_BOUND, compare, relative

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def settings_of(case):
    """What `train` must be told besides paths, as keys of the configuration."""
    run = json.load(open(os.path.join(case, "run.json")))
    settings = {**run["lora"], **run["train"], "load_in_4bit": run["load_in_4bit"]}
    if run["router_aux_loss"]:
        config = json.load(open(os.path.join(case, "model/config.json")))
        settings["router_aux_loss_coef"] = run.get("router_aux_loss_coef", config["router_aux_loss_coef"])
    settings.update(train_sampling_strategy="sequential", seed=0, logging_steps=1)
    return settings


def as_flags(settings):
    flags = []
    for key, value in settings.items():
        flags.append("--" + key.replace("_", "-"))
        if isinstance(value, dict):
            flags.append(json.dumps(value))
        elif isinstance(value, list):
            flags.append(",".join(str(entry) for entry in value))
        elif isinstance(value, bool):
            flags.append(str(value).lower())
        else:
            flags.append(str(value))
    return flags


def run(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        errors = [line for line in done.stderr.splitlines() if line.strip()]
        first = next((line for line in errors if line.startswith("error:")), (errors or ["no message"])[-1])
        raise RuntimeError(f"exit code {done.returncode}: {first}")
    return done.stdout


def engine_losses(start, model, adapter, data, more=()):
    """Each sequence's mean loss; each alone in its batch, because dynamic rope scaling depends on the longest one."""
    command = start + ["eval", "--json", "--per-example", "--per-device-eval-batch-size", "1"]
    printed = run(command + ["--model", model, "--adapter", adapter, "--data", data, *more])
    return [example["loss"] for example in json.loads(printed)["examples"]]


def evaluate(start, case, output):
    """The largest relative difference of the sequences' losses under the trained adapter."""
    expected = json.load(open(os.path.join(case, "expected/trajectory.json")))["sequence_loss_after"]
    more = ["--load-in-4bit"] if settings_of(case)["load_in_4bit"] else []
    examples = engine_losses(start, os.path.join(case, "model"), output, os.path.join(case, "data.jsonl"), more)
    if len(examples) != len(expected):
        raise RuntimeError(f"eval gave {len(examples)} examples, not {len(expected)}")
    return max(relative(ours, loss) for ours, loss in zip(examples, expected))


def run_case(case, output, options):
    start = shlex.split(options.lora_native)
    command = start + ["train", "--model", os.path.join(case, "model"), "--data", os.path.join(case, "data.jsonl")]
    command += ["--output", output, "--init-adapter", os.path.join(case, "adapter_init")]
    if options.yaml:
        config = output + ".yaml"
        with open(config, "w") as file:
            json.dump(settings_of(case), file)  # JSON is YAML
        command += ["--config", config]
    else:
        command += as_flags(settings_of(case))
    run(command + options.flag)
    comparison = compare(case, output)
    evaluation = evaluate(start, case, output) if options.eval else None
    if evaluation is not None and not evaluation <= LOSS_BOUND:
        comparison.problems.append(f"eval differs by {evaluation:.1e}")
    return comparison, evaluation


def main():
    parser = argparse.ArgumentParser(usage=__doc__, add_help=False)
    parser.add_argument("cases")
    parser.add_argument("names", nargs="*")
    parser.add_argument("--lora-native", default=os.path.join(ROOT, "lora-native"))
    parser.add_argument("--output")
    parser.add_argument("--yaml", action="store_true")
    parser.add_argument("--eval", action="store_true")
    parser.add_argument("--flag", action="append", default=[])
    options = parser.parse_args()
    found = sorted(name for name in os.listdir(options.cases) if os.path.exists(f"{options.cases}/{name}/run.json"))
    unknown = set(options.names) - set(found)
    if unknown or not found:
        sys.exit(f"no such case: {', '.join(sorted(unknown)) or options.cases}")
    bad = 0
    print(f"{'case':26s} {'loss':>8s} {'gradnorm':>8s} {'rate':>8s} {'adapter':>8s} {'eval':>8s} {'seconds':>7s}")
    with tempfile.TemporaryDirectory() as temporary:
        place = options.output or temporary
        os.makedirs(place, exist_ok=True)
        for name in options.names or found:
            began = time.time()
            try:
                case, output = os.path.join(options.cases, name), os.path.join(place, name)
                comparison, evaluation = run_case(case, output, options)
            except (RuntimeError, OSError, ValueError, KeyError) as problem:
                bad += 1
                print(f"{name:26s} failed: {problem}", flush=True)
                continue
            numbers = [comparison.loss, comparison.norm, comparison.rate, comparison.adapter]
            cells = [f"{number:8.1e}" for number in numbers]
            cells.append(f"{evaluation:8.1e}" if evaluation is not None else " " * 8)
            verdict = "; ".join(comparison.problems) or "ok"
            bad += bool(comparison.problems)
            print(f"{name:26s} {' '.join(cells)} {time.time() - began:7.1f}  {verdict}", flush=True)
    print(f"{bad} not within the bounds" if bad else "all within the bounds")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
