"""Times of torch on a GPU for the products that lora_native_cuda_speeds times: bfloat16, and dequantise-then-multiply.

Prints one line per case, in the words of that program. Needs torch with CUDA.
    torch_products.py [--quick]     --quick: one repetition of each, to see that everything runs
"""

import sys

import torch

REPETITIONS = 1 if sys.argv[1:] == ["--quick"] else 30


def seconds(run, repetitions=REPETITIONS):
    times = []
    for i in range(repetitions + repetitions // 5):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        run()
        end.record()
        end.synchronize()
        if i >= repetitions // 5:
            times.append(start.elapsed_time(end) * 1e-3)
    return sorted(times)[len(times) // 2]


def report(name, time, flops):
    print(f"{name:<52} {time * 1e6:10.1f} us  {flops / time * 1e-12:8.1f} TFLOP/s", flush=True)


def main():
    device = torch.device("cuda:0")
    print(f"torch {torch.__version__}, CUDA {torch.version.cuda}, {torch.cuda.get_device_name(device)}")
    n, k = 4096, 2048
    table = torch.linspace(-1, 1, 16, device=device)
    codes = torch.randint(0, 16, (n, k), device=device, dtype=torch.uint8)
    absmax = torch.rand(n, k // 64, 1, device=device)
    for m in (1, 16, 512, 4096):
        a = torch.randn(m, k, device=device, dtype=torch.bfloat16)
        b = torch.randn(n, k, device=device, dtype=torch.bfloat16)
        report(f"bf16 product torch {m}x{n}x{k}", seconds(lambda: a @ b.T), 2.0 * m * n * k)

        def dequantise_and_multiply():
            weight = (table[codes.long()].view(n, k // 64, 64) * absmax).view(n, k).to(torch.bfloat16)
            return a @ weight.T

        report(f"4-bit torch, dequantise then multiply, {m} rows", seconds(dequantise_and_multiply), 2.0 * m * n * k)


if __name__ == "__main__":
    main()
