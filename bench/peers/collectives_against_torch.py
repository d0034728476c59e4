#!/usr/bin/env python3
"""Compares what ranks tell each other in trireme with torch.distributed: gloo between CPU ranks, NCCL between GPUs.

The two programs run in turn, with buffers of the same sizes on as many ranks of this machine. Both start all operations
of a round and wait at its end; the median over the rounds counts, a round's time being that of the slowest rank. A ratio
above 1 means that trireme is faster.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

import torch_ranks

PROJECT = pathlib.Path(__file__).resolve().parent.parent.parent
ROUNDS = 5
MOST_REPEATS = 1000


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="on cuda, a GPU for every rank")
    parser.add_argument("--sizes", default="4,64,1024,16384,65536", help="KiB, by commas")
    parser.add_argument("--seconds", type=float, default=0.2, help="to spend on each size")
    parser.add_argument("--pairs", type=int, default=3, help="of runs, one after the other")
    parser.add_argument("--trireme", default=str(PROJECT / "build/cpu/bin/trireme"))
    parser.add_argument("--with-ranks", default=str(PROJECT / "tests/with_ranks"), help="starts trireme on N ranks")
    parser.add_argument("--json", type=pathlib.Path, help="where to store the results")
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


def operations(dist, rank, ranks):
    """By trireme's name: what takes a buffer, another one of its size, and this rank's part of the first.

    They return what has to be waited for.
    """

    def exchange(first, second, _):
        sends = dist.P2POp(dist.isend, first, (rank + 1) % ranks)
        receives = dist.P2POp(dist.irecv, second, (rank - 1) % ranks)
        return dist.batch_isend_irecv([sends, receives])

    return {
        "all_reduce": lambda first, second, part: [dist.all_reduce(first, async_op=True)],
        "reduce_scatter": lambda first, second, part: [dist.reduce_scatter_tensor(part, first, async_op=True)],
        "all_gather": lambda first, second, part: [dist.all_gather_into_tensor(first, part, async_op=True)],
        "all_to_all": lambda first, second, part: [dist.all_to_all_single(second, first, async_op=True)],
        "broadcast": lambda first, second, part: [dist.broadcast(first, 0, async_op=True)],
        "exchange": exchange,
    }


def time_operation(torch, dist, options, run, size):
    """Seconds of one of them on the slowest rank."""
    device = torch.device(options.device, options.worker if options.device == "cuda" else None)
    ranks = options.ranks
    numbers = -(-size // (4 * ranks)) * ranks
    first, second = torch.zeros(numbers, device=device), torch.zeros(numbers, device=device)
    part = torch.zeros(numbers // ranks, device=device)

    def slowest(repeats):
        dist.barrier()
        start = time.perf_counter()
        for request in [request for _ in range(repeats) for request in run(first, second, part)]:
            request.wait()
        if options.device == "cuda":
            torch.cuda.synchronize()
        elapsed = torch.tensor([(time.perf_counter() - start) / repeats], device=device)
        dist.all_reduce(elapsed, dist.ReduceOp.MAX)
        return elapsed.item()

    slowest(1)
    wanted = options.seconds / (ROUNDS * max(slowest(1), 1e-6))
    repeats = int(min(max(wanted, 1), MOST_REPEATS))
    return statistics.median(slowest(repeats) for _ in range(ROUNDS))


def sizes_of(options):
    return [int(float(text) * 1024) for text in options.sizes.split(",")]


def work(options):
    """One rank of PyTorch."""
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(options.port))
    backend = "nccl" if options.device == "cuda" else "gloo"
    if options.device == "cuda":
        torch.cuda.set_device(options.worker)
    dist.init_process_group(backend, rank=options.worker, world_size=options.ranks)
    for name, run in operations(dist, options.worker, options.ranks).items():
        for size in sizes_of(options):
            seconds = time_operation(torch, dist, options, run, size)
            if options.worker == 0:
                print(json.dumps({"operation": name, "bytes": size, "seconds": seconds}), flush=True)
    dist.destroy_process_group()


def run_torch(options):
    rows = torch_ranks.rows_of_first_rank(__file__, options.ranks)
    return {(row["operation"], row["bytes"]): row["seconds"] for row in rows}


def run_trireme(options):
    finished = subprocess.run(
        [options.with_ranks, str(options.ranks), options.trireme, "bench", "collectives", "--json", "--device",
         options.device, "--dtype", "fp32", "--threads", "1", "--sizes", options.sizes, "--seconds",
         str(options.seconds)],
        capture_output=True, text=True)
    if finished.returncode != 0:
        sys.exit(f"trireme failed:\n{finished.stderr}")
    rows = json.loads(finished.stdout)["operations"]
    # Sizes are rounded up to whole parts: in order, they are those that were asked for.
    sizes = sizes_of(options)
    return {(row["operation"], sizes[i % len(sizes)]): row["seconds"] for i, row in enumerate(rows)}


def main():
    options = parse_options()
    if options.worker is not None:
        work(options)
        return
    if options.ranks < 2:
        sys.exit("--ranks: two or more")
    pairs = [(run_trireme(options), run_torch(options)) for _ in range(options.pairs)]
    rows = []
    print(f"{options.ranks} ranks on {options.device}, fp32, {options.pairs} pairs")
    print(f"{'operation':<16} {'KiB':>8} {'trireme, us':>12} {'PyTorch, us':>12} {'ratio':>7}")
    for key in pairs[0][0]:
        ours = statistics.median(trireme[key] for trireme, _ in pairs)
        theirs = statistics.median(torch[key] for _, torch in pairs)
        ratio = statistics.median(torch[key] / trireme[key] for trireme, torch in pairs)
        name, size = key
        rows.append({"operation": name, "bytes": size, "trireme_seconds": ours, "torch_seconds": theirs, "ratio": ratio})
        print(f"{name:<16} {size / 1024:>8g} {ours * 1e6:>12.1f} {theirs * 1e6:>12.1f} {ratio:>7.2f}")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
