"""Times a frozen 4-bit linear layer, forward + input gradient, here and by dequantising and multiplying with torch (MKL).

    OMP_NUM_THREADS=1 python benchmarks/peers/nf4_against_torch.py [--library build/cpu/liblora_native_cpu.so] [--seconds 3]

One process, one thread, one weight [2048, 2048] in blocks of 64. Every round times every competitor once, in turn, so that a
machine that is slow for a while is slow for all of them; figures are the smallest and the median of the rounds, in milliseconds
of processor time of the thread. Ratios are medians over rounds of (theirs / ours in the same round). Competitors:

    nf4, nf4dq   this library, without and with double quantisation
    f32          this library, float32 weight
    bf16         this library, bfloat16 weight
    bnb, bnbdq   bitsandbytes' MatMul4Bit, float32 compute: dequantises with its own C++ code, then torch (MKL); when it can be
                 imported (PYTHONPATH)
    torch f32    torch.nn.functional.linear and its gradient on a float32 weight: a floor for everything that dequantises first

Before anything is timed, the answers of all are compared. Needs torch.
"""

import argparse
import ctypes
import datetime
import math
import os
import platform
import statistics
import subprocess
import time

import torch

OUT = IN = 2048
BLOCK = 64
F32, BF16, NF4 = 0, 1, 3
Pointer, Int32, Int64, Float = ctypes.c_void_p, ctypes.c_int32, ctypes.c_int64, ctypes.c_float


def struct(name, text):
    kinds = {"pointer": Pointer, "int32": Int32, "int64": Int64, "float": Float}
    fields = [(field, kinds[kind]) for kind, field in (part.split() for part in text.split(","))]
    return type(name, (ctypes.Structure,), {"_fields_": fields})


Options = struct("Options", "int32 device,int32 threads,int32 simd,int32 reserved,pointer stream")
Quantized = struct(
    "Quantized",
    "pointer codes,pointer absmax,pointer nested_absmax,pointer nested_code,int64 elements,int64 block,int64 nested_block,"
    "float offset,int32 reserved",
)
Forward = struct(
    "Forward",
    "pointer x,pointer lora_x,pointer weight,pointer bias,pointer lora_a,pointer lora_b,pointer u,pointer y,int64 rows,int64 in_,"
    "int64 out,int64 rank,int32 weight_dtype,int32 bias_dtype,float lora_scale,int32 reserved",
)
Backward = struct(
    "Backward",
    "pointer dy,pointer x,pointer lora_x,pointer weight,pointer lora_a,pointer lora_b,pointer u,pointer v,pointer grad_a,"
    "pointer grad_b,pointer dx,pointer dlora_x,int64 rows,int64 in_,int64 out,int64 rank,int32 weight_dtype,int32 accumulate,"
    "float lora_scale,int32 reserved",
)


class Library:
    def __init__(self, path):
        self.native = ctypes.CDLL(path)
        self.native.ln_last_error.restype = ctypes.c_char_p
        self.native.ln_last_error.argtypes = [Pointer]
        self.context = Pointer()
        self.native.ln_context_create(ctypes.byref(Options(-1, 1, 0, 0, None)), ctypes.byref(self.context))
        self.scratch = torch.empty(64 << 20, dtype=torch.uint8)
        address = (self.scratch.data_ptr() + 63) // 64 * 64
        self.check(self.native.ln_context_set_scratch(self.context, Pointer(address), Int64((64 << 20) - 64)))

    def check(self, status):
        if status != 0:
            raise SystemExit(self.native.ln_last_error(self.context).decode())

    def tier(self):
        value = Int64()
        self.check(self.native.ln_query(self.context, 0, ctypes.byref(value)))
        return ["auto", "reference", "generic", "avx2", "avx512", "neon"][value.value]

    def layer(self, weight, dtype, x, dy):
        rows = x.shape[0]
        y, dx = torch.empty(rows, OUT), torch.empty(rows, IN)
        forward = Forward(x=x.data_ptr(), weight=weight, y=y.data_ptr(), rows=rows, in_=IN, out=OUT, weight_dtype=dtype)
        backward = Backward(dy=dy.data_ptr(), weight=weight, dx=dx.data_ptr(), rows=rows, in_=IN, out=OUT, weight_dtype=dtype)

        def run():
            self.check(self.native.ln_linear_fwd(self.context, ctypes.byref(forward)))
            self.check(self.native.ln_linear_bwd(self.context, ctypes.byref(backward)))
            return y, dx

        return run

    def quantise(self, values, nested_code=None):
        """The descriptor and everything it points to; nested_code for double quantisation."""
        codes, absmax = torch.empty(values.numel() // 2, dtype=torch.uint8), torch.empty(values.numel() // BLOCK)
        address = lambda tensor: Pointer(tensor.data_ptr())
        self.check(
            self.native.ln_quantize(
                self.context, address(values), F32, Int64(values.numel()), NF4, Int64(BLOCK), address(codes), address(absmax)
            )
        )
        described = Quantized(codes=codes.data_ptr(), absmax=absmax.data_ptr(), elements=values.numel(), block=BLOCK)
        kept = [codes, absmax]
        if nested_code is not None:
            small = torch.empty(absmax.numel(), dtype=torch.uint8)
            nested, offset = torch.empty((absmax.numel() + 255) // 256), torch.empty(1)
            self.check(
                self.native.ln_quantize_absmax(
                    self.context,
                    address(absmax),
                    Int64(absmax.numel()),
                    Int64(256),
                    address(nested_code),
                    address(small),
                    address(nested),
                    address(offset),
                )
            )
            described.absmax, described.nested_absmax = small.data_ptr(), nested.data_ptr()
            described.nested_code, described.nested_block, described.offset = nested_code.data_ptr(), 256, offset.item()
            kept += [small, nested, nested_code]
        return described, kept


def through_autograd(product, x, dy):
    leaf = x.clone().requires_grad_()

    def run():
        leaf.grad = None
        y = product(leaf)
        y.backward(dy)
        return y.detach(), leaf.grad

    return run


def median(values):
    return statistics.median(values)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", default="build/cpu/liblora_native_cpu.so")
    parser.add_argument("--seconds", type=float, default=3, help="per number of rows")
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 4, 16, 64, 128, 512])
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(1)
    library = Library(options.library)
    try:
        import bitsandbytes
        import bitsandbytes.functional as bnb
    except ImportError:
        bitsandbytes = None

    values = torch.randn(OUT, IN) * 0.02
    if bitsandbytes is not None:
        code = bnb.create_dynamic_map().contiguous()
    else:
        code = torch.linspace(-1, 1, 256)
    plain, kept = library.quantise(values)
    nested, kept_nested = library.quantise(values, code)
    halves = values.bfloat16()

    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    processor = next((l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), platform.processor())
    print(f"{datetime.date.today()}  commit {commit}  {processor}, {os.cpu_count()} processors, tier {library.tier()}")
    print(f"torch {torch.__version__}" + (f", bitsandbytes {bitsandbytes.__version__}" if bitsandbytes else ", no bitsandbytes"))
    print(f"load average {os.getloadavg()[0]:.1f}; weight [{OUT}, {IN}], forward + input gradient, processor ms: smallest (median)")

    for rows in options.rows:
        x, dy = torch.randn(rows, IN), torch.randn(rows, OUT)
        competitors = {
            "nf4": library.layer(ctypes.addressof(plain), NF4, x, dy),
            "nf4dq": library.layer(ctypes.addressof(nested), NF4, x, dy),
            "f32": library.layer(values.data_ptr(), F32, x, dy),
            "bf16": library.layer(halves.data_ptr(), BF16, x, dy),
            "torch f32": through_autograd(lambda a: torch.nn.functional.linear(a, values), x, dy),
        }
        if bitsandbytes is not None:
            for name, double in (("bnb", False), ("bnbdq", True)):
                packed, state = bnb.quantize_4bit(values, blocksize=BLOCK, quant_type="nf4", compress_statistics=double)
                competitors[name] = through_autograd(
                    lambda a, p=packed, s=state: bitsandbytes.matmul_4bit(a, p.t(), quant_state=s), x, dy
                )
        answers = {name: [t.clone() for t in run()] for name, run in competitors.items()}
        for ours, theirs in (("nf4", "bnb"), ("nf4dq", "bnbdq"), ("f32", "torch f32")):
            for a, b in zip(answers[ours], answers.get(theirs, answers[ours])):
                worst = ((a - b).abs().max() / b.abs().max()).item()
                limit = 3e-3 if ours == "nf4dq" else 2e-6 * math.sqrt(IN) / 4  # bitsandbytes rounds some absmax to a neighbour
                assert worst < limit, f"{ours} and {theirs} differ by {worst}"

        times = {name: [] for name in competitors}
        end = time.monotonic() + options.seconds
        while time.monotonic() < end or len(times["nf4"]) < 5:
            for name, run in competitors.items():
                start = time.thread_time_ns()
                run()
                times[name].append((time.thread_time_ns() - start) / 1e6)
        print(f"\nrows {rows}, {len(times['nf4'])} rounds")
        for name, taken in times.items():
            against = " ".join(
                f"{median([t / o for t, o in zip(taken, times[ours])]):6.2f} x {ours}" for ours in ("nf4", "nf4dq") if ours != name
            )
            print(f"  {name:10} {min(taken):9.3f} ({median(taken):9.3f})   {against}")


if __name__ == "__main__":
    main()
