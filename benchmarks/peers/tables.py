"""Result files: JSON, the same as a Markdown table, and for a sweep plots as SVG."""

import json
import os

import plot

MIB = 1 << 20


def write(results, folder):
    os.makedirs(folder, exist_ok=True)
    stem = os.path.join(folder, f"{results['kind']}-{results['date']}")
    paths = [stem + ".json", stem + ".md"]
    with open(paths[0], "w") as file:
        json.dump(results, file, indent=1)
        file.write("\n")
    pictures = plots(results, stem) if results["kind"].endswith("sweep") else []
    with open(paths[1], "w") as file:
        file.write(markdown(results, [os.path.basename(path) for path in pictures]))
    return paths + pictures


def markdown(results, pictures):
    sweep = results["kind"].endswith("sweep")
    settings, torch = results["settings"], results["rows"][0]["peft_settings"]
    lines = [
        f"# lora-native and transformers + PEFT{' over sequence length' if sweep else ''}, {results['date']}",
        "",
        f"Made by `benchmarks/peers/run{' --sweep' if sweep else ''}`; how and what it means is in"
        " [docs/benchmarks.md](../../docs/benchmarks.md).",
        "",
        f"- lora-native at commit {results['commit']}",
        f"- torch {torch['torch']}, transformers {torch['transformers']}, peft {torch['peft']}, Python {results['python']}",
        f"- torch was allowed: {torch['threads']} threads, {torch['cpu_capability']}, oneDNN {on(torch['onednn'])},"
        f" MKL {on(torch['mkl'])}{bitsandbytes(results)}; attention {torch['attention']}, experts {experts(results)}; not compiled",
        f"- {results['processor']}, {results['processors']} processors, {results['system']}",
        f"- both: {where(settings, torch)}, LoRA of rank {settings['rank']}, AdamW, clipping at"
        f" 1, recomputation {on(settings['recompute'])}; {settings['rounds']} rounds in turns of {settings['steps']} steps",
        "",
        "| model | weights | targets | tokens | lora-native | PEFT | times as fast | memory | PEFT | share | first step | PEFT | losses differ by |",
        "|---|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for row in results["rows"]:
        ours, theirs = row["lora_native"], row["peft"]
        lines.append(
            f"| {row['model']} | {row['weights']} | {row['targets']} | {row['batch_size']} x {row['sequence_length']}"
            f" | {ours['tokens_per_second']:,.0f} tokens/s | {theirs['tokens_per_second']:,.0f} tokens/s"
            f" | **{row['speed_ratio']:.2f}**"
            f" | {ours['peak_bytes'] / MIB:,.0f} MiB | {theirs['peak_bytes'] / MIB:,.0f} MiB | {row['memory_ratio']:.2f}"
            f" | {ours['first_step_seconds']:.1f} s | {theirs['first_step_seconds']:.1f} s"
            f" | {row['largest_relative_loss_difference']:.1e} |"
        )
    lines.append("")
    for picture in pictures:
        lines += [f"![{picture.removesuffix('.svg')}]({picture})", ""]
    return "\n".join(lines)


def where(settings, torch):
    if settings["device"] == "cpu":
        return f"{settings['threads']} threads, float32 arithmetic"
    return f"{torch['device']}, products in bfloat16, memory of the GPU"


def experts(results):
    chosen = {row["peft_settings"]["experts"] for row in results["rows"] if row["model"].startswith("moe")}
    return ", ".join(sorted(str(name) for name in chosen)) or "none"


def bitsandbytes(results):
    """Who holds 4-bit weights on PEFT's side, where there are such rows."""
    return "".join(sorted({f"; {row['peft_settings']['weights']}" for row in results["rows"] if row["weights"] == "nf4"}))


def on(flag):
    return "on" if flag else "off"


def plots(results, stem):
    models = list(dict.fromkeys(row["model"] for row in results["rows"]))
    quantities = (
        ("speed", "tokens/s", lambda side: side["tokens_per_second"]),
        ("memory", "peak resident MiB", lambda side: side["peak_bytes"] / MIB),
    )
    paths = []
    for name, unit, value in quantities:
        curves = []
        for model in models:
            rows = [row for row in results["rows"] if row["model"] == model]
            for engine, key in (("lora-native", "lora_native"), ("PEFT", "peft")):
                points = [(row["sequence_length"], value(row[key])) for row in rows]
                curves.append((f"{model}, {engine}", key == "peft", points))
        path = f"{stem}-{name}.svg"
        with open(path, "w") as file:
            file.write(plot.svg(f"{unit} over sequence length, one sequence a step", curves))
        paths.append(path)
    return paths
