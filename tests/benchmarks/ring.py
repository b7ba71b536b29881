"""Lesson 01's game on the ring, played from more starting points than a lesson has time for.

    python tests/benchmarks/ring.py --out data/results      # about 5 minutes of one core

Runs the lesson's own cells, those tagged "ring", for 600 steps with six seeds each, and writes ring.json, the table
that the lesson shows: islands covered and share of the points near one, a list over the seeds for each recipe. Two rows
are no games: real points, and points spread evenly along the ring on which the islands lie, which know nothing of
islands.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
from pathlib import Path
from typing import Any

import nbformat
import torch
from discrete_labels import digest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "notebooks" / "01_gan_basics.ipynb"
SEEDS, STEPS = 6, 600


def cells(tag: str, path: Path = NOTEBOOK) -> str:
    """The lesson's cells with this tag, one after the other."""
    found = nbformat.read(path, as_version=4).cells
    return "\n\n".join(cell.source for cell in found if tag in cell.metadata.get("tags", []))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "data" / "results")
    args = parser.parse_args()
    torch.set_num_threads(1)
    lesson: dict[str, Any] = {}
    exec(compile(cells("definitions"), NOTEBOOK.name, "exec"), lesson)
    names = ("real points", "an even ring", *lesson["recipes"])
    rows: dict[str, list[tuple[int, float]]] = {name: [] for name in names}
    for seed in range(SEEDS):
        rows["real points"].append(counted(lesson, lesson["real_points"](2000, torch.Generator().manual_seed(seed))))
        rows["an even ring"].append(counted(lesson, even_ring(seed)))
        for name, recipe in lesson["recipes"].items():
            game = lesson["RingGame"](**recipe, seed=seed)
            for _ in range(STEPS):
                game.step()
            with torch.no_grad():
                rows[name].append(counted(lesson, game.G(lesson["watched_z"])))
            print(seed, name, rows[name][-1], flush=True)
    found = {
        "made by": "tests/benchmarks/ring.py", "cells": digest(cells("ring")), "steps": STEPS, "seeds": SEEDS,
        "machine": f"two CPU cores, {platform.machine()}, torch {torch.__version__.split('+')[0]}, one thread",
        "rows": {name: {"modes": [n for n, _ in row], "share": [s for _, s in row]} for name, row in rows.items()},
    }  # fmt: skip
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "ring.json").write_text(written(found))


def counted(lesson: dict[str, Any], points: torch.Tensor) -> tuple[int, float]:
    """Islands covered by these 2,000 points, and the share of them near one."""
    modes, share = lesson["report"](lesson["count"](points))
    return modes, round(share, 3)


def even_ring(seed: int) -> torch.Tensor:
    """2,000 points at random places of the circle through the islands, (2000, 2)."""
    angle = 2 * math.pi * torch.rand(2000, generator=torch.Generator().manual_seed(seed))
    return 2 * torch.stack([angle.cos(), angle.sin()], dim=1)


def written(found: dict[str, Any]) -> str:
    """JSON with a line a row of the table."""
    rows = ",\n  ".join(f"{json.dumps(name)}: {json.dumps(row)}" for name, row in found["rows"].items())
    head = ",\n ".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in found.items() if name != "rows")
    return f'{{\n {head},\n "rows": {{\n  {rows}\n }}\n}}\n'


if __name__ == "__main__":
    main()
