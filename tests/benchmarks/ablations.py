"""The paper's ablations: how many labels for how much data, and what the recipe's parts are worth.

    python tests/benchmarks/ablations.py --folder runs/ablations     # about an hour of one core

Each cell is one run of notebook 04, through animlab.sweeps; what is done already in the folder is not run again. Runs
that the table holds and the folder does not stay in the table as they are, with the date that they were run on.
Writes data/results/ablations.json, the tables that notebook 05 shows, and data/pictures/ablations_*.jpg: for each cell
of seed 0 a row for each of three d and two c_j, which goes from 0 to 1 along it. --no-run measures what is there.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Callable
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import animlab
from animlab import metrics
from animlab.checkpoints import library_version
from animlab.sweeps import cell_name, result_of, sweep

ROOT = Path(__file__).parents[2]
# Small batches: on a core, 1,000 steps of 16 frames take as long as 400 of 64, and draw far better.
STEPS, BATCH, WIDTH, SEEDS = 1000, 16, 0.25, 3
GRID = [(5, 2), (5, 5), (10, 5), (20, 10), (20, 20)]  # (n_d, n_c), Tab. 3
SETS = ["faces3d", "celeba"]  # the small set and the large one
BASE: dict[str, Any] = {
    "n_z": 8, "n_d": 5, "n_c": 5, "preset": "stable", "steps": STEPS, "batch": BATCH, "width": WIDTH,
    "samples": 1, "keep": 0, "demo_steps": 2,
}  # fmt: skip
# One change at a time to BASE, on the real actions.
CHANGES: dict[str, dict[str, Any]] = {
    "stable": {},
    "no EMA": {"ema": 0.0},
    "paper": {"preset": "paper"},
    "n_z = 62": {"n_z": 62},
    "λ_c = 1": {"lambda_c": 1.0},
    "plain view": {"label_view": "plain"},
    "silhouette": {"label_view": "silhouette"},
    "n_z = 2": {"n_z": 2},
}
FIG_4 = [(20, 5), (20, 10), (20, 20)]
# Models of portraits of real people are measured, not shown: the stand-in's are.
PICTURES = {"faces3d": GRID, "celeba-synthetic": GRID, "actions": [(5, 5), *FIG_4]}
FRAMES, LABELS = 2000, 16  # frames of a Fréchet distance; labels that a measure starts from
SWEEP, MATCHED = 10, 6  # frames of a sweep; sweeps that are looked for among real clips, which takes seconds each
SHIPPED = ["actions", "faces3d", "moving-mnist", "shapes"]


def cells(seeds: int) -> list[dict[str, Any]]:
    """All cells, the most wanted first, since a sweep may be cut short."""
    grid = [BASE | {"dataset": name, "n_d": n_d, "n_c": n_c} for n_d, n_c in GRID for name in SETS]
    fig_4 = [BASE | {"dataset": "actions", "n_d": n_d, "n_c": n_c} for n_d, n_c in [(5, 5), *FIG_4]]
    drawn = [BASE | {"dataset": "celeba-synthetic", "n_d": n_d, "n_c": n_c} for n_d, n_c in GRID]  # see PICTURES
    changed = [BASE | {"dataset": "actions"} | change for change in CHANGES.values() if change]
    parts = [(grid, 0), (grid, 1), (fig_4, 0), (drawn, 0), (changed, 0), (fig_4, 1), (changed, 1)]
    parts += [(part, seed) for seed in range(2, seeds) for part in (grid, fig_4, changed)]
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
    file = args.out / "results" / "ablations.json"
    kept = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {"runs": [], "pictures": {}}
    before = {name_of(run): run for run in kept["runs"]}
    runs = []
    for cell in wanted:
        name = cell_name(cell)
        if cell["dataset"] == "celeba-synthetic":
            continue
        if result_of(args.folder / name):
            runs.append(row(cell, args.folder / name))
        elif name in before:
            runs.append(before[name])
    shown = kept["pictures"]
    for name, grid in PICTURES.items():
        picture, rows = drawn(name, grid, args.folder)
        if len(rows) == 6 * len(grid) or name not in shown:
            Image.fromarray(picture).save(args.out / "pictures" / f"ablations_{name}.jpg", quality=65)
            shown[name] = rows
    lines = ",\n  ".join(json.dumps(run, ensure_ascii=False) for run in runs)
    head = {"about": about(runs), "real": real(), "shipped": shipped(), "pictures": shown}
    text = json.dumps(head, ensure_ascii=False)[:-1] + f',\n "runs": [\n  {lines}\n ]}}\n'
    file.write_text(text, encoding="utf-8")


def name_of(run: dict[str, Any]) -> str:
    """The name of the cell that a row of the table is of."""
    return cell_name(BASE | {key: run[key] for key in ("dataset", "n_d", "n_c", "seed")} | run["change"])


def about(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Where the numbers come from; each run has its own date."""
    return {
        "made by": "tests/benchmarks/ablations.py",
        "date": date.today().isoformat(),
        "library": library_version(),
        "steps": STEPS,
        "batch": BATCH,
        "width": WIDTH,
        "base": BASE,
        "seeds": SEEDS,
        "cells": len(runs),
        "machine": f"1 thread on {os.cpu_count()} {platform.machine()} CPU cores, "
        f"torch {torch.__version__.split('+')[0]}",
        "processor_minutes": round(sum(run["processor_seconds"] for run in runs) / 60, 1),
        "frames": FRAMES,
        "changes": CHANGES,
    }


def row(cell: dict[str, Any], place: Path) -> dict[str, Any]:
    """All numbers of one run."""
    result = result_of(place)
    labels = {name: [rounded(i["strength"]), rounded(i["focus"])] for name, i in result["influence"].items()}
    change = {
        key: cell[key] for key in cell if key not in ("dataset", "seed", "n_d", "n_c") and cell[key] != BASE.get(key)
    }
    return {
        "dataset": cell["dataset"],
        **{key: cell[key] for key in ("n_d", "n_c", "seed")},
        "change": change,
        "date": date.fromtimestamp((place / "result.json").stat().st_mtime).isoformat(),
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
    sweeps = [model.animate(d % cell["n_d"], d % cell["n_c"], SWEEP, seed=d) for d in range(LABELS)]
    found = {
        "settling": [rounded(value) for value in metrics.settling(model.generator, LABELS, steps=1).values()],
        "one_way": rounded(np.nanmean([metrics.monotonicity(one) for one in sweeps])),
    }
    if cell["dataset"] == "actions":
        found["in_order"] = rounded(in_order(sweeps[:MATCHED]))
    return found


@cache
def matcher() -> metrics.Matcher:
    return metrics.Matcher(animlab.load_dataset("actions", progress=False))


def in_order(sweeps: list[np.ndarray], takes: list[int | None] | None = None) -> float:
    """How much better real actions fit the sweeps as they run, forwards or backwards, than the same frames shuffled.

    1 - mean squared error to the nearest real window / that of the shuffled frames, mean over the sweeps: 0 for frames
    whose order means nothing. takes: of each sweep the recording to leave out.
    """
    rng, gains = np.random.default_rng(0), []
    for one, take in zip(sweeps, takes or [None] * len(sweeps)):
        orders = [one, one[::-1], one[rng.permutation(len(one))]]
        forth, back, mixed = (matcher()(each, take).mse for each in orders)
        gains.append(1 - min(forth, back) / mixed)
    return float(np.mean(gains))


@cache
def look() -> metrics.Features:
    return metrics.load_features("animlab")


@cache
def real_features(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Features of FRAMES real frames, and of as many others."""
    clips = animlab.load_dataset(name, progress=False)
    rows = np.random.default_rng(0).choice(len(clips), 2 * FRAMES, replace=False)
    first, other = (look()(clips.frames[np.sort(half)]) for half in (rows[:FRAMES], rows[FRAMES:]))
    return first, other


def apart(features: np.ndarray, name: str) -> dict[str, dict[str, float]]:
    """How far pictures are from real ones, on the project's small network."""
    known, _ = real_features(name)
    near = metrics.precision_recall(features, known)
    fd = metrics.frechet_distance(features, known)
    return {"distance": {"FD": rounded(fd), "precision": rounded(near.precision), "recall": rounded(near.recall)}}


def distance(cell: dict[str, Any], place: Path) -> dict[str, Any]:
    model = animlab.load(place / "out")
    labels = model.space.sample(FRAMES, torch.Generator().manual_seed(0))
    return apart(look()(model.frames(labels)), cell["dataset"])


def real() -> dict[str, Any]:
    """The same numbers of real frames, as far as there are any."""
    found: dict[str, Any] = {}
    for name in [*SETS, "actions"]:
        clips = animlab.load_dataset(name, progress=False)
        found[name] = {"frames": len(clips), "network": look().name, **apart(real_features(name)[1], name)}
        if name == "celeba":
            continue  # portraits stand alone: there is no motion
        seen = metrics.real_influence(clips.frames, clips.clips)
        chosen = clips.clips[np.random.default_rng(0).choice(len(clips.clips), LABELS, replace=False)]
        windows = [clips.frames[row["start"] :][:SWEEP] for row in chosen]
        found[name]["influence"] = [rounded(seen.strength), rounded(seen.focus)]
        found[name]["one_way"] = rounded(np.nanmean([metrics.monotonicity(one) for one in windows]))
        if name == "actions":
            takes = [int(row["take"]) for row in chosen[:MATCHED]]
            found[name]["in_order"] = rounded(in_order(windows[:MATCHED], takes))
    return found


def shipped() -> dict[str, Any]:
    """The same of the shipped models: settling of each c_j; of the actions in_order of three lots of sweeps."""
    found: dict[str, Any] = {}
    for name in SHIPPED:
        model = animlab.load(f"pretrained/{name}")
        settled = metrics.settling(model.generator, LABELS, steps=1).values()
        found[name] = {"steps": model.card["steps"], "settling": [rounded(value) for value in settled]}
        if name == "actions":
            n_d, n_c = model.space.n_d, model.space.n_c
            sweeps = [model.animate(d % n_d, d % n_c, SWEEP, seed=d) for d in range(3 * MATCHED)]
            groups = [sweeps[k : k + MATCHED] for k in range(0, len(sweeps), MATCHED)]
            found[name]["in_order"] = [rounded(in_order(group)) for group in groups]
    return found


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
    return np.concatenate(rows or [np.zeros((64, 9 * 64, 3), np.uint8)]), shown


def rounded(value: float) -> float:
    return round(float(value), 4)


if __name__ == "__main__":
    main()
