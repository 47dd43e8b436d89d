"""What a user would run instead: LoRA training with transformers + PEFT + torch on the CPU, every step timed.

Starts from an adapter, trains on the samples of DATA in the order of the file, and writes a line per step to METRICS:
step, loss (mean over the step's label tokens, before the update), tokens, step_ms. The last line says what torch was
allowed to use.
"""

import argparse
import json
import os
import time

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("model", "adapter", "data", "metrics"):
        parser.add_argument(name)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--learning-rate", type=float, required=True)
    parser.add_argument("--attention", default="sdpa", help="attn_implementation of transformers")
    parser.add_argument("--experts", help="experts_implementation of transformers; default: its own")
    parser.add_argument("--recompute", action="store_true", help="gradient checkpointing")
    parser.add_argument("--device", default="cpu", help="of torch; on a GPU the base is bfloat16 and adapters float32")
    parser.add_argument("--nf4", action="store_true", help="base in NF4 by bitsandbytes, experts too; head and router stay")
    return parser.parse_args()


def load(options, torch):
    import transformers
    from peft import PeftModel

    choices = {"attn_implementation": options.attention, "dtype": dtype(options, torch)}
    if options.experts:
        choices["experts_implementation"] = options.experts
    if options.nf4:
        choices["quantization_config"] = transformers.BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype(options, torch)
        )
    base = transformers.AutoModelForCausalLM.from_pretrained(options.model, **choices)
    if options.device != "cpu":
        base = base.to(options.device)
    if options.nf4:
        quantize_experts(base)
    model = PeftModel.from_pretrained(base, options.adapter, is_trainable=True)
    if options.recompute:
        model.gradient_checkpointing_enable()
        model.enable_input_require_grads()
    model.train()
    return model


def dtype(options, torch):
    return torch.float32 if options.device == "cpu" else torch.bfloat16


def quantize_experts(base):
    """transformers leaves experts, which share a parameter, in 16 bits; bitsandbytes can hold such a parameter in 4."""
    from bitsandbytes.nn.parametrize import replace_parameter_4bit

    for layer in base.model.layers:
        experts = getattr(layer.mlp, "experts", None)
        for name in ("gate_up_proj", "down_proj") if experts is not None else ():
            replace_parameter_4bit(experts, name, quant_type="nf4", blocksize=64)


def main():
    options = arguments()
    import torch

    torch.set_num_threads(options.threads)
    model = load(options, torch)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=options.learning_rate, weight_decay=0.0)
    rows = [json.loads(line)["input_ids"] for line in open(options.data)]
    with open(options.metrics, "w", buffering=1) as metrics:
        for step in range(options.steps):
            start = step * options.batch % len(rows)
            ids = torch.tensor(rows[start : start + options.batch], device=options.device)
            begin = time.perf_counter()
            loss = model(input_ids=ids, labels=ids).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            optimizer.zero_grad()
            value = loss.item()
            millis = 1e3 * (time.perf_counter() - begin)
            line = dict(step=step + 1, loss=value, tokens=ids.numel(), step_ms=millis)
            metrics.write(json.dumps(line) + "\n")
        metrics.write(json.dumps(dict(settings=settings(options, model, torch, trained))) + "\n")


def weights(options, torch):
    if not options.nf4:
        return str(dtype(options, torch)).removeprefix("torch.")
    import bitsandbytes

    return f"NF4, bitsandbytes {bitsandbytes.__version__}"


def settings(options, model, torch, trained):
    import peft
    import transformers

    config = model.get_base_model().config
    return dict(
        torch=torch.__version__,
        transformers=transformers.__version__,
        peft=peft.__version__,
        threads=torch.get_num_threads(),
        cpu_capability=torch.backends.cpu.get_cpu_capability(),
        onednn=torch.backends.mkldnn.is_available(),
        mkl=torch.backends.mkl.is_available(),
        device=options.device if options.device == "cpu" else torch.cuda.get_device_name(options.device),
        device_peak_bytes=None if options.device == "cpu" else torch.cuda.max_memory_reserved(options.device),
        dtype=str(dtype(options, torch)).removeprefix("torch."),
        weights=weights(options, torch),
        compiled=False,
        attention=config._attn_implementation,
        experts=getattr(config, "_experts_implementation", None),
        recompute=options.recompute,
        trained_parameters=sum(parameter.numel() for parameter in trained),
    )


if __name__ == "__main__":
    main()
