#!/usr/bin/env python3
"""Compares trireme's causal attention with that of PyTorch, whose fastest kernel counts, at the same shapes.

The shapes are those of `trireme bench kernels --only attention`, which runs first and last; PyTorch runs between. A ratio
above 1 means that trireme is faster.
"""

import argparse
import json
import pathlib
import re
import statistics
import subprocess

import torch
from torch.nn import attention, functional

PROJECT = pathlib.Path(__file__).resolve().parent.parent.parent
SHAPE = re.compile(r"(\d+) tokens, sequence (\d+), (\d+)/(\d+) heads of (\d+)")
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
KERNELS = {
    "cuda": {"cudnn": attention.SDPBackend.CUDNN_ATTENTION, "flash": attention.SDPBackend.FLASH_ATTENTION},
    "cpu": {"flash": attention.SDPBackend.FLASH_ATTENTION},
}


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=tuple(KERNELS), default="cuda")
    parser.add_argument("--dtype", choices=tuple(DTYPES), default="bf16")
    parser.add_argument("--seconds", type=float, default=0.3, help="to spend on each operation")
    parser.add_argument("--trireme", default=str(PROJECT / "build/cuda/bin/trireme"))
    parser.add_argument("--json", type=pathlib.Path, help="where to store the results")
    return parser.parse_args()


def trireme_times(options):
    command = [options.trireme, "bench", "kernels", "--device", options.device, "--dtype", options.dtype]
    command += ["--only", "attention", "--seconds", str(options.seconds), "--json"]
    if options.device == "cpu":
        command += ["--threads", str(torch.get_num_threads())]
    found = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout)
    return {(row["name"], row["shape"]): row["seconds"] for row in found["kernels"]}


class Clock:
    """Seconds of work on the device, by its own clock where it has one."""

    def __init__(self, device):
        self.is_cuda = device == "cuda"

    def time(self, work, runs):
        if not self.is_cuda:
            import time

            start = time.perf_counter()
            for _ in range(runs):
                work()
            return (time.perf_counter() - start) / runs
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        for _ in range(runs):
            work()
        end.record()
        end.synchronize()
        return start.elapsed_time(end) / 1e3 / runs

    def median(self, work, seconds):
        self.time(work, 2)
        runs = max(1, min(1000, int(2e-3 / self.time(work, 1))))
        times = []
        while len(times) < 3 or sum(times) * runs < seconds:
            times.append(self.time(work, runs))
        return statistics.median(times)


def torch_times(options, shape):
    """Forward and backward, of the fastest kernel for each; nothing where none takes the shape."""
    tokens, sequence, heads, kv_heads, dim = map(int, SHAPE.match(shape).groups())
    clock = Clock(options.device)

    def operand(count):
        return torch.randn(tokens // sequence, count, sequence, dim, device=options.device, dtype=DTYPES[options.dtype],
                           requires_grad=True)

    best = {}
    for name, kernel in KERNELS[options.device].items():
        query, key, value = operand(heads), operand(kv_heads), operand(kv_heads)
        gradient = torch.randn_like(query)
        with attention.sdpa_kernel(kernel):

            def forward():
                return functional.scaled_dot_product_attention(query, key, value, is_causal=True,
                                                               enable_gqa=heads != kv_heads)

            try:
                out = forward()
                times = {
                    "attention": clock.median(forward, options.seconds),
                    "attention backward": clock.median(
                        lambda: torch.autograd.grad(out, (query, key, value), gradient, retain_graph=True),
                        options.seconds),
                }
            except RuntimeError as error:
                print(f"{name} does not take {shape}: {str(error).splitlines()[0]}")
                continue
        for operation, seconds in times.items():
            best[operation] = min(best.get(operation, (seconds, name)), (seconds, name))
    return best


def main():
    options = parse_options()
    before = trireme_times(options)
    torchs = {shape: torch_times(options, shape) for shape in dict.fromkeys(shape for _, shape in before)}
    after = trireme_times(options)
    results = []
    print(f"{'operation':<20} {'shape':<52} {'trireme':>10} {'PyTorch':>10} {'ratio':>7}")
    for (operation, shape), seconds in before.items():
        if operation not in torchs[shape]:
            continue
        trireme = statistics.mean([seconds, after[operation, shape]])
        peer, kernel = torchs[shape][operation]
        results.append({"operation": operation, "shape": shape, "trireme_seconds": trireme, "torch_seconds": peer,
                        "kernel": kernel, "ratio": peer / trireme})
        print(f"{operation:<20} {shape:<52} {trireme * 1e3:>7.3f} ms {peer * 1e3:>7.3f} ms {peer / trireme:>7.3f}  {kernel}")
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
