#!/usr/bin/env python3
"""Compares the training step of trireme with that of PyTorch in its fastest setting, run by run in turn.

The two programs alternate, so that a slow minute of the machine hits both; the ratio is the median over the
pairs. Both fractions of the FMA peak rest on trireme's count of operations and its measured peak.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys

import torch_llama

PEERS = pathlib.Path(__file__).resolve().parent
PROJECT = PEERS.parent.parent
HEAD_DIM = 64

# trireme's presets in PyTorch's arguments, with sequences, and sequences of a pass, that fit 80 GB.
LLAMA3 = {"kv_heads": 8, "vocab": 128256, "seq": 8192, "batch": 1}
GPT2 = {"family": "gpt2", "vocab": 50257, "seq": 1024}
PRESETS = {
    "gpt2-124m": {**GPT2, "layers": 12, "hidden": 768, "intermediate": 3072, "heads": 12, "batch": 32},
    "gpt2-1.5b": {**GPT2, "layers": 48, "hidden": 1600, "intermediate": 6400, "heads": 25, "batch": 8},
    "llama3-1b": {**LLAMA3, "tied": True, "layers": 16, "hidden": 2048, "intermediate": 8192, "heads": 32},
    "llama3-3b": {**LLAMA3, "tied": True, "layers": 28, "hidden": 3072, "intermediate": 8192, "heads": 24},
    "llama3-8b": {**LLAMA3, "layers": 8, "hidden": 4096, "intermediate": 14336, "heads": 32},
}
INTERMEDIATE_MULTIPLE = 64

# How two ranks share the model: PyTorch's arguments and trireme's.
LAYOUTS = {
    "one": ([], []),
    "tensor": (["--tensor", "2"], ["--tp", "2"]),
    "pipeline": (["--pipeline", "2"], ["--pp", "2"]),
    "data": (["--ranks", "2"], []),
}

COLUMNS = [
    ("model", "{}"),
    ("layout", "{}"),
    ("threads", "{:d}"),
    ("trireme_tokens_per_second", "{:.0f}"),
    ("torch_tokens_per_second", "{:.0f}"),
    ("ratio", "{:.3f}"),
    ("trireme_fraction_of_peak", "{:.3f}"),
    ("torch_fraction_of_peak", "{:.3f}"),
    ("memory_ratio", "{}"),
]


def whole_numbers(text):
    return [int(part) for part in text.split(",")]


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hidden", type=whole_numbers, default=[256, 384, 512, 768], help="sizes, by commas")
    parser.add_argument("--presets", type=lambda text: text.split(","),
                        help="these instead of --hidden, by commas: " + ", ".join(PRESETS))
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--dtype", choices=("fp32", "bf16"), help="default: bf16 on cuda, fp32 on cpu")
    parser.add_argument("--threads", type=whole_numbers, default=[1, 2], help="thread counts, by commas")
    parser.add_argument("--layers", type=int, default=None, help="default: 6, or the preset's")
    parser.add_argument("--kv-heads", type=int, default=2)
    parser.add_argument("--vocab", type=int, default=256)
    parser.add_argument("--seq", type=int, default=None, help="default: 256, or the preset's")
    parser.add_argument("--batch", type=int, default=None, help="default: 8, or the preset's")
    parser.add_argument("--micro-batches", type=int, default=1)
    parser.add_argument("--layouts", type=lambda text: text.split(","), default=["one"],
                        help="one, or tensor, pipeline, data: of two ranks; several by commas")
    parser.add_argument("--schedule", default="1f1b", help="of trireme's pipeline; PyTorch's is 1F1B")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--trireme", default=str(PROJECT / "build/cpu/bin/trireme"))
    parser.add_argument("--with-ranks", default=str(PROJECT / "tests/with_ranks"), help="starts trireme on N ranks")
    parser.add_argument("--python", default=sys.executable, help="the Python that has PyTorch")
    parser.add_argument("--setting", type=json.loads, help="PyTorch's setting as JSON, instead of a search for the fastest")
    parser.add_argument("--json", type=pathlib.Path, help="where to store the results")
    return parser.parse_args()


def intermediate_size(hidden):
    """8/3 of the hidden size, rounded up to whole blocks."""
    blocks = -(-8 * hidden // (3 * INTERMEDIATE_MULTIPLE))
    return blocks * INTERMEDIATE_MULTIPLE


def shape_of_hidden(options, hidden):
    return {
        "layers": 6,
        "hidden": hidden,
        "intermediate": intermediate_size(hidden),
        "heads": hidden // HEAD_DIM,
        "kv_heads": options.kv_heads,
        "vocab": options.vocab,
        "seq": 256,
        "batch": 8,
    }


def models_of(options):
    """By name: PyTorch's shape, and what trireme calls it, if not the same."""
    if not options.presets:
        return {f"hidden {hidden}": (shape_of_hidden(options, hidden), None) for hidden in options.hidden}
    return {name: (PRESETS[name], name) for name in options.presets}


def as_arguments(values):
    return [text for name, value in values.items() for text in ("--" + name.replace("_", "-"), str(value))]


def both_arguments(options, shape, preset, threads):
    """PyTorch's and trireme's."""
    given = {name: getattr(options, name) for name in ("layers", "seq", "batch") if getattr(options, name)}
    shape = {**shape, **given}
    dtype = options.dtype or ("bf16" if options.device == "cuda" else "fp32")
    run = {"micro_batches": options.micro_batches, "threads": threads, "steps": options.steps,
           "warmup": options.warmup, "device": options.device, "dtype": dtype}
    tied = ["--tied"] if shape.get("tied") else []
    torch = as_arguments({**{name: value for name, value in shape.items() if name != "tied"}, **run}) + tied
    if preset is None:
        return torch + ["--json"], as_arguments({**shape, **run}) + ["--json"]
    named = {"preset": preset, "layers": shape["layers"], "seq": shape["seq"], "batch": shape["batch"]}
    return torch + ["--json"], as_arguments({**named, **run}) + ["--json"]


def run_json(command):
    finished = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if finished.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{finished.stderr}")
    return json.loads(finished.stdout)


def run_pairs(options, trireme_command, torch_command):
    pairs = []
    for number in range(1, options.pairs + 1):
        trireme, torch = run_json(trireme_command), run_json(torch_command)
        pairs.append({"trireme": trireme, "torch": torch})
        rates = [run["tokens_per_second"] for run in (trireme, torch)]
        print(f"  pair {number}: trireme {rates[0]:.0f}, torch {rates[1]:.0f} tokens/s", file=sys.stderr)
    return pairs


def memory_ratio(pair):
    """trireme's peak over PyTorch's; PyTorch counts it on a GPU only."""
    torch = pair["torch"]["peak_memory_bytes"]
    return round(pair["trireme"]["peak_memory_bytes"] / torch, 3) if torch else "-"


def summary(pairs):
    trireme = statistics.median(pair["trireme"]["tokens_per_second"] for pair in pairs)
    torch = statistics.median(pair["torch"]["tokens_per_second"] for pair in pairs)
    ratios = [pair["trireme"]["tokens_per_second"] / pair["torch"]["tokens_per_second"] for pair in pairs]
    fraction = statistics.median(pair["trireme"]["fraction_of_peak"] for pair in pairs)
    return {
        "trireme_tokens_per_second": trireme,
        "torch_tokens_per_second": torch,
        "ratio": statistics.median(ratios),
        "trireme_fraction_of_peak": fraction,
        "torch_fraction_of_peak": fraction * torch / trireme,
        "memory_ratio": memory_ratio(pairs[-1]),
    }


def compare(options, layout, model, threads):
    torch_layout, trireme_layout = LAYOUTS[layout]
    shape, preset = models_of(options)[model]
    torch_arguments, trireme_arguments = both_arguments(options, shape, preset, threads)
    peer = [options.python, str(PEERS / "torch_llama.py"), *torch_arguments, *torch_layout]
    print(f"layout {layout}, {model}, {threads} threads", file=sys.stderr)
    setting = options.setting or run_json([*peer, "--fastest"])["setting"]
    print(f"  PyTorch with {setting}", file=sys.stderr)
    start = [] if layout == "one" else [options.with_ranks, "2"]
    schedule = ["--schedule", options.schedule] if layout == "pipeline" else []
    trireme_command = [*start, options.trireme, "bench", "step", *trireme_arguments, *trireme_layout, *schedule]
    pairs = run_pairs(options, trireme_command, [*peer, *torch_llama.setting_arguments(setting)])
    return {"layout": layout, "model": model, "threads": threads, **summary(pairs), "torch_setting": setting,
            "pairs": pairs}


def print_table(results):
    print("  ".join(name for name, _ in COLUMNS))
    for result in results:
        print("  ".join(form.format(result[name]).rjust(len(name)) for name, form in COLUMNS))


def main():
    options = parse_options()
    results = [
        compare(options, layout, model, threads)
        for layout in options.layouts
        for threads in options.threads
        for model in models_of(options)
    ]
    print_table(results)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
