"""A class at one machine: what so many kernels with a player take in memory, and how long a move takes when all drag.

    python tests/benchmarks/classroom.py                 # 40 kernels, 20 moves each; wants 18 GB of memory
    python tests/benchmarks/classroom.py --kernels 10

Each is a process of its own that imports animlab, loads the shipped actions and makes a LabelPlayer, as notebook 00
does. First each moves a slider alone, then all do at once, as fast as they can, which no class does for long. Memory is
the proportional set size: pages that processes share are divided among them. Prints a line, and with --json keeps it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil

KERNEL = """
import sys, time
import numpy as np
import torch
torch.set_num_threads(1)
import animlab
player = animlab.LabelPlayer(animlab.load("pretrained/actions"))
print("ready", flush=True)
rng = np.random.default_rng(0)
for line in sys.stdin:
    took = []
    for _ in range(int(line)):
        began = time.perf_counter()
        player.c[rng.integers(len(player.c))].value = float(rng.random())
        took.append(time.perf_counter() - began)
    print(*took, flush=True)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kernels", type=int, default=40)
    parser.add_argument("--moves", type=int, default=20)
    parser.add_argument("--json", type=Path, help="a file to keep the numbers in")
    args = parser.parse_args()
    began, kernels = time.perf_counter(), []
    try:
        for _ in range(args.kernels):
            kernels.append(
                subprocess.Popen(
                    [sys.executable, "-c", KERNEL], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
                )
            )
            assert kernels[-1].stdout.readline() == "ready\n"  # one after another, so that starting takes no memory
        started = time.perf_counter() - began
        alone = [moves([kernel], args.moves) for kernel in kernels[:3]]
        together = moves(kernels, args.moves)
        memory = [psutil.Process(kernel.pid).memory_full_info() for kernel in kernels]
    finally:
        for kernel in kernels:
            kernel.kill()
    row = {
        "made by": "tests/benchmarks/classroom.py",
        "kernels": args.kernels,
        "seconds_to_start_one": round(started / args.kernels, 2),
        "pss_mb": round(sum(each.pss for each in memory) / len(memory) / 1e6),
        "rss_mb": round(sum(each.rss for each in memory) / len(memory) / 1e6),
        "all_gb": round(sum(each.pss for each in memory) / 1e9, 1),
        "ms_alone": quantiles(np.concatenate(alone)),
        "ms_all_at_once": quantiles(together),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
    }
    print(json.dumps(row, ensure_ascii=False))
    if args.json:
        args.json.write_text(json.dumps(row, indent=1, ensure_ascii=False) + "\n")


def moves(kernels: list[subprocess.Popen[str]], count: int) -> np.ndarray:
    """Seconds of each of `count` moves of each kernel, all at once."""
    for kernel in kernels:
        kernel.stdin.write(f"{count}\n")
        kernel.stdin.flush()
    return np.array([float(each) for kernel in kernels for each in kernel.stdout.readline().split()])


def quantiles(seconds: np.ndarray) -> dict[str, float]:
    return {
        "median": round(1000 * float(np.median(seconds)), 1),
        "p95": round(1000 * float(np.quantile(seconds, 0.95)), 1),
    }


if __name__ == "__main__":
    main()
