"""Packs golden vectors of bitsandbytes' quantize_4bit for native/tests/quantize_test.cpp.

    python tools/parity/nf4_golden.py FOLDER

FOLDER holds quant4.safetensors and quant4.json as bitsandbytes wrote them. Writes native/tests/data/nf4_golden.bin: per case a
line of text, then the arrays as they are in memory; dequantised values only as a hash. Needs numpy, torch, safetensors.

Left out: cases with NaN or infinity, which ln_quantize refuses. Changed: bitsandbytes stores 1e-38 as the absmax of a short last
block of zeros; the rule of lora_native.h has 0.
"""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

REFUSED = {"nan", "inf"}
TARGET = Path(__file__).resolve().parents[2] / "native/tests/data/nf4_golden.bin"


def fnv1a(data: bytes) -> int:
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value


def raw(tensor: torch.Tensor) -> bytes:
    return bytes(tensor.contiguous().reshape(-1).view(torch.uint8).numpy())


def main() -> None:
    folder = Path(sys.argv[1])
    tensors = load_file(folder / "quant4.safetensors")
    out = bytearray()
    for case in json.loads((folder / "quant4.json").read_text())["cases"]:
        name = case["name"]
        if name in REFUSED:
            continue
        field = lambda suffix: tensors.get(f"{name}.{suffix}")
        absmax = field("absmax").clone()
        nested = case["nested"]
        if name == "all_zero_rem":
            absmax[-1] = 0
            nested = False
        values = field("input")
        hashes = [
            fnv1a(raw(field(suffix))) if field(suffix) is not None and (nested or "dq" not in suffix) else 0
            for suffix in ("deq_fp32", "deq_bf16", "deq_fp16", "dq_deq_fp32", "dq_deq_bf16")
        ]
        dtype = {"fp32": 0, "bf16": 1, "fp16": 2}[case["dtype"]]
        kind = {"nf4": 3, "fp4": 4}[case["quant_type"]]
        header = [name, dtype, values.numel(), kind, case["blocksize"], int(nested)] + [f"{h:016x}" for h in hashes]
        out += (" ".join(map(str, header)) + "\n").encode()
        out += raw(values) + raw(field("packed")) + raw(absmax)
        if nested:
            out += raw(field("dq_absmax_q")) + raw(field("dq_absmax_q_exact"))
            out += raw(field("dq_nested_absmax")) + raw(field("dq_offset"))
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_bytes(out)


if __name__ == "__main__":
    main()
