#!/usr/bin/env python3
"""Compares pipeline schedules of trireme with those of torch.distributed.pipelining, on stages that sleep.

Both programs run the same stages (F, B and W of given times, messages of a given size) on ranks of this machine, trireme
over MPI and PyTorch over gloo, one after the other. A ratio above 1 means that trireme's step is shorter.
"""

import argparse
import ctypes
import json
import os
import pathlib
import subprocess
import time

import torch_ranks

PROJECT = pathlib.Path(__file__).resolve().parent.parent.parent

# PyTorch's name, trireme's, stages per rank.
SCHEDULES = [
    ("ScheduleGPipe", "gpipe", 1),
    ("Schedule1F1B", "1f1b", 1),
    ("ScheduleLoopedBFS", "looped-bfs", 2),
    ("ScheduleInterleaved1F1B", "interleaved", 2),
    ("ScheduleInterleavedZeroBubble", "interleaved-zb", 2),
    ("ScheduleZBVZeroBubble", "zb-v", 2),
    ("ScheduleDualPipeV", "dualpipe-v", 2),
]


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", type=int, default=8)
    parser.add_argument("--micro-batches", type=int, default=24)
    parser.add_argument("--times", default="20,20,20", help="F,B,W of a rank's whole share, in milliseconds")
    parser.add_argument("--message-mb", type=float, default=1)
    parser.add_argument("--steps", type=int, default=3, help="measured, of which the fastest counts")
    parser.add_argument("--trireme", default=str(PROJECT / "build/cpu/bin/trireme"))
    parser.add_argument("--with-ranks", default=str(PROJECT / "tests/with_ranks"), help="starts trireme on N ranks")
    parser.add_argument("--json", action="store_true", help="the result as JSON")
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


def stage_indices(rank, ranks, torch_name):
    """The stages of a rank: one, a loop of two, or both ends of a V."""
    if torch_name in ("ScheduleGPipe", "Schedule1F1B"):
        return [rank]
    if torch_name in ("ScheduleZBVZeroBubble", "ScheduleDualPipeV"):
        return [rank, 2 * ranks - 1 - rank]
    return [rank, rank + ranks]


class Pause:
    """Sleeps as long on average as trireme's stages do: by what a sleep ended late, the next one is shorter."""

    LIGHT_SLEEP = 3e-4  # seconds
    PR_SET_TIMERSLACK = 29

    def __init__(self):
        ctypes.CDLL(None).prctl(self.PR_SET_TIMERSLACK, 1, 0, 0, 0)
        self.late = 0.0

    def __call__(self, seconds):
        end = time.monotonic() + seconds - self.late
        for early in (self.LIGHT_SLEEP, 0.0):
            time.sleep(max(0.0, end - early - time.monotonic()))
        self.late = time.monotonic() - end


pause = Pause()


def make_stage_class(torch, forward_seconds, backward_seconds):
    class Sleep(torch.autograd.Function):
        @staticmethod
        def forward(context, x, parameter):
            pause(forward_seconds)
            return x.clone()

        @staticmethod
        def backward(context, gradient):
            pause(backward_seconds)
            return gradient, torch.zeros(1)

    class Stage(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.parameter = torch.nn.Parameter(torch.zeros(1))

        def forward(self, x):
            return Sleep.apply(x, self.parameter)

    return Stage


def time_schedule(options, torch_name, virtual_stages):
    """Seconds of the fastest step on this rank, as the slowest rank sees it."""
    import torch
    import torch.distributed as dist
    from torch.distributed import pipelining

    forward, backward, weight = (float(part) * 1e-3 / virtual_stages for part in options.times.split(","))
    rank, ranks = dist.get_rank(), dist.get_world_size()
    numbers = int(options.message_mb * 2**20 / 4)
    stage_class = make_stage_class(torch, forward, backward)
    # What runs a weight gradient later: after the gradient of the input, or when the schedule says.
    weight_pass = lambda: lambda: pause(weight)
    stages = [
        pipelining.PipelineStage(
            stage_class(), index, ranks * virtual_stages, torch.device("cpu"), dw_builder=weight_pass)
        for index in stage_indices(rank, ranks, torch_name)
    ]
    make = getattr(pipelining, torch_name)
    schedule = make(stages[0] if virtual_stages == 1 else stages, options.micro_batches,
                    loss_fn=lambda output, target: output.mean())
    last_rank = 0 if torch_name in ("ScheduleZBVZeroBubble", "ScheduleDualPipeV") else ranks - 1
    batch = torch.zeros(options.micro_batches, numbers)
    seconds = []
    for _ in range(options.steps + 1):
        dist.barrier()
        start = time.monotonic()
        arguments = (batch,) if rank == 0 else ()
        targets = {"target": torch.zeros(options.micro_batches, 1)} if rank == last_rank else {}
        schedule.step(*arguments, **targets, return_outputs=False)
        elapsed = torch.tensor([time.monotonic() - start])
        dist.all_reduce(elapsed, dist.ReduceOp.MAX)
        seconds.append(elapsed.item())
    return min(seconds[1:])


def work(options):
    """One rank of PyTorch."""
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(options.port))
    dist.init_process_group("gloo", rank=options.worker, world_size=options.ranks)
    for torch_name, _, virtual_stages in SCHEDULES:
        seconds = time_schedule(options, torch_name, virtual_stages)
        if options.worker == 0:
            print(json.dumps({"name": torch_name, "seconds": seconds}), flush=True)
    dist.destroy_process_group()


def run_torch(options):
    rows = torch_ranks.rows_of_first_rank(__file__, options.ranks)
    return {row["name"]: row["seconds"] for row in rows}


def run_trireme(options):
    kinds = ",".join(["auto"] + [kind for _, kind, _ in SCHEDULES])
    output = subprocess.run(
        [options.with_ranks, str(options.ranks), options.trireme, "bench", "pipeline", "--json", "--kinds", kinds,
         "--times", options.times, "--micro-batches", str(options.micro_batches), "--message-mb",
         str(options.message_mb), "--steps", str(options.steps)],
        check=True, capture_output=True, text=True).stdout
    return {row["schedule"]: row for row in json.loads(output)["schedules"]}


def main():
    options = parse_options()
    if options.worker is not None:
        work(options)
        return
    ours, theirs = run_trireme(options), run_torch(options)
    rows = [
        {"schedule": kind, "trireme_seconds": ours[kind]["measured_seconds"], "torch": torch_name,
         "torch_seconds": theirs[torch_name], "ratio": theirs[torch_name] / ours[kind]["measured_seconds"]}
        for torch_name, kind, _ in SCHEDULES
    ]
    best = min(theirs.values())
    automatic = ours["auto"]["measured_seconds"]
    rows.append({"schedule": "auto", "trireme_seconds": automatic, "torch": "the fastest of these",
                 "torch_seconds": best, "ratio": best / automatic})
    if options.json:
        print(json.dumps(rows))
        return
    print(f"{'schedule':<16} {'trireme':>10} {'PyTorch':>10} {'ratio':>7}")
    for row in rows:
        print(f"{row['schedule']:<16} {row['trireme_seconds'] * 1e3:>7.1f} ms {row['torch_seconds'] * 1e3:>7.1f} ms "
              f"{row['ratio']:>7.3f}  {row['torch']}")


if __name__ == "__main__":
    main()
