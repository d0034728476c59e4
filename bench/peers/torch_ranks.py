"""Starts a peer's program on several ranks of this machine, as processes that meet at a free port."""

import json
import socket
import subprocess
import sys


def rows_of_first_rank(program, ranks):
    """What rank 0 prints, one JSON object a line; every rank is given --port and, as --worker, its number."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, program, *sys.argv[1:], "--port", str(port)]
    workers = [
        subprocess.Popen([*command, "--worker", str(rank)], text=True,
                         stdout=subprocess.PIPE if rank == 0 else subprocess.DEVNULL)
        for rank in range(ranks)
    ]
    output, _ = workers[0].communicate()
    if any(worker.wait() != 0 for worker in workers):
        sys.exit("a PyTorch rank failed")
    return [json.loads(line) for line in output.splitlines()]
