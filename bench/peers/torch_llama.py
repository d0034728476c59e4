#!/usr/bin/env python3
"""Training step of a Llama or a GPT-2 in plain PyTorch, on the CPU or a GPU: the peer of `trireme bench step`.

All settings compute the same step and differ only in speed; --fastest tries them in short runs and then
runs the fastest one for this shape and this machine. Prints one JSON object.
"""

import argparse
import json
import os
import subprocess
import sys

SHAPE = {"layers": 6, "hidden": 384, "intermediate": 1024, "heads": 6, "kv_heads": 2, "vocab": 256}
BATCH = {
    "seq": (256, "tokens per sequence"),
    "batch": (8, "sequences per micro-batch and rank"),
    "micro_batches": (1, "micro-batches accumulated in a step"),
    "ranks": (1, "data-parallel processes"),
    "tensor": (1, "tensor-parallel processes, instead"),
    "pipeline": (1, "pipeline-parallel processes, instead"),
    "threads": (1, "threads per rank"),
}

ENVIRONMENTS = {
    "plain": {},
    # Keeps freed activations in the process, so that a step does not fault its pages in again.
    "kept_memory": {
        "MALLOC_MMAP_THRESHOLD_": "4294967296",
        "MALLOC_TRIM_THRESHOLD_": "68719476736",
        "MALLOC_TOP_PAD_": "268435456",
    },
    "pinned_threads": {"OMP_PROC_BIND": "close", "OMP_WAIT_POLICY": "active"},
}

COMPUTATIONS = [
    {"compile": False, "attention": "grouped", "projections": "separate"},
    {"compile": True, "attention": "grouped", "projections": "separate"},
    {"compile": True, "attention": "repeated", "projections": "separate"},
    {"compile": True, "attention": "repeated", "projections": "joined"},
]

# On a GPU.
CUDA_COMPUTATIONS = [
    {"compile": True, "attention": heads, "projections": "joined", "kernel": kernel}
    for heads in ("grouped", "repeated")
    for kernel in ("cudnn", "flash")
]

SEARCH_STEPS = 5


def option_name(name):
    return "--" + name.replace("_", "-")


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in SHAPE.items():
        parser.add_argument(option_name(name), type=int, default=default)
    for name, (default, explanation) in BATCH.items():
        parser.add_argument(option_name(name), type=int, default=default, help=explanation)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=False)
    parser.add_argument("--attention", choices=("grouped", "repeated"), default="grouped")
    parser.add_argument("--projections", choices=("separate", "joined"), default="separate")
    parser.add_argument("--kernel", choices=("any", "cudnn", "flash"), default="any", help="of the attention, on a GPU")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--dtype", choices=("fp32", "bf16"), default="fp32", help="of the computation")
    parser.add_argument("--family", choices=("llama", "gpt2"), default="llama")
    parser.add_argument("--tied", action=argparse.BooleanOptionalAction, default=False, help="head and embedding")
    parser.add_argument("--schedule", default="1F1B", help="of the pipeline, as PyTorch names it: 1F1B or GPipe")
    parser.add_argument("--environment", choices=tuple(ENVIRONMENTS), default="plain")
    parser.add_argument("--fastest", action="store_true", help="try all settings, then run the fastest one")
    parser.add_argument("--json", action="store_true", help="accepted as by trireme; the output is JSON in any case")
    return parser.parse_args()


def setting_of(options):
    names = ("compile", "attention", "projections", "kernel", "environment")
    return {name: getattr(options, name) for name in names}


def setting_arguments(setting):
    arguments = ["--compile" if setting["compile"] else "--no-compile"]
    for name in ("attention", "projections", "environment"):
        arguments += [option_name(name), setting[name]]
    return arguments + ["--kernel", setting.get("kernel", "any")]


def command_line(options, setting, steps):
    command = [sys.executable, os.path.abspath(__file__), "--steps", str(steps), "--warmup", str(options.warmup)]
    for name in (*SHAPE, *BATCH):
        command += [option_name(name), str(getattr(options, name))]
    command += ["--schedule", options.schedule, "--tied" if options.tied else "--no-tied"]
    for name in ("device", "dtype", "family"):
        command += [option_name(name), getattr(options, name)]
    return command + setting_arguments(setting)


def rate_in_short_run(options, setting):
    finished = subprocess.run(command_line(options, setting, SEARCH_STEPS), capture_output=True, text=True)
    if finished.returncode != 0:
        # A setting that cannot run here, such as --compile without a C++ compiler, is not the fastest.
        last_lines = finished.stderr.strip().splitlines()[-1:]
        print(f"cannot run {setting}: {last_lines}", file=sys.stderr)
        return 0.0
    rate = json.loads(finished.stdout)["tokens_per_second_best"]
    print(f"{rate:9.1f} tokens/s with {setting}", file=sys.stderr)
    return rate


def fastest_of(options, settings):
    rated = [(rate_in_short_run(options, setting), setting) for setting in settings]
    best_rate, best = max(rated, key=lambda pair: pair[0])
    if best_rate == 0.0:
        sys.exit("no setting can run here")
    return best


def fastest_setting(options):
    """First the fastest way to compute the step, then, on the CPU, the fastest environment for it."""
    if options.device == "cuda":
        return fastest_of(options, [{**computation, "environment": "plain"} for computation in CUDA_COMPUTATIONS])
    best = fastest_of(options, [{**computation, "environment": "plain"} for computation in COMPUTATIONS])
    environments = ["plain", "kept_memory"]
    # Pinning gives every rank the same cores, and means nothing to a single thread.
    if options.threads > 1 and options.ranks * options.tensor * options.pipeline == 1:
        environments.append("pinned_threads")
    return fastest_of(options, [{**best, "environment": name} for name in environments])


def is_prepared(variables):
    return all(os.environ.get(name) == value for name, value in variables.items())


def main():
    options = parse_options()
    if sorted([options.ranks, options.tensor, options.pipeline])[1] > 1:
        sys.exit("only one of --ranks, --tensor and --pipeline can be above 1")
    setting = fastest_setting(options) if options.fastest else setting_of(options)
    variables = {**ENVIRONMENTS[setting["environment"]], "OMP_NUM_THREADS": str(options.threads)}
    if options.fastest or not is_prepared(variables):
        # The allocator and OpenMP read their variables only when a process starts.
        os.environ.update(variables)
        command = command_line(options, setting, options.steps)
        os.execv(command[0], command)
    # Not at the top, because loading PyTorch before the re-execution would be wasted seconds.
    import llama_training

    llama_training.run(options, setting)


if __name__ == "__main__":
    main()
