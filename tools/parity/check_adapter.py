"""Does PEFT read an adapter folder as lora-native means it?

usage: check_adapter.py MODEL ADAPTER PROMPT_IDS [LOGITS.json]

Computes the logits of the prompt (ids with commas) three ways, in float32 on the CPU, and prints the largest differences, relative to
the largest logit:
  peft     PeftModel.from_pretrained(MODEL, ADAPTER)
  manual   the checkpoint's own tensors with the adapter's changes, by their names in the files, loaded without PEFT (manual_adapter.py)
  engine   the numbers in LOGITS.json, if given: a list [positions][vocabulary], or an object with the key "logits"
Fails (exit code 1) above 1e-4, if PEFT misses a tensor, and if the adapter changes nothing. check_dialects.py does this for every kind
of adapter. Needs torch, transformers, peft.
"""

import json
import sys
import tempfile

import torch
import transformers

from judge import LEAST_EFFECT, LIMIT, changed_model, largest_difference, load_peft, logits_of
from tiny_models import load


def main():
    if len(sys.argv) not in (4, 5):
        sys.exit(__doc__)
    model_dir, adapter_dir, prompt = sys.argv[1:4]
    rows = [dict(input_ids=[int(i) for i in prompt.split(",")])]
    transformers.logging.set_verbosity_error()
    base = logits_of(load(model_dir), rows)
    peft, messages = load_peft(model_dir, adapter_dir)
    results = {"peft": logits_of(peft, rows)}
    with tempfile.TemporaryDirectory() as copy:
        manual = logits_of(changed_model(model_dir, adapter_dir, copy), rows)
    if len(sys.argv) > 4:
        engine = json.load(open(sys.argv[4]))
        results["engine"] = [torch.tensor(engine["logits"] if isinstance(engine, dict) else engine)]
    effect = largest_difference(manual, base)
    print(f"effect of the adapter on the logits: {effect:.3e}")
    failed = effect < LEAST_EFFECT or bool(messages)
    for name, logits in results.items():
        difference = largest_difference(logits, manual)
        failed |= not difference <= LIMIT
        print(f"{name} - manual: {difference:.3e}")
    print("\n".join(messages))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
