"""Thousands of slider moves and hundreds of saved clips in one process: memory and threads before, meanwhile and after.

    python tests/benchmarks/soak.py                       10,000 moves and 200 clips
    python tests/benchmarks/soak.py --moves 500 --clips 10

The player is that of a notebook, moved from Python: each move draws a picture and packs it as a PNG for the reader.
The first tenth warms up; what grows after that grows for as long as somebody plays. Prints a table, and ends with an
error where memory grew by more than 50 MB after the warm-up, or threads or open files were left behind.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import psutil

import animlab

MOST = 50  # MB
KINDS = "gif", "webp", "apng", "png", "mp4"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--moves", type=int, default=10_000)
    parser.add_argument("--clips", type=int, default=200)
    parser.add_argument("--model", default="pretrained/actions")
    args = parser.parse_args()
    model = animlab.load(args.model)
    player, rng, rows = animlab.LabelPlayer(model), np.random.default_rng(0), []

    def note(what: str) -> None:
        process = psutil.Process()
        rows.append((what, process.memory_info().rss >> 20, process.num_threads(), process.num_fds()))
        print(f"{what:28}{rows[-1][1]:>6} MB {rows[-1][2]:>4} threads {rows[-1][3]:>4} open files", flush=True)

    def move(count: int) -> None:
        for _ in range(count):
            player.c[rng.integers(len(player.c))].value = float(rng.random())

    def save(count: int, folder: Path) -> None:
        for i in range(count):
            clip = model.animate(d=int(rng.integers(model.space.n_d)), along=i % model.space.n_c, frames=16, seed=i)
            animlab.save_animation(clip, folder / f"{i}.{KINDS[i % len(KINDS)]}")

    with tempfile.TemporaryDirectory() as folder:
        note("before")
        move(args.moves // 10)
        save(args.clips // 10, Path(folder))
        note("warm")
        for part in range(1, 4):
            move(args.moves * 3 // 10)
            note(f"after {args.moves // 10 + part * (args.moves * 3 // 10):,} moves")
        for part in range(1, 4):
            save(args.clips * 3 // 10, Path(folder))
            note(f"after {args.clips // 10 + part * (args.clips * 3 // 10)} clips")
    (_, warm, threads, files), last = rows[1], rows[-1]
    if last[1] - warm > MOST or last[2] > threads or last[3] > files:
        sys.exit(f"It grew: {last[1] - warm} MB, {last[2] - threads} threads, {last[3] - files} open files since warm.")


if __name__ == "__main__":
    main()
