#!/usr/bin/env python3
"""Compares saving and loading a model with torch.distributed.checkpoint on the same tensors and disk, in turn.

Both save fp32 weights and both AdamW moments of a Llama-style model from one process, asynchronously, and load them
from the disk. Stall is how long the caller waits, save ends when the data is on the disk, memory is the most
that the process has while it saves, above what it had before it saved anything. Medians over the rounds.
"""

import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import time

import torch
import torch.distributed.checkpoint as dcp

PROJECT = pathlib.Path(__file__).resolve().parent.parent.parent


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hidden", type=int, default=768)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=pathlib.Path, default=PROJECT / "build/bench-peer")
    parser.add_argument("--program", default=str(PROJECT / "build/cpu/bin/trireme"))
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def shapes(options):
    hidden, inner = options.hidden, options.hidden * 8 // 3 // 64 * 64
    found = {"model.embed_tokens.weight": (32000, hidden), "model.norm.weight": (hidden,), "lm_head.weight": (32000, hidden)}
    for layer in range(options.layers):
        prefix = f"model.layers.{layer}."
        for name in ("q", "k", "v", "o"):
            found[f"{prefix}self_attn.{name}_proj.weight"] = (hidden, hidden)
        found[prefix + "mlp.gate_proj.weight"] = found[prefix + "mlp.up_proj.weight"] = (inner, hidden)
        found[prefix + "mlp.down_proj.weight"] = (hidden, inner)
        found[prefix + "input_layernorm.weight"] = found[prefix + "post_attention_layernorm.weight"] = (hidden,)
    return found


def memory(key):
    for line in open("/proc/self/status", encoding="ascii"):
        if line.startswith(key):
            return int(line.split()[1]) * 1024
    return 0


def forget(folder):
    os.sync()
    for path in folder.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


class Torch:
    """State as a training script has it, and one asynchronous save after the other."""

    def __init__(self, options):
        torch.manual_seed(1)
        self.folder = options.folder
        self.state = {}
        for name, shape in shapes(options).items():
            for kind in ("", "optimizer.exp_avg.", "optimizer.exp_avg_sq."):
                self.state[kind + name] = torch.randn(shape)
        self.bytes = sum(tensor.numel() * 4 for tensor in self.state.values())
        self.memory_before = 0
        self.save_and_load({"small": torch.zeros(1)})  # imports and threads
        self.memory_before = memory("VmRSS")
        self.round()  # and the system's caches, as in our program

    def round(self):
        return self.save_and_load(self.state)

    def save_and_load(self, state):
        shutil.rmtree(self.folder, ignore_errors=True)
        pathlib.Path("/proc/self/clear_refs").write_text("5")
        start = time.perf_counter()
        # sync_files is on by default: files are synced, as ours are.
        future = dcp.async_save(state, checkpoint_id=str(self.folder))
        stall = time.perf_counter() - start
        future.result()
        save = time.perf_counter() - start
        extra = memory("VmHWM") - self.memory_before
        forget(self.folder)
        start = time.perf_counter()
        dcp.load(state, checkpoint_id=str(self.folder))
        load = time.perf_counter() - start
        shutil.rmtree(self.folder)
        return {"stall": stall, "save": save, "load": load, "memory": extra}


def ours(options):
    command = [options.program, "bench", "checkpoint", "--json", "--rounds", "1", "--hidden", str(options.hidden),
               "--layers", str(options.layers), "--folder", str(options.folder) + "-ours"]
    result = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return {"stall": result["stall_seconds"], "save": result["all_save_seconds"][0], "load": result["all_load_seconds"][0],
            "memory": result["extra_memory_bytes"], "bytes": result["bytes"]}


def main():
    options = parse_options()
    peer = Torch(options)
    theirs, mine = [], []
    for _ in range(options.rounds):
        theirs.append(peer.round())
        mine.append(ours(options))
    rows = {}
    for what in ("stall", "save", "load", "memory"):
        us, them = (statistics.median(one[what] for one in all_rounds) for all_rounds in (mine, theirs))
        rows[what] = {"trireme": us, "torch": them, "ratio": them / us}
    if options.json:
        print(json.dumps({"bytes": {"trireme": mine[0]["bytes"], "torch": peer.bytes}, **rows}))
        return
    print(f"{peer.bytes / 1e9:.2f} GB of tensors (ours with padding {mine[0]['bytes'] / 1e9:.2f}), medians of {options.rounds}")
    for what, row in rows.items():
        unit, scale = ("GB", 1e-9) if what == "memory" else ("s", 1)
        print(f"{what:<7} trireme {row['trireme'] * scale:8.3f} {unit} | torch.distributed.checkpoint {row['torch'] * scale:8.3f} {unit} | ratio {row['ratio']:.2f}")


if __name__ == "__main__":
    main()
