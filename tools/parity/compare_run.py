"""Compares a training run of lora-native with a reference run.

usage: compare_run.py CASE OUTPUT

CASE is a folder of make_reference.py, OUTPUT the output folder of `train` with that case's settings. Prints each step's
loss and learning rate beside the reference, then the final adapter's distance. Fails (exit code 1) if a loss differs by
more than 1e-4 of its value, the adapter by more than 1e-3 of its norm, or a learning rate by more than 1e-6 of the
highest one. Needs safetensors and numpy.
"""

import json
import os
import sys
from dataclasses import dataclass

import numpy
from safetensors.numpy import load_file

LOSS_BOUND, ADAPTER_BOUND, RATE_BOUND = 1e-4, 1e-3, 1e-6


@dataclass
class Comparison:
    steps: list  # (reference's step, our step or None)
    adapter: float
    worst_tensor: tuple
    problems: list

    def worst(self, difference):
        return max((difference(reference, ours) for reference, ours in self.steps if ours), default=float("inf"))

    @property
    def loss(self):
        return self.worst(lambda reference, ours: relative(ours["loss"], reference["loss"]))

    @property
    def rate(self):
        highest = max(reference["learning_rate"] for reference, _ in self.steps)
        return self.worst(lambda reference, ours: abs(ours["learning_rate"] - reference["learning_rate"]) / highest)

    @property
    def norm(self):
        """The largest relative difference of gradient norms; the contract has no bound for it."""
        return self.worst(lambda reference, ours: relative(ours.get("grad_norm") or 0, reference["grad_norm"]))


def relative(ours, reference):
    if ours is None or not numpy.isfinite(ours):
        return float("inf")
    return abs(ours - reference) / abs(reference) if reference else abs(ours)


def read_metrics(output):
    """The lines of optimizer steps by number; a run that was resumed may have written a step twice: the last counts."""
    steps = {}
    with open(os.path.join(output, "metrics.jsonl")) as file:
        for line in file:
            metrics = json.loads(line)
            if "loss" in metrics and "eval_loss" not in metrics:
                steps[metrics["step"]] = metrics
    return steps


def compare_adapters(reference_file, our_file, problems):
    """(distance of all tensors together over the norm of the reference, (distance, name) of the worst tensor)."""
    lora = lambda tensors: {name: value for name, value in tensors.items() if ".lora_" in name}
    reference, ours = lora(load_file(reference_file)), lora(load_file(our_file))
    missing, unexpected = sorted(reference.keys() - ours.keys()), sorted(ours.keys() - reference.keys())
    if missing:
        problems.append(f"{len(missing)} tensors missing, for example {missing[0]}")
    if unexpected:
        problems.append(f"{len(unexpected)} tensors too many, for example {unexpected[0]}")
    difference = norm = 0.0
    worst = (0.0, "")
    for name in reference.keys() & ours.keys():
        a, b = ours[name].astype(numpy.float64), reference[name].astype(numpy.float64)
        if a.shape != b.shape:
            problems.append(f"{name} has shape {a.shape}, not {b.shape}")
            continue
        squares = numpy.sum((a - b) ** 2)
        difference, norm = difference + squares, norm + numpy.sum(b**2)
        worst = max(worst, (float(numpy.sqrt(squares) / (numpy.linalg.norm(b) or 1)), name))
    return float(numpy.sqrt(difference / norm)) if norm else float("inf"), worst


def compare(case, output):
    with open(os.path.join(case, "expected/trajectory.json")) as file:
        reference = json.load(file)["steps"]
    ours, problems = read_metrics(output), []
    steps = [(step, ours.get(step["step"])) for step in reference]
    absent = [step["step"] for step, our in steps if our is None]
    if absent:
        problems.append(f"metrics.jsonl lacks steps {absent}")
    more = sorted(set(ours) - {step["step"] for step in reference})
    if more:
        problems.append(f"metrics.jsonl has steps {more}, which the reference lacks")
    name = "adapter_model.safetensors"
    adapter, worst = compare_adapters(
        os.path.join(case, "adapter_final", name), os.path.join(output, name), problems
    )
    comparison = Comparison(steps, adapter, worst, problems)
    for value, bound, what in (
        (comparison.loss, LOSS_BOUND, "losses differ"),
        (comparison.rate, RATE_BOUND, "learning rates differ"),
        (adapter, ADAPTER_BOUND, "the adapter differs"),
    ):
        if not value <= bound:
            problems.append(f"{what} by {value:.1e}, more than {bound:.0e}")
    auxiliary = [(step, our) for step, our in steps if our and "aux_loss" in step]
    for step, our in auxiliary:
        if relative(our.get("aux_loss"), step["aux_loss"]) > LOSS_BOUND:
            problems.append(f"step {step['step']}: aux_loss {our.get('aux_loss')}, not {step['aux_loss']}")
    return comparison


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    comparison = compare(*sys.argv[1:])
    print("step  loss          reference     relative  grad_norm rel.  learning_rate  reference")
    for reference, ours in comparison.steps:
        if ours is None:
            continue
        print(
            f"{reference['step']:4d}  {ours['loss']:<12.8f}  {reference['loss']:<12.8f}"
            f"  {relative(ours['loss'], reference['loss']):.1e}"
            f"   {relative(ours.get('grad_norm'), reference['grad_norm']):.1e}"
            f"         {ours['learning_rate']:<13.7g}  {reference['learning_rate']:<13.7g}"
        )
    print(f"adapter: {comparison.adapter:.1e} of its norm; worst tensor {comparison.worst_tensor[1]}", end=" ")
    print(f"{comparison.worst_tensor[0]:.1e}")
    for problem in comparison.problems:
        print("problem:", problem)
    print("within the bounds" if not comparison.problems else "NOT within the bounds")
    sys.exit(1 if comparison.problems else 0)


if __name__ == "__main__":
    main()
