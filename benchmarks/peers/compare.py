"""lora-native against transformers + PEFT: the same model, adapter, samples, precision, optimizer and recompute setting.

Both train in processes of their own, in turns, --rounds times; the two sides' losses must agree in every step. Writes
peers-DATE.json and the same as a table into --output.
"""

import argparse
import datetime
import importlib.util
import os
import signal
import statistics
import subprocess
import sys
import tempfile

import engines
import initial_adapter
import tables

SHAPES = ("moe-small", "llama-small", "moe-medium", "llama-medium")
RANK = 8
# Of the loss. Rounding alone gives 1e-6; another operation, order of samples or scale gives far more. On a GPU both sides
# multiply in bfloat16, each with roundings of its own.
LOSS_TOLERANCE = 1e-4
GPU_LOSS_TOLERANCE = 2e-2


class Case:
    def __init__(self, shape, targets, weights, length, options, folder):
        self.shape, self.targets, self.weights, self.length = shape, targets, weights, length
        self.steps, self.batch, self.threads = options.steps, options.batch, options.threads
        self.recompute, self.experts = options.recompute, options.experts
        self.device, self.on_gpu = options.device, options.device != "cpu"
        self.program = options.program
        self.model = os.path.join(folder, shape)
        self.data = os.path.join(self.model, f"data-{length}.jsonl")
        self.adapter = os.path.join(folder, f"{shape}-{targets}")
        if not os.path.exists(self.data):
            make_model(options.benchmarks, shape, self.model, max(self.batch * self.steps, 2), length)
        if not os.path.exists(self.adapter):
            initial_adapter.write(self.model, targets, RANK, self.adapter)

    def __str__(self):
        return f"{self.shape}, {self.weights}, {self.targets}, {self.batch} x {self.length} tokens"


def make_model(jar, shape, folder, samples, length):
    java = os.path.join(os.environ["JAVA_HOME"], "bin", "java")
    words = [java, "-cp", jar, "dev.loranative.benchmarks.MakeModel", shape, folder, str(samples), str(length)]
    subprocess.run(words, check=True)


def measure(case, rounds, folder):
    runs = {"peft": [], "lora-native": []}
    for round_number in range(rounds):
        order = list(runs) if round_number % 2 == 0 else list(reversed(runs))
        for engine in order:
            run = engines.run(engine, case, folder)
            runs[engine].append(run)
            rate = statistics.median(run.rates())
            print(f"{case}: round {round_number + 1}, {engine}: {rate:,.0f} tokens/s", file=sys.stderr, flush=True)
    return row(case, runs)


def row(case, runs):
    difference = 0.0
    tolerance = GPU_LOSS_TOLERANCE if case.on_gpu else LOSS_TOLERANCE
    for ours, theirs in zip(runs["lora-native"], runs["peft"]):
        if len(ours.losses()) != len(theirs.losses()):
            sys.exit(f"error: {case}: {len(ours.losses())} steps and {len(theirs.losses())}")
        for step, (a, b) in enumerate(zip(ours.losses(), theirs.losses()), 1):
            difference = max(difference, abs(a - b) / abs(b))
            if not difference <= tolerance:
                sys.exit(f"error: {case}: the losses of step {step} differ: lora-native {a}, PEFT {b}; not the same training")
    sides = {engine: side(of) for engine, of in runs.items()}
    ours, theirs = sides["lora-native"], sides["peft"]
    return {
        "model": case.shape,
        "targets": case.targets,
        "weights": case.weights,
        "batch_size": case.batch,
        "sequence_length": case.length,
        "lora_native": ours,
        "peft": theirs,
        "speed_ratio": ours["tokens_per_second"] / theirs["tokens_per_second"],
        "memory_ratio": ours["peak_bytes"] / theirs["peak_bytes"],
        "largest_relative_loss_difference": difference,
        "peft_settings": runs["peft"][0].settings,
    }


def side(runs):
    """Median over all measured steps of all rounds; the largest memory; the median time to the first step."""
    return {
        "tokens_per_second": statistics.median([rate for run in runs for rate in run.rates()]),
        "rounds": [statistics.median(run.rates()) for run in runs],
        "peak_bytes": max(run.peak_bytes for run in runs),
        "first_step_seconds": statistics.median([run.first_step_seconds for run in runs]),
    }


def git(*words):
    result = subprocess.run(["git", *words], cwd=engines.ROOT, capture_output=True, text=True)
    return result.stdout.strip() if result.returncode == 0 else ""


def machine():
    processor = os.uname().machine
    try:
        with open("/proc/cpuinfo") as file:
            names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
        processor = names[0] if names else processor
    except FileNotFoundError:
        pass
    commit = git("rev-parse", "--short=10", "HEAD") or "unknown"
    changed = git("status", "--porcelain", "--", ".", ":!benchmarks/results")
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "commit": commit + ("-changed" if changed else ""),
        "processor": processor,
        "processors": os.cpu_count(),
        "system": f"{os.uname().sysname} {os.uname().release}",
        "python": sys.version.split()[0],
    }


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", default=",".join(SHAPES), help="shapes, separated by commas")
    parser.add_argument("--targets", default="attention,router", help="attention, router; router only for mixtures")
    parser.add_argument("--weights", default="bf16", help="bf16, nf4 (on PEFT's side by bitsandbytes; attention targets only)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=10, help="of each run; the first two are not counted")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--length", type=int, default=256)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu", help="cpu, or cuda:0: bfloat16 products on both sides, memory of the GPU")
    parser.add_argument("--recompute", action="store_true", help="gradient checkpointing on both sides")
    parser.add_argument("--experts", help="experts_implementation of transformers; default: its own choice")
    parser.add_argument("--sweep", action="store_true", help="sequence lengths instead: one sequence a step, small models")
    parser.add_argument("--lengths", default="128,256,512,1024,2048,4096", help="of the sweep")
    parser.add_argument("--program", default=os.path.join(engines.ROOT, "lora-native"))
    jar = os.path.join(engines.ROOT, "benchmarks", "target", "benchmarks.jar")
    parser.add_argument("--benchmarks", default=jar, help="benchmarks.jar, which makes the models")
    parser.add_argument("--check", action="store_true", help="only look whether the arguments are right")
    parser.add_argument("--output", default=os.path.join(engines.ROOT, "benchmarks", "results"))
    options = parser.parse_args()
    for name in ("rounds", "batch", "threads"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} {getattr(options, name)}: must be at least 1")
    lengths = options.lengths.split(",") if options.sweep else [str(options.length)]
    if not all(length.isdecimal() and int(length) >= 2 for length in lengths):
        parser.error(f"--{'lengths' if options.sweep else 'length'} {','.join(lengths)}: must be numbers from 2 on")
    unknown = [name for name in options.targets.split(",") if name not in initial_adapter.GROUPS]
    if unknown:
        parser.error(f"no targets {unknown[0]}; there are {', '.join(initial_adapter.GROUPS)}")
    unknown = [name for name in options.models.split(",") if name not in SHAPES]
    if unknown:
        parser.error(f"no shape {unknown[0]}; there are {', '.join(SHAPES)}")
    if options.device not in ("cpu", "cuda:0"):
        parser.error(f"--device {options.device}: there are cpu and cuda:0")
    unknown = [name for name in options.weights.split(",") if name not in ("bf16", "nf4")]
    if unknown:
        parser.error(f"no weights {unknown[0]}; there are bf16 and nf4")
    if "nf4" in options.weights.split(",") and importlib.util.find_spec("bitsandbytes") is None:
        parser.error("--weights nf4 needs bitsandbytes; docs/benchmarks.md says which build")
    if not rows_of(options):
        parser.error("nothing is left to measure: router targets are for mixtures, a sweep for the small models")
    folder = os.path.abspath(options.output)
    while not os.path.exists(folder):
        folder = os.path.dirname(folder)
    if not os.path.isdir(folder) or not os.access(folder, os.W_OK):
        parser.error(f"--output {options.output} cannot be written to")
    if options.steps <= engines.WARM_UP:
        parser.error(f"--steps must be above {engines.WARM_UP}")
    return options


def rows_of(options):
    """Shape, targets, weights and length of every row."""
    shapes = options.models.split(",")
    if options.sweep:
        small = [shape for shape in shapes if shape.endswith("-small")]
        return [(shape, "attention", "bf16", int(length)) for shape in small for length in options.lengths.split(",")]
    return [
        (shape, targets, weights, options.length)
        for weights in options.weights.split(",")
        for targets in (options.targets.split(",") if weights == "bf16" else ["attention"])
        for shape in shapes
        if targets == "attention" or shape.startswith("moe")
    ]


def main():
    options = arguments()
    if options.check:
        return
    if options.sweep:
        options.batch = 1
    # Ended from outside, it ends what it runs and removes its files.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    rows = []
    with tempfile.TemporaryDirectory(prefix="lora-native-peers") as folder:
        for wanted in rows_of(options):
            case = Case(*wanted, options, folder)
            rows.append(measure(case, options.rounds, folder))
    settings = {
        "rounds": options.rounds,
        "steps": options.steps,
        "threads": options.threads,
        "recompute": options.recompute,
        "rank": RANK,
        "loss_tolerance": LOSS_TOLERANCE if options.device == "cpu" else GPU_LOSS_TOLERANCE,
        "device": options.device,
    }
    kind = ("" if options.device == "cpu" else "gpu-") + ("sweep" if options.sweep else "peers")
    results = {"kind": kind, **machine(), "settings": settings, "rows": rows}
    for path in tables.write(results, options.output):
        print("wrote", path)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print("stopped; nothing was written", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
