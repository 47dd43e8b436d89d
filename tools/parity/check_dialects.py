"""Do PEFT and lora-native read each other's adapters, in every layout?

usage: check_dialects.py [FAMILY ...] [--random N] [--only TEXT] [--jar JAR | --lora-native COMMAND] [--keep DIR] [--results FOLDER]

On tiny random models of every family (tiny_models.py), in float32:
  written  lora-native trains two steps, with random B from the start; PEFT loads what it wrote
  read     PEFT makes an adapter with random values and saves it; lora-native evaluates it
  rewritten  lora-native starts from PEFT's adapter, takes a step with learning rate 0, and writes it in every dialect; PEFT
           loads that again
Each adapter is judged three ways (judge.py): PEFT's logits against W + scaling * B @ A computed from the files alone, the
losses of lora-native against PEFT's, and PEFT must miss no tensor. Fails (exit code 1) beyond 1e-4.

--results writes FOLDER/FAMILY.json with every number, and FOLDER/README.md over all such files in FOLDER.
"""

import argparse
import os
import random
import sys
import tempfile
import warnings

warnings.filterwarnings("ignore")
import torch
import transformers
from peft import LoraConfig, get_peft_model

import judge
import results_table
import tiny_models
from engine import JAR, Launcher, Process

transformers.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()

TRAIN = [
    "--max-steps=2", "--per-device-train-batch-size=2", "--learning-rate=1e-3", "--init-lora-weights=false",
    "--logging-steps=1", "--lr-scheduler-type=constant", "--warmup-steps=0",
]  # fmt: skip
COMMON = [
    "--target-modules=attention",
    "--target-modules=all-linear --use-rslora",
    "--target-modules=attention --use-dora",
    "--target-modules=q_proj,v_proj,lm_head --rank-pattern={'q_proj':2} --alpha-pattern={'layers.1.*':3}",
    "--target-modules=q_proj,v_proj --modules-to-save=lm_head,model.norm",
    "--target-modules=v_proj --modules-to-save=input_layernorm,k_proj --layers-to-transform=1",
    "--target-modules=q_proj --trainable-token-indices=5,9,2",
    "--target-modules=embed_tokens,q_proj",
]
DENSE = [
    "--target-modules=mlp --layers-to-transform=1 --r=3",
    "--target-modules=.*layers\\.0\\..*[qv]_proj",
]
BIASES = [
    "--target-modules=q_proj,o_proj --bias=all",
    "--target-modules=q_proj,v_proj --bias=lora_only --use-dora",
    "--target-modules=q_proj,v_proj --lora-bias --use-rslora",
    "--target-modules=q_proj --bias=all --modules-to-save=k_proj",
]
MOE = [
    "--target-modules=router",
    "--target-modules=router --layers-to-transform=1 --lora-dropout=0.1",
    "--target-modules=q_proj --modules-to-save=gate",
    "--target-modules=q_proj,experts --modules-to-save=layers.1.MOE.gate",
    "--target-modules=attention,experts,router",
    "--target-modules=experts --use-rslora --layers-to-transform=1",
    "--target-modules=experts,router --r=4 --adapter-dialect=v5",
    "--target-modules=experts --share-expert-adapters",
    "--target-modules=GATE,q_proj --share-expert-adapters --use-rslora",
    "--target-modules=GATE --r=3",
    "--target-modules=UP,router --layers-to-transform=1",
    "--target-modules=GATE,UP",
    "--target-modules=DOWN --adapter-dialect=v5",
    "--target-modules=GATE,DOWN --use-rslora",
    "--target-modules=experts.1.GATE,experts.3.DOWN,q_proj",
    "--target-modules=experts --rank-pattern={'UP':4,'experts.2.DOWN':3}",
    "--target-modules=experts --alpha-pattern={'experts.0.UP':5}",
]


class Case:
    def __init__(self, family, name, run):
        self.family, self.name, self.run = family, name, run


class Bench:
    """A folder with a model, data and what comes of them."""

    def __init__(self, family, folder, engine):
        self.family, self.folder, self.engine = family, folder, engine
        self.model, self.data = os.path.join(folder, "model"), os.path.join(folder, "data.jsonl")
        tiny_models.write_model(family, self.model)
        self.rows = tiny_models.write_rows(self.data)
        self.count = 0

    def place(self):
        self.count += 1
        return os.path.join(self.folder, f"adapter-{self.count}")

    def train(self, flags):
        output = self.place()
        self.engine(["train", "--model", self.model, "--dataset", self.data, "--output-dir", output] + flags)
        return output

    def judge(self, adapter):
        return judge.judge(self.model, adapter, self.data, self.rows, self.engine)

    def save_peft(self, settings, seed):
        """An adapter of PEFT with random values in all that it trains."""
        model = get_peft_model(tiny_models.load(self.model), LoraConfig(task_type="CAUSAL_LM", **settings))
        torch.manual_seed(seed)
        with torch.no_grad():
            for _, weight in sorted(model.named_parameters()):
                if weight.requires_grad:
                    weight.add_(torch.randn_like(weight) * 0.1)
        output = self.place()
        model.save_pretrained(output)
        return output

    def rewrite(self, adapter, dialect):
        keep = ["--init-adapter", adapter, "--adapter-dialect", dialect, "--max-steps=1", "--learning-rate=0"]
        return self.train(keep + ["--per-device-train-batch-size=1"])


def spelled(flags, family):
    gate, up, down = ("w1", "w3", "w2") if family == "mixtral" else ("gate_proj", "up_proj", "down_proj")
    block = "block_sparse_moe" if family == "mixtral" else "mlp"
    names = {"GATE": gate, "UP": up, "DOWN": down, "MOE": block}
    for word, name in names.items():
        flags = flags.replace(word, name)
    return flags.split(" ")


def tied(family):
    return tiny_models.FAMILIES[family][1].get("tie_word_embeddings", False)


def random_flags(family, chance):
    moe = tiny_models.is_moe(family)
    pool = ["q_proj", "k_proj", "v_proj", "o_proj"]
    if moe:
        pool += ["GATE", "UP", "DOWN", "gate" if family == "mixtral" else "mlp.gate"]
        pool += [f"experts.{e}.{p}" for e in range(4) for p in ("GATE", "UP", "DOWN")]
    else:
        pool += ["gate_proj", "up_proj", "down_proj"]
    names = sorted(set(chance.sample(pool, chance.randint(1, 4))))
    flags = [f"--target-modules={','.join(names)}", f"--r={chance.choice([1, 2, 3, 4, 8])}"]
    flags.append(f"--lora-alpha={chance.choice([4, 5, 8, 16])}")
    if chance.random() < 0.3:
        flags.append("--use-rslora")
    if chance.random() < 0.3:
        flags.append("--layers-to-transform=1")
    if chance.random() < 0.4:
        flags.append("--rank-pattern={'" + chance.choice(names).split(".")[-1] + f"':{chance.randint(1, 6)}}}")
    if moe and chance.random() < 0.5:
        flags.append("--adapter-dialect=v5")
    return " ".join(flags)


def peft_settings(family):
    """What PEFT's users write for this family, by name."""
    settings = {
        "attention": dict(r=4, target_modules=["q_proj", "k_proj", "v_proj", "o_proj"]),
        "rslora-patterns": dict(
            r=4, lora_alpha=8, use_rslora=True, target_modules=["q_proj", "v_proj"],
            rank_pattern={"v_proj": 2}, alpha_pattern={"layers.1.self_attn.q_proj": 32},
        ),
        "head": dict(r=2, target_modules=["q_proj", "lm_head"]),
        "dora": dict(r=4, use_dora=True, target_modules=["q_proj", "o_proj"]),
        "embedding": dict(r=2, target_modules=["v_proj", "embed_tokens"]),
        "tokens": dict(r=2, target_modules=["v_proj"], trainable_token_indices=[7, 3]),
        "norms": dict(r=2, target_modules=["v_proj"], modules_to_save=["norm"]),
    }  # fmt: skip
    if tied(family):
        settings["head-in-full"] = dict(
            r=2, target_modules=["v_proj"], modules_to_save=["lm_head"], ensure_weight_tying=True
        )
    else:
        settings["head-in-full"] = dict(r=2, target_modules=["v_proj"], modules_to_save=["lm_head", "embed_tokens"])
    if family.startswith(("llama", "qwen2")):
        settings["bias-all"] = dict(r=2, target_modules=["q_proj"], bias="all")
        settings["bias-lora_only"] = dict(r=2, target_modules=["q_proj", "v_proj"], bias="lora_only")
        settings["lora_bias"] = dict(r=2, target_modules=["q_proj", "v_proj"], lora_bias=True)
    if not tiny_models.is_moe(family):
        settings["all-linear"] = dict(r=3, target_modules="all-linear")
        return settings
    settings["router-in-full"] = dict(r=2, target_modules=["q_proj"], modules_to_save=["mlp.gate"])
    settings["router"] = dict(r=4, target_modules=[], target_parameters=["mlp.gate.weight"])
    settings["router-layer1"] = dict(r=2, target_modules=[], target_parameters=["layers.1.mlp.gate.weight"])
    both = ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]
    settings["experts-sharing-A"] = dict(r=4, lora_alpha=6, target_modules=["v_proj"], target_parameters=both)
    settings["gate_up-sharing-A-odd"] = dict(r=3, target_modules=[], target_parameters=both[:1])
    settings["down"] = dict(r=2, target_modules=[], target_parameters=both[1:])
    settings["down-layer1"] = dict(r=2, target_modules=[], target_parameters=["layers.1.mlp.experts.down_proj"])
    if family != "qwen2_moe":
        settings["all-linear"] = dict(r=3, target_modules="all-linear")
        names = ["w1", "w2", "w3"] if family == "mixtral" else ["gate_proj", "up_proj", "down_proj"]
        settings["names"] = dict(r=2, lora_alpha=5, target_modules=["q_proj", "gate"] + names)
    return settings


def cases_of(bench, options):
    family = bench.family
    flags = COMMON + (MOE if tiny_models.is_moe(family) else DENSE)
    flags += BIASES if family.startswith(("llama", "qwen2")) else []
    chance = random.Random(family)
    flags += [random_flags(family, chance) for _ in range(options.random)]
    for text in flags:
        yield Case(family, "written " + text, lambda text=text: bench.train(TRAIN + spelled(text, family)))
    for number, (name, settings) in enumerate(peft_settings(family).items()):
        saved = []

        def save(settings=settings, number=number, saved=saved):
            saved.append(bench.save_peft(settings, number))
            return saved[0]

        yield Case(family, "read " + name, save)
        experts = tiny_models.is_moe(family) and ("target_parameters" in settings or name in ("all-linear", "names"))
        for dialect in ("auto", "v5") if experts else ("auto",):
            yield Case(family, f"rewritten {dialect} {name}", lambda d=dialect, saved=saved: bench.rewrite(saved[0], d))


def main():
    parser = argparse.ArgumentParser(usage=__doc__, add_help=False)
    parser.add_argument("families", nargs="*")
    parser.add_argument("--random", type=int, default=0)
    parser.add_argument("--only", default="")
    parser.add_argument("--lora-native")
    parser.add_argument("--jar", default=JAR)
    parser.add_argument("--keep")
    parser.add_argument("--results")
    options = parser.parse_args()
    engine = Launcher(options.lora_native) if options.lora_native else Process(options.jar)
    failed = checked = 0
    with tempfile.TemporaryDirectory() as temporary:
        for family in options.families or tiny_models.FAMILIES:
            folder = os.path.join(options.keep or temporary, family)
            bench = Bench(family, folder, engine)
            results = []
            for case in cases_of(bench, options):
                if options.only in case.name or case.name.startswith("read"):
                    results.append(attempt(bench, case))
            checked, failed = checked + len(results), failed + sum(result["failed"] for result in results)
            if options.results:
                results_table.write(options.results, family, results)
    print(f"{checked} adapters, {failed} failed")
    sys.exit(1 if failed or not checked else 0)


def attempt(bench, case):
    result = dict(family=case.family, case=case.name)
    try:
        verdict = bench.judge(case.run())
        result.update(effect=verdict.effect, manual=verdict.manual, engine=verdict.engine, failed=verdict.failed())
        text = str(verdict)
    except Exception as problem:  # one adapter that cannot be made must not hide the others
        text = f"{type(problem).__name__}: {str(problem)[:400]}"
        result.update(failed=True, problem=text)
    print("FAIL" if result["failed"] else "ok  ", case.family, case.name, "-", text, flush=True)
    return result


if __name__ == "__main__":
    main()
