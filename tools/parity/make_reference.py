"""Makes reference training runs with transformers and PEFT: float32, on the CPU, on tiny random models.

usage: make_reference.py OUT cases.json [CASE ...] [--check]

A case is a folder:
  model/                        config.json and weights: the frozen base model
  adapter_init/                 PEFT adapter that the run starts from; its B is not zero, so every gradient counts
  data.jsonl                    {"input_ids": [...], "labels": [...]}, a sequence a line; -100 is ignored
  run.json                      hyper-parameters, by the names of transformers.TrainingArguments and peft.LoraConfig
  expected/logits.safetensors   'logits' [batch, time, vocabulary] of the first micro-batch with adapter_init; rows are
                                padded at the right, what stands beyond a sequence's end means nothing
  expected/grads.safetensors    gradient of the first optimizer step's loss before clipping, by the adapter's names
  expected/trajectory.json      for each step loss, grad_norm, learning_rate (and aux_loss and z_loss, the shares of
                                the routers' losses in loss); each sequence's mean loss, alone in its batch, with adapter_init
                                (before) and adapter_final (after)
  adapter_final/                the adapter after the last step

--check repeats each run in float64 and prints how far float32 was from it: a case is good if that is far below the
bounds it is made for (losses 1e-4, gradients and adapters 1e-3).
"""

import contextlib
import json
import os
import shutil
import sys
import warnings

warnings.filterwarnings("ignore")
import torch
import torch.nn.functional as F
import transformers
from peft import LoraConfig, get_peft_model
from peft.optimizers import create_loraplus_optimizer
from safetensors.torch import save_file

from lora_by_name import LoraByName

transformers.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()
IGNORED = -100


def write_model(case, folder):
    torch.manual_seed(case["seed"])
    config = getattr(transformers, case["config_class"])(**case["config"])
    config._attn_implementation = "eager"
    model = transformers.AutoModelForCausalLM.from_config(config)
    with torch.no_grad():  # livelier than the default, so that softmaxes and routing are not flat
        for weight in model.parameters():
            if weight.ndim == 1:
                weight.add_(torch.randn_like(weight) * 0.1)
            else:
                weight.copy_(torch.randn_like(weight) * case.get("std", 0.08))
    model = model.to(getattr(torch, case.get("checkpoint_dtype", "bfloat16")))
    sharding = {"max_shard_size": case["max_shard_size"]} if "max_shard_size" in case else {}
    model.save_pretrained(folder, **sharding)
    path = os.path.join(folder, "config.json")
    config = json.load(open(path))
    config.update(case.get("config_json", {}))
    for key in case.get("config_json_without", []):
        config.pop(key, None)
    with open(path, "w") as file:
        json.dump(config, file, indent=1)


def make_rows(case, vocabulary):
    random = torch.Generator().manual_seed(case["seed"] + 1)
    rows = []
    for index, length in enumerate(case["lengths"]):
        ids = torch.randint(3, vocabulary, (length,), generator=random).tolist()
        labels = [IGNORED] * (length // 3) + ids[length // 3 :]
        if case.get("labels") == "holes":
            labels = [IGNORED if position % 4 == index % 4 else label for position, label in enumerate(ids)]
        rows.append(dict(input_ids=ids) if case.get("labels") == "absent" else dict(input_ids=ids, labels=labels))
    return rows


def collate(rows):
    longest = max(len(row["input_ids"]) for row in rows)

    def padded(values, filler):
        return torch.tensor([value + [filler] * (longest - len(value)) for value in values])

    ids = [row["input_ids"] for row in rows]
    labels = padded([row.get("labels", row["input_ids"]) for row in rows], IGNORED)
    return dict(input_ids=padded(ids, 0), attention_mask=padded([[1] * len(i) for i in ids], 0)), labels[:, 1:]


def token_losses(logits, targets):
    """Sum of the label tokens' losses; the first token of a sequence is never a target."""
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="sum")


def sequence_losses(model, rows):
    losses = []
    with torch.no_grad():
        for row in rows:
            inputs, targets = collate([row])
            losses.append((token_losses(model(**inputs).logits, targets) / (targets != IGNORED).sum()).item())
    return losses


class RouterMargin:
    """The smallest gap between the last probability chosen and the first one not: near 0 a rounding error reroutes."""

    def __init__(self, model):
        self.smallest, self.mask = float("inf"), None
        for module in model.modules():
            if type(module).__name__.endswith("TopKRouter"):
                module.register_forward_hook(self._look)

    def _look(self, router, _, output):
        if self.mask is None or router.top_k >= output[0].shape[-1]:
            return
        best = output[0].detach().softmax(-1)[self.mask.flatten() == 1].topk(router.top_k + 1).values
        self.smallest = min(self.smallest, (best[:, -2] - best[:, -1]).min().item())


def attach(case, model):
    if case.get("by_name"):
        return LoraByName(model, case["lora"], case["seed"] + 2)
    torch.manual_seed(case["seed"] + 2)
    model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", lora_dropout=0.0, **case["lora"]))
    random = torch.Generator().manual_seed(case["seed"] + 3)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name or "lora_embedding_A" in name:
                weight.copy_(torch.randn(weight.shape, generator=random) * 0.05)
    return model


def adapter_tensors(model, of):
    if isinstance(model, LoraByName):
        return model.tensors(of)
    trainable = [(plain_name(name), weight) for name, weight in model.named_parameters() if weight.requires_grad]
    # As in the adapter's file: there the magnitude of DoRA has no .weight.
    return {
        name.replace(".default", "").replace("magnitude_vector.weight", "magnitude_vector"): of(weight)
        for name, weight in trainable
    }


def plain_name(name):
    """What is trained in full has the name that it has in the checkpoint."""
    return name.replace(".modules_to_save.default", "").replace(".base_layer.bias", ".bias")


def save_adapter(model, folder):
    if isinstance(model, LoraByName):
        model.save(folder)
        return
    model.save_pretrained(folder)
    os.remove(os.path.join(folder, "README.md"))
    path = os.path.join(folder, "adapter_config.json")
    config = json.load(open(path))
    config["base_model_name_or_path"] = "../model"  # not the place where it was made
    if isinstance(config["target_modules"], list):
        config["target_modules"].sort()  # PEFT keeps a set: another order in every process
    if isinstance(config["modules_to_save"], list):
        config["modules_to_save"].sort()
    with open(path, "w") as file:
        json.dump(config, file, indent=1)


def make_optimizer(model, settings):
    """AdamW with the groups of transformers' Trainer, or those of LoRA+ where the case has a ratio."""
    adam = dict(betas=(settings["adam_beta1"], settings["adam_beta2"]), eps=settings["adam_epsilon"])
    rate, decay = settings["learning_rate"], settings["weight_decay"]
    if "loraplus_lr_ratio" in settings:
        ratio = settings["loraplus_lr_ratio"]
        plus = dict(loraplus_lr_ratio=ratio, loraplus_weight_decay=decay)
        if "loraplus_lr_embedding" in settings:
            plus["loraplus_lr_embedding"] = settings["loraplus_lr_embedding"]
        return create_loraplus_optimizer(model, torch.optim.AdamW, lr=rate, **plus, **adam)
    if isinstance(model, LoraByName):
        return torch.optim.AdamW([w for w in model.parameters() if w.requires_grad], rate, weight_decay=decay, **adam)
    trained = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    decayed = set(transformers.Trainer.get_decay_parameter_names(None, model))
    groups = [
        dict(params=[weight for name, weight in trained.items() if name in decayed], weight_decay=decay),
        dict(params=[weight for name, weight in trained.items() if name not in decayed], weight_decay=0.0),
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], rate, **adam)


def windows(rows, batch, accumulation, steps):
    """The micro-batches of each step. As in transformers' Trainer a step's window ends with the epoch."""
    position = 0
    for _ in range(steps):
        window = []
        while position < len(rows) and len(window) < accumulation:
            window.append(collate(rows[position : position + batch]))
            position += batch
        if position >= len(rows):
            position = 0
        yield window


def load_balancing_loss(model, outputs, mask):
    config = model.config
    experts = getattr(config, "num_local_experts", None) or config.num_experts
    loss = transformers.models.qwen3_moe.modeling_qwen3_moe.load_balancing_loss_func
    return loss(outputs.router_logits, experts, config.num_experts_per_tok, mask)


def z_loss(outputs, mask):
    """ST-MoE: the mean of the squared log-sum-exp of the routers' logits, over the tokens of all layers together."""
    squares = [logits.logsumexp(-1)[mask.flatten() == 1] ** 2 for logits in outputs.router_logits]
    return torch.cat(squares).mean()


def train(case, rows, folder, dtype):
    base = transformers.AutoModelForCausalLM.from_pretrained(
        os.path.join(folder, "model"), dtype=torch.float32, attn_implementation="eager", experts_implementation="eager"
    )
    base.train()
    model = attach(case, base).to(dtype)
    settings = case["train"]
    batch, accumulation = settings["per_device_train_batch_size"], settings["gradient_accumulation_steps"]
    if dtype == torch.float32:
        save_adapter(model, os.path.join(folder, "adapter_init"))
    with torch.no_grad():
        logits = model(**collate(rows[:batch])[0]).logits.clone()
    before = sequence_losses(model, rows)
    margin = RouterMargin(base)
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = make_optimizer(model, settings)
    steps = settings["max_steps"]
    warmup = settings["warmup_steps"]
    schedule = transformers.get_scheduler(
        settings["lr_scheduler_type"], optimizer, warmup, steps, settings.get("lr_scheduler_kwargs")
    )
    coefficient, z_coefficient = case.get("router_aux_loss_coef", 0), case.get("router_z_loss_coef", 0)
    router_logits = {"output_router_logits": True} if coefficient or z_coefficient else {}
    trajectory, first_gradients = [], None
    for window in windows(rows, batch, accumulation, steps):
        tokens = sum((targets != IGNORED).sum() for _, targets in window)
        total, total_auxiliary, total_z = 0.0, 0.0, 0.0
        for inputs, targets in window:
            margin.mask = inputs["attention_mask"]
            outputs = model(**inputs, **router_logits)
            loss = token_losses(outputs.logits, targets) / tokens
            if coefficient:
                auxiliary = load_balancing_loss(base, outputs, inputs["attention_mask"])
                auxiliary = coefficient * auxiliary / len(window)
                loss = loss + auxiliary
                total_auxiliary += auxiliary.item()
            if z_coefficient:
                z = z_coefficient * z_loss(outputs, inputs["attention_mask"]) / len(window)
                loss = loss + z
                total_z += z.item()
            loss.backward()
            total += loss.item()
        if first_gradients is None:
            first_gradients = adapter_tensors(model, lambda p: p.grad.clone().contiguous())
        limit = settings["max_grad_norm"]
        norm = torch.nn.utils.clip_grad_norm_(weights, limit if limit > 0 else float("inf")).item()
        rate = optimizer.param_groups[0]["lr"]
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        step = dict(step=len(trajectory) + 1, loss=total, grad_norm=norm, learning_rate=rate)
        step |= dict(aux_loss=total_auxiliary) if coefficient else {}
        trajectory.append(step | (dict(z_loss=total_z) if z_coefficient else {}))
    margin.mask = None
    if dtype == torch.float32:
        save_adapter(model, os.path.join(folder, "adapter_final"))
    return dict(
        logits=logits,
        gradients=first_gradients,
        trajectory=dict(
            steps=trajectory, sequence_loss_before=before, sequence_loss_after=sequence_losses(model, rows)
        ),
        adapter=adapter_tensors(model, lambda p: p.data.clone()),
        margin=margin.smallest,
    )


def make_case(case, out):
    folder = os.path.join(out, case["name"])
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(os.path.join(folder, "expected"))
    write_model(case, os.path.join(folder, "model"))
    rows = make_rows(case, case["config"]["vocab_size"])
    with open(os.path.join(folder, "data.jsonl"), "w") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    result = train(case, rows, folder, torch.float32)
    save_file({"logits": result["logits"].contiguous()}, os.path.join(folder, "expected/logits.safetensors"))
    save_file(result["gradients"], os.path.join(folder, "expected/grads.safetensors"))
    run = {key: case[key] for key in ("name", "about", "lora", "train")}
    coefficient = case.get("router_aux_loss_coef", 0)
    run.update(load_in_4bit=False, router_aux_loss=coefficient > 0, shuffle=False, dtype="float32")
    if coefficient:
        run["router_aux_loss_coef"] = coefficient
    if "router_z_loss_coef" in case:
        run["router_z_loss_coef"] = case["router_z_loss_coef"]
    for name, content in (("expected/trajectory.json", result["trajectory"]), ("run.json", run)):
        with open(os.path.join(folder, name), "w") as file:
            json.dump(content, file, indent=1)
    return folder, rows, result


def distance(found, exact):
    """Norm of the difference over the norm, over all tensors together."""
    difference = sum((found[name].double() - exact[name].double()).norm() ** 2 for name in exact) ** 0.5
    return (difference / sum(exact[name].double().norm() ** 2 for name in exact) ** 0.5).item()


@contextlib.contextmanager
def softmax_in_full():
    """transformers computes softmax in float32 by name; there float64's mask is -inf, and padding in a window NaN."""
    softmax = F.softmax
    F.softmax = lambda values, dim=None, dtype=None: softmax(values, dim=dim)
    try:
        yield
    finally:
        F.softmax = softmax


def check(case, folder, rows, result):
    with softmax_in_full():
        exact = train(case, rows, folder, torch.float64)
    pairs = list(zip(result["trajectory"]["steps"], exact["trajectory"]["steps"]))
    loss = max(abs(a["loss"] / b["loss"] - 1) for a, b in pairs)
    pairs = [(name, gradient) for name, gradient in exact["gradients"].items() if gradient.norm() > 0]
    gradients = max(distance({name: result["gradients"][name]}, {name: gradient}) for name, gradient in pairs)
    adapter = distance(result["adapter"], exact["adapter"])
    print(f"    float64 differs: losses {loss:.1e}, gradients {gradients:.1e}, adapter {adapter:.1e}", flush=True)


def size(folder):
    return sum(os.path.getsize(os.path.join(path, name)) for path, _, names in os.walk(folder) for name in names)


def main():
    torch.set_num_threads(1)
    names = [argument for argument in sys.argv[3:] if argument != "--check"]
    out, spec = sys.argv[1], json.load(open(sys.argv[2]))
    for case in spec["cases"]:
        if names and case["name"] not in names:
            continue
        case["config"] = {**spec["config"], **case["config"]}
        case["train"] = {**spec["train"], **case.get("train", {})}
        folder, rows, result = make_case(case, out)
        steps = result["trajectory"]["steps"]
        print(
            f"{case['name']}: {size(folder) // 1000} kB, loss {steps[0]['loss']:.4f} .. {steps[-1]['loss']:.4f}, "
            f"gradient norm {steps[0]['grad_norm']:.3f}, {len(result['adapter'])} tensors"
            + (f", router margin {result['margin']:.1e}" if result["margin"] < 1 else ""),
            flush=True,
        )
        if "--check" in sys.argv:
            check(case, folder, rows, result)


if __name__ == "__main__":
    main()
