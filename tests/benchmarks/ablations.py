"""The paper's ablations: how many labels for how much data, and what the recipe's parts are worth.

    python tests/benchmarks/ablations.py --folder runs/ablations     # about an hour of one core

Each cell is one run of notebook 04, through animlab.sweeps; what is done already in the folder is not run again.
Writes data/results/ablations.json, the tables that notebook 05 shows, and data/pictures/ablations_*.jpg: for each cell
of seed 0 a row for each of three d and two c_j, which goes from 0 to 1 along it. --no-run measures what is there.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import animlab
from animlab import metrics
from animlab.sweeps import cell_name, result_of, sweep

ROOT = Path(__file__).parents[2]
STEPS, WIDTH, SEEDS = 500, 0.25, 3
GRID = [(5, 2), (5, 5), (10, 5), (20, 10), (20, 20)]  # (n_d, n_c), Tab. 3
SETS = ["faces3d", "celeba"]  # the small set and the large one
BASE = {"n_z": 8, "n_d": 5, "n_c": 5, "preset": "stable", "steps": STEPS, "width": WIDTH, "samples": 1, "keep": 0}
# One change at a time to BASE, on the real actions.
CHANGES: dict[str, dict[str, Any]] = {
    "stable": {},
    "n_z = 2": {"n_z": 2},
    "n_z = 62": {"n_z": 62},
    "λ_c = 1": {"lambda_c": 1.0},
    "no EMA": {"ema": 0.0},
    "plain view": {"label_view": "plain"},
    "paper": {"preset": "paper"},
}
FIG_4 = [(20, 5), (20, 10), (20, 20)]
# Models of portraits of real people are measured, not shown: the stand-in's are.
PICTURES = {"faces3d": GRID, "celeba-synthetic": GRID, "actions": [(5, 5), *FIG_4]}
FRAMES, LABELS, SWEEP = 2000, 16, 10  # frames of a Fréchet distance; labels a measure starts from; frames of a sweep


def cells(seeds: int) -> list[dict[str, Any]]:
    """All cells, the most wanted first, since a sweep may be cut short."""
    grid = [BASE | {"dataset": name, "n_d": n_d, "n_c": n_c} for n_d, n_c in GRID for name in SETS]
    rest = [BASE | {"dataset": "actions"} | change for change in CHANGES.values()]
    rest += [BASE | {"dataset": "actions", "n_d": n_d, "n_c": n_c} for n_d, n_c in FIG_4]
    drawn = [BASE | {"dataset": "celeba-synthetic", "n_d": n_d, "n_c": n_c} for n_d, n_c in GRID]  # see PICTURES
    parts = [(grid, 0), (grid, 1), (rest, 0), (drawn, 0), (rest, 1), (grid, 2), (rest, 2)]
    return [cell | {"seed": seed} for part, seed in parts if seed < seeds for cell in part]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=ROOT / "runs" / "ablations")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--scheduler", help="address of a dask scheduler; a cluster of its own where none is given")
    parser.add_argument("--no-run", action="store_true", help="measure what the folder holds")
    parser.add_argument("--out", type=Path, default=ROOT / "data")
    args = parser.parse_args()
    torch.set_num_threads(1)
    wanted = cells(args.seeds)
    if not args.no_run:
        notebook = ROOT / "notebooks" / "04_full_training.ipynb"
        sweep(notebook, wanted, args.folder, scheduler=args.scheduler, workers=args.workers)
    found = {cell_name(cell): cell for cell in wanted if result_of(args.folder / cell_name(cell))}
    runs = [row(cell, args.folder / name) for name, cell in found.items() if cell["dataset"] != "celeba-synthetic"]
    lines = ",\n  ".join(json.dumps(run, ensure_ascii=False) for run in runs)
    head = json.dumps(about(args.folder, list(found)), ensure_ascii=False)
    text = f'{{"about": {head},\n "real": {json.dumps(real())},\n "runs": [\n  {lines}\n ]\n}}\n'
    (args.out / "results" / "ablations.json").write_text(text, encoding="utf-8")
    for name, grid in PICTURES.items():
        picture, shown = drawn(name, grid, args.folder)
        Image.fromarray(picture).save(args.out / "pictures" / f"ablations_{name}.jpg", quality=85)
        (args.out / "results" / f"ablations_{name}.json").write_text(json.dumps(shown) + "\n")


def about(folder: Path, names: list[str]) -> dict[str, Any]:
    """Where the numbers come from."""
    results = [result_of(folder / name) for name in names]
    machine = results[0]["machine"]
    return {
        "made by": "tests/benchmarks/ablations.py",
        "library": machine["animlab"],
        "steps": STEPS,
        "width": WIDTH,
        "base": BASE,
        "seeds": SEEDS,
        "cells": len(results),
        "machine": f"{machine['threads']} thread on {machine['cores']} {machine['device']} CPU cores, "
        f"torch {machine['torch'].split('+')[0]}",
        "processor_minutes": round(sum(one["processor_seconds"] for one in results) / 60, 1),
        "minutes": round(sum(one["seconds"] for one in results) / 60, 1),
        "frames": FRAMES,
        "changes": CHANGES,
    }


def row(cell: dict[str, Any], place: Path) -> dict[str, Any]:
    """All numbers of one run."""
    result = result_of(place)
    labels = {name: [rounded(i["strength"]), rounded(i["focus"])] for name, i in result["influence"].items()}
    change = {key: value for key, value in cell.items() if key not in BASE | {"dataset": "", "seed": 0}}
    change |= {key: cell[key] for key in ("n_z", "preset") if cell[key] != BASE[key]}
    return {
        "dataset": cell["dataset"],
        **{key: cell[key] for key in ("n_d", "n_c", "seed")},
        "change": change,
        "processor_seconds": round(result["processor_seconds"], 1),
        "losses": {name: rounded(value) for name, value in result["losses"].items()},
        "influence": labels,
        **kept(place / "measured.json", lambda: measured(cell, place)),
        **kept(place / "distance.json", lambda: distance(cell, place)),
    }


def kept(file: Path, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What `file` holds, made first where it is not there."""
    if not file.exists():
        unfinished = file.with_suffix(".part")
        unfinished.write_text(json.dumps(make()))
        os.replace(unfinished, file)
    return json.loads(file.read_text())


def measured(cell: dict[str, Any], place: Path) -> dict[str, Any]:
    """settling: of each c_j, metrics.settling. one_way: mean metrics.monotonicity over sweeps. in_order: see below."""
    model = animlab.load(place / "out")
    settled = metrics.settling(model.generator, LABELS, steps=1)
    sweeps = [model.animate(d % cell["n_d"], d % cell["n_c"], SWEEP, seed=d) for d in range(LABELS)]
    found = {
        "settling": [rounded(value) for value in settled.values()],
        "one_way": rounded(np.nanmean([metrics.monotonicity(one) for one in sweeps])),
    }
    return found | ({"in_order": rounded(in_order(sweeps, cell["dataset"]))} if cell["dataset"] in MATCHED else {})


MATCHED = ("actions",)


@cache
def matcher(name: str) -> metrics.Matcher:
    return metrics.Matcher(animlab.load_dataset(name, progress=False))


def in_order(sweeps: list[np.ndarray], name: str, takes: list[int] | None = None) -> float:
    """How much better real clips fit the sweeps as they run, forwards or backwards, than the same frames shuffled.

    1 - mean squared error to the nearest real window / that of the shuffled frames, mean over the sweeps: 0 for frames
    whose order means nothing. takes: recordings to leave out, one a sweep.
    """
    rng, gains = np.random.default_rng(0), []
    for k, one in enumerate(sweeps):
        orders = [one, one[::-1], one[rng.permutation(len(one))]]
        forth, back, mixed = (matcher(name)(each, takes[k] if takes else None).mse for each in orders)
        gains.append(1 - min(forth, back) / mixed)
    return float(np.mean(gains))


def distance(cell: dict[str, Any], place: Path) -> dict[str, Any]:
    """The Fréchet distance to real frames and what else metrics.evaluate finds, on the project's small network."""
    found = metrics.evaluate(
        animlab.load(place / "out"), animlab.load_dataset(cell["dataset"], progress=False), FRAMES, "animlab",
        progress=False,
    )  # fmt: skip
    return {"distance": {key: rounded(found["model"][key]) for key in ("FD", "KID", "precision", "recall")}}


def real() -> dict[str, Any]:
    """The same numbers of real frames, as far as there are any."""
    found: dict[str, Any] = {}
    for name in [*SETS, "actions"]:
        clips = animlab.load_dataset(name, progress=False)
        other = metrics.evaluate(blank(), clips, FRAMES, "animlab", progress=False)
        found[name] = {"frames": len(clips), "distance": {k: rounded(v) for k, v in other["real"].items()}}
        found[name]["measured with"] = other["distance"]
        if name != "celeba":  # portraits stand alone: there is no motion
            seen = metrics.real_influence(clips.frames, clips.clips)
            rows = np.random.default_rng(0).choice(len(clips.clips), LABELS, replace=False)
            windows = [clips.frames[row["start"] :][:SWEEP] for row in clips.clips[rows]]
            found[name] |= {
                "influence": [rounded(seen.strength), rounded(seen.focus)],
                "one_way": rounded(np.nanmean([metrics.monotonicity(one) for one in windows])),
            }
            if name in MATCHED:
                takes = [int(row["take"]) for row in clips.clips[rows]]
                found[name]["in_order"] = rounded(in_order(windows, name, takes))
    return found


def blank() -> animlab.Model:
    """A model that has learned nothing: metrics.evaluate wants one, here for its real row alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return animlab.Model(animlab.Generator(animlab.LabelSpace(), width=0.05))


def drawn(name: str, grid: list[tuple[int, int]], folder: Path) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """The sweeps to show of a data set's cells, seed 0, and of each row what it shows: n_d, n_c, d, c."""
    rows, shown = [], []
    for n_d, n_c in grid:
        place = folder / cell_name(BASE | {"dataset": name, "n_d": n_d, "n_c": n_c, "seed": 0})
        if result_of(place) is None:
            continue
        model, influence = animlab.load(place / "out"), result_of(place)["influence"]
        ranked = sorted(range(n_c), key=lambda j: -influence[f"c{j}"]["strength"])
        for d in range(3):
            for j in (ranked[0], ranked[-1]):  # the strongest and the weakest
                rows.append(np.concatenate(model.animate(d, j, 9, seed=0), axis=1))
                shown.append({"n_d": n_d, "n_c": n_c, "d": d, "c": j})
    return np.concatenate(rows), shown


def rounded(value: float) -> float:
    return round(float(value), 4)


if __name__ == "__main__":
    main()
