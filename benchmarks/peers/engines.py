"""Runs one training in a process of its own, and reads what it left: steps, losses, peak memory, time to first step."""

import json
import os
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
LEARNING_RATE = 1e-4
WARM_UP = 2


class Run:
    """steps: lines of metrics; settings: what the engine says of itself; the rest measured from outside."""

    def __init__(self, lines, peak_bytes, first_step_seconds):
        self.steps = [line for line in lines if "loss" in line]
        self.settings = next((line["settings"] for line in lines if "settings" in line), {})
        self.peak_bytes = peak_bytes
        self.first_step_seconds = first_step_seconds

    def losses(self):
        return [step["loss"] for step in self.steps]

    def rates(self):
        """Tokens per second of the steps after the first ones, which touch memory for the first time."""
        return [1e3 * step["tokens"] / step["step_ms"] for step in self.steps[WARM_UP:]]


def commands(engine, case, output):
    """The command, and the file that will hold its metrics."""
    if engine == "peft":
        metrics = os.path.join(output, "metrics.jsonl")
        words = [sys.executable, os.path.join(HERE, "peft_train.py"), case.model, case.adapter, case.data, metrics]
        words += ["--steps", case.steps, "--batch", case.batch, "--threads", case.threads]
        words += ["--learning-rate", LEARNING_RATE]
        words += ["--recompute"] if case.recompute else []
        words += ["--experts", case.experts] if case.experts else []
        words += ["--device", "cuda" if case.on_gpu else "cpu"]
        words += ["--nf4"] if case.weights == "nf4" else []
        os.makedirs(output)
        return [str(word) for word in words], metrics
    words = [case.program, "train", "--model", case.model, "--data", case.data]
    words += ["--output", output, "--init-adapter", case.adapter, "--max-steps", case.steps]
    words += ["--per-device-train-batch-size", case.batch, "--max-length", case.length, "--threads", case.threads]
    words += ["--learning-rate", LEARNING_RATE, "--lr-scheduler-type", "constant", "--weight-decay", 0]
    words += ["--max-grad-norm", 1.0, "--train-sampling-strategy", "sequential"]
    words += ["--gradient-checkpointing", str(case.recompute).lower()]
    words += ["--device", case.device]
    words += ["--load-in-4bit", "true"] if case.weights == "nf4" else []
    return [str(word) for word in words], os.path.join(output, "metrics.jsonl")


def first_line_is_there(path):
    try:
        with open(path, "rb") as file:
            return b"\n" in file.read(4096)
    except FileNotFoundError:
        return False


def run(engine, case, folder):
    output = os.path.join(folder, f"{engine}-output")
    shutil.rmtree(output, ignore_errors=True)
    command, metrics = commands(engine, case, output)
    environment = dict(os.environ, OMP_NUM_THREADS=str(case.threads), MKL_NUM_THREADS=str(case.threads))
    log_path = os.path.join(folder, f"{engine}.log")
    with open(log_path, "wb") as log:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=ROOT)
        first = None
        try:
            # wait4 gives the peak resident memory of this child alone.
            while True:
                pid, status, usage = os.wait4(process.pid, os.WNOHANG)
                if first is None and first_line_is_there(metrics):
                    first = time.perf_counter() - start
                if pid:
                    break
                # Often while the first step is awaited, then rarely, so that watching costs the run nothing.
                time.sleep(0.02 if first is None else 0.2)
        except BaseException:
            process.kill()
            process.wait()
            raise
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"error: {engine} failed on {case}\n{tail(log_path)}\ncommand: {' '.join(command)}")
    with open(metrics) as file:
        lines = [json.loads(line) for line in file]
    return Run(lines, gpu_peak(lines) if case.on_gpu else usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024), first)


def gpu_peak(lines):
    """Bytes of the GPU's memory that the engine held at most, as it says itself."""
    return max(line.get("memory_bytes") or line.get("settings", {}).get("device_peak_bytes") or 0 for line in lines)


def tail(path):
    with open(path, errors="replace") as file:
        return "".join(file.readlines()[-20:])
