"""Notebook 02's experiments over several seeds: the four ways, n_d, who pays λ_d, the planted bug, frames.

    python tests/benchmarks/discrete_labels.py --out data/results      # about 20 minutes of one core

Runs the notebook's own cells, those tagged "definition", and writes discrete_labels.json, the table that the notebook
shows. Runs that the file already holds, made with the same cells, are kept.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import math
import platform
import time
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import torch
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.neighbors import KNeighborsClassifier

import animlab
from animlab.checkpoints import library_version
from animlab.datasets.digits import load_digits, synthetic_digits

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "notebooks" / "02_discrete_labels.ipynb"
SEEDS, STEPS, N_Z, DRAWN = 3, 1000, 4, 1000
FIVE = [0, 1, 3, 6, 7]
FRAMES = {"actions-synthetic": "stable", "shapes-synthetic": "stable-on-black"}
FRAME_STEPS, FRAME_WIDTH, N_D = 300, 0.25, 5

# name: (digits, way, n_d, discriminator); a way is a name in WAYS or the weights of a Way.
RUNS: dict[str, tuple[list[int], str | dict[str, float], int, str]] = {
    **{name: (FIVE, name, 5, "DigitDiscriminator") for name in ("CGAN", "ACGAN", "InfoGAN", "the paper")},
    "ten digits": (list(range(10)), "the paper", 10, "DigitDiscriminator"),
    "as written": (FIVE, "the paper", 5, "DigitDiscriminator"),  # slanted as they are
    "shared column": (FIVE, "the paper", 5, "Copied"),
    **{f"n_d = {n}": (FIVE, "the paper", n, "DigitDiscriminator") for n in (3, 10, 20)},
    "nobody": (FIVE, {}, 5, "DigitDiscriminator"),
    "D alone": (FIVE, {"d": 0.1}, 5, "DigitDiscriminator"),
    "G alone": (FIVE, {"g": 0.1}, 5, "DigitDiscriminator"),
}
SYNTHETIC = ("CGAN", "ACGAN", "InfoGAN", "the paper")  # those that run on drawn digits as well


def definitions(path: Path = NOTEBOOK) -> str:
    """The notebook's cells that define what it builds, one after the other."""
    cells = nbformat.read(path, as_version=4).cells
    return "\n\n".join(cell.source for cell in cells if "definition" in cell.metadata.get("tags", []))


def digest(source: str) -> str:
    """Changes with what the code does, not with its comments and docstrings."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if (
            isinstance(body, list)
            and body
            and isinstance(body[0], ast.Expr)
            and isinstance(body[0].value, ast.Constant)
        ):
            del body[0]
    return hashlib.sha256(ast.unparse(tree).encode()).hexdigest()[:16]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "data" / "results")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    source = definitions()
    cells: dict[str, Any] = {}
    exec(compile(source, NOTEBOOK.name, "exec"), cells)
    path = args.out / "discrete_labels.json"
    found = {
        "made by": "tests/benchmarks/discrete_labels.py", "version": library_version(), "cells": digest(source),
        "machine": f"two CPU cores, {platform.machine()}, torch {torch.__version__.split('+')[0]}, one thread",
        "steps": STEPS, "n_z": N_Z, "batch": 64, "seeds": args.seeds, "drawn": DRAWN, "runs": [],
        "frame_runs": {"steps": FRAME_STEPS, "width": FRAME_WIDTH, "n_d": N_D, "preset": FRAMES, "batch": 64},
    }  # fmt: skip
    if path.exists() and (before := json.loads(path.read_text()))["cells"] == found["cells"]:
        found["runs"] = before["runs"]
    done = {(run["name"], run["data"], run["seed"]) for run in found["runs"]}
    wanted = [(name, "real") for name in RUNS] + [(name, "synthetic") for name in SYNTHETIC]
    wanted = [(*each, seed) for seed in range(args.seeds) for each in wanted]
    wanted += [("frames", each, seed) for seed in range(args.seeds) for each in FRAMES]
    args.out.mkdir(parents=True, exist_ok=True)
    for name, data, seed in wanted:
        if (name, data, seed) in done:
            continue
        run = frames_run(data, seed) if name == "frames" else digits_run(cells, name, data, seed)
        found["runs"].append({"name": name, "data": data, "seed": seed, **run})
        found["runs"].sort(key=lambda run: (run["data"], run["name"], run["seed"]))
        path.write_text(written(found))
        print(name, data, seed, {k: v for k, v in run.items() if k != "table"}, flush=True)


def digits_run(cells: dict[str, Any], name: str, data: str, seed: int) -> dict[str, Any]:
    """Train one way on digits; score what D reads off held-out pictures and what a judge sees in drawn ones."""
    digits, way, n_d, discriminator = RUNS[name]
    chosen = cells["WAYS"][way] if isinstance(way, str) else cells["Way"](**way)
    images, labels = load_digits() if data == "real" else synthetic_digits(10_000)
    x, y = cells["kept"](images[-10_000:], labels[-10_000:], digits, straight=name != "as written")
    m, n = len(x) * 4 // 5, len(digits)
    judge = KNeighborsClassifier(5).fit(x[:m].flatten(1).numpy(), y[:m].numpy())
    began = time.process_time()
    G, D, lambda_d = cells["learn"](chosen, x[:m], y[:m], n_d, STEPS, seed, discriminator=cells[discriminator])
    seconds = time.process_time() - began
    classes, reading = y[m:].numpy(), cells["read"](D, x[m:], n_d)
    fakes, d = cells["drawn"](G, DRAWN, N_Z, n_d, seed)
    seen = judge.predict(fakes.flatten(1).numpy())
    return {
        "read": rounded(cells["scores"](classes, reading, n, n_d)),
        "drawn": rounded(cells["scores"](seen, d, n, n_d)),
        "nats": round(math.log(n_d) - float(lambda_d[-100:].mean()), 3),
        "table": cells["table"](classes, reading, n, n_d).tolist(),
        "judge": round(judge.score(x[m:].flatten(1).numpy(), classes), 3),
        "processor_seconds": round(seconds, 1),
    }


def frames_run(data: str, seed: int) -> dict[str, Any]:
    """Train the library's own module on synthetic frames; what of the known factors does d' hold?"""
    clips = animlab.load_dataset(data, progress=False)
    began = time.process_time()
    space = animlab.LabelSpace(8, N_D, 5) if data.startswith("actions") else animlab.LabelSpace(2, N_D, 5)
    run = animlab.fit(
        clips, space, preset=FRAMES[data], steps=FRAME_STEPS, width=FRAME_WIDTH, seed=seed, progress=False
    )
    seconds = time.process_time() - began
    rows = np.sort(np.random.default_rng(0).choice(len(clips), 2000, replace=False))
    d = run.model.read(clips.frames[rows])[1].argmax(axis=1)
    clip = np.repeat(np.arange(len(clips.clips)), clips.clips["length"])[rows]
    known = {name: clips.clips[name][clip] for name in ("class", "take")}
    known |= {name: binned(values[rows]) for name, values in clips.factors.items()}
    lambda_d = float(run.history["lambda_d"][-100:].mean())
    return {
        "NMI": {name: round(float(normalized_mutual_info_score(values, d)), 3) for name, values in known.items()},
        "ARI": {name: round(float(adjusted_rand_score(values, d)), 3) for name, values in known.items()},
        "share": np.round(np.bincount(d, minlength=N_D) / len(d), 3).tolist(),
        "nats": round(math.log(N_D) - lambda_d, 3),
        "processor_seconds": round(seconds, 1),
    }


def binned(values: np.ndarray) -> np.ndarray:
    """A factor as classes: as it is where it takes few values, in five equally full bins otherwise."""
    if values.dtype.kind in "US" or len(np.unique(values)) <= 10:
        return values
    return np.digitize(values, np.quantile(values, [0.2, 0.4, 0.6, 0.8]))


def rounded(scores: dict[str, float]) -> dict[str, float]:
    return {name: round(float(value), 3) for name, value in scores.items()}


def written(found: dict[str, Any]) -> str:
    """JSON with a line a run."""
    lines = ",\n  ".join(json.dumps(run, ensure_ascii=False) for run in found["runs"])
    head = {name: value for name, value in found.items() if name != "runs"}
    body = ",\n ".join(f"{json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}" for name, value in head.items())
    return f'{{\n {body},\n "runs": [\n  {lines}\n ]\n}}\n'


if __name__ == "__main__":
    main()
