"""Does lora-native read the adapters in a folder of PEFT fixtures, old layouts included?

usage: check_fixtures.py FIXTURES [--jar JAR | --lora-native COMMAND]

FIXTURES holds base_*/ (a model), expected_base.safetensors with 'input_ids' and 'labels', adapter folders, and for each
expected_NAME.safetensors with 'loss_no_aux', the mean loss of all label tokens, or 'loss', with 0.001 of 'aux_loss' in it. An adapter without expectations must give the numbers
of the one that its name begins with (experts_peft018_layout: experts). Fails (exit code 1) beyond 1e-5 of the loss.
"""

import argparse
import glob
import json
import os
import sys
import tempfile

from safetensors.torch import load_file

from engine import JAR, Launcher, Process

BOUND = 1e-5


def expectation(fixtures, name):
    while name:
        path = os.path.join(fixtures, f"expected_{name}.safetensors")
        if os.path.exists(path):
            found = load_file(path)
            if "loss_no_aux" in found:
                return found["loss_no_aux"].item()
            return found["loss"].item() - 0.001 * found["aux_loss"].item()
        name = name.rpartition("_")[0]
    return None


def main():
    parser = argparse.ArgumentParser(usage=__doc__, add_help=False)
    parser.add_argument("fixtures")
    parser.add_argument("--lora-native")
    parser.add_argument("--jar", default=JAR)
    options = parser.parse_args()
    engine = Launcher(options.lora_native) if options.lora_native else Process(options.jar)
    model = glob.glob(os.path.join(options.fixtures, "base_*"))[0]
    base = load_file(os.path.join(options.fixtures, "expected_base.safetensors"))
    failed = checked = 0
    with tempfile.TemporaryDirectory() as folder:
        data = os.path.join(folder, "data.jsonl")
        with open(data, "w") as file:
            for ids, labels in zip(base["input_ids"].tolist(), base["labels"].tolist()):
                file.write(json.dumps(dict(input_ids=ids, labels=labels)) + "\n")
        for config in sorted(glob.glob(os.path.join(options.fixtures, "*/adapter_config.json"))):
            name = os.path.basename(os.path.dirname(config))
            expected = expectation(options.fixtures, name)
            try:
                command = ["eval", "--json", "--model", model, "--adapter", os.path.dirname(config), "--data", data]
                loss = json.loads(engine(command))["loss"]
                difference = abs(loss - expected) / expected
                wrong, text = not difference <= BOUND, f"loss {loss:.6f}, relative difference {difference:.1e}"
            except RuntimeError as problem:
                wrong, text = True, str(problem)
            checked, failed = checked + 1, failed + wrong
            print("FAIL" if wrong else "ok  ", name, "-", text, flush=True)
    print(f"{checked} adapters, {failed} failed")
    sys.exit(1 if failed or not checked else 0)


if __name__ == "__main__":
    main()
