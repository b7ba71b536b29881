"""Fréchet distances of models of any set on EfficientNet-Lite0, which has seen none of their frames.

    python tests/benchmarks/distances.py                              # the shipped models of SETS, some minutes each
    python tests/benchmarks/distances.py shapes again=runs/shapes     # these models of one set; other rows stay

All distances are of 1,500 pictures to the same 1,500 real frames, but that of half of the recordings to the other half.
Prints the rows and writes data/results/distances.json. The actions have more yardsticks, see yardsticks.py.
"""

from __future__ import annotations

import argparse
import json
import platform
from pathlib import Path
from typing import Any

import numpy as np
import torch
from results import written

import animlab
from animlab import metrics

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "data" / "results" / "distances.json"
SETS = "shapes", "moving-mnist", "faces3d"
FRAMES = 1500


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", help="name of a set")
    parser.add_argument("models", nargs="*", metavar="NAME=PATH", help="checkpoints, instead of the shipped one")
    args = parser.parse_args()
    torch.set_num_threads(1)
    named = dict(each.split("=", 1) for each in args.models)
    for data in [args.data] if args.data else SETS:
        found = measure(data, named or {"shipped": ROOT / "data" / "pretrained" / data})
        kept = json.loads(FILE.read_text())["rows"] if FILE.exists() else []
        again = {(row["data"], row["who"]) for row in found}
        rows = sorted([row for row in kept if (row["data"], row["who"]) not in again] + found, key=by_distance)
        FILE.write_text(written({"made by": "tests/benchmarks/distances.py", "frames": FRAMES, "rows": rows}))
        for row in found:
            print(f"{data:14}{row['who']:45}{row['FD(efficientnet-lite0)']:8.1f}", flush=True)


def by_distance(row: dict[str, Any]) -> tuple[str, float]:
    return row["data"], row["FD(efficientnet-lite0)"]


def measure(data: str, models: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of one set: real frames first."""
    clips = animlab.load_dataset(data, progress=False)
    look = metrics.load_features("efficientnet-lite0")
    rng = np.random.default_rng(0)

    def features(rows: np.ndarray) -> np.ndarray:
        return look(metrics.features.Rows(clips.frames, np.sort(rows)))

    def row(who: str, distance: float, card: dict[str, Any]) -> dict[str, Any]:
        told = {key: card[key] for key in ("preset", "steps", "seed") if key in card}
        machine = f"one thread, {platform.machine()}, torch {torch.__version__.split('+')[0]}"
        return {"data": data, "who": who, "FD(efficientnet-lite0)": distance} | told | {"machine": machine}

    order = rng.permutation(len(clips))
    real = features(order[:FRAMES])
    other = metrics.frechet_distance(features(order[FRAMES : 2 * FRAMES]), real)
    half = np.isin(clips.clips["take"], clips.split(0.5, 0)[1].clips["take"]).repeat(clips.clips["length"])
    sides = [features(rng.choice(np.flatnonzero(side), FRAMES, replace=False)) for side in (half, ~half)]
    found = [
        row("real, other frames of the same recordings", other, {}),
        row("real, half of the recordings against the other", metrics.frechet_distance(*sides), {}),
    ]
    for name, path in models.items():
        model = animlab.load(path)
        drawn = model.frames(model.space.sample(FRAMES, torch.Generator().manual_seed(0)))
        found.append(row(name, metrics.frechet_distance(look(drawn), real), model.card))
    return found


if __name__ == "__main__":
    main()
