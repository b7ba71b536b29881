"""What each part of `modern` is worth alone: one thing is changed at a time, on the published shapes, over three seeds.

    python tests/benchmarks/modern_ablations.py --out runs/ablations            # hours; goes on where it was
    python tests/benchmarks/modern_ablations.py --out runs/ablations --seeds 1  # the first seed of each

The networks are a quarter as wide as usual, so that one core can train all of it; at that width the actions take longer
than this to become people, the shapes do not. Every run sees as many frames; only `stable`, the paper's networks with
their own batch, gets the processor time that `modern` took on this machine, with the same seed if that was run here,
and so it comes last. The running average of G is judged, and for "no running average" the newest G of the very same
runs. Writes `data/recipes/modern-ablations.json`, a row a run, and `modern-ablations.jpg`: a row of random labels for
each change, of the first seed. Runs that the table already holds are not made again.

The distance is taken on EfficientNet-Lite0, which has never seen these frames (pip install animlab[yardstick]).
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from recipes import Budget, OutOfTime
from safetensors.torch import load_file
from trainings import SAMPLES, Judge

import animlab
from animlab.presets import PRESETS

ROOT = Path(__file__).parents[2]
RECIPES = ROOT / "data" / "recipes"
WIDTH, STEPS, COLUMNS = 0.25, 2500, 16  # after 1,000 steps most pictures are still black
MODERN, SPACE = PRESETS["modern"], animlab.LabelSpace(n_z=2, n_d=5, n_c=5)
DATA = "shapes"

TIMED = "`stable`, for the same time"
CHANGES = {
    "none": MODERN,
    "cross-entropy in place of the relativistic loss": replace(MODERN, loss="bce"),
    "no R1 and R2": replace(MODERN, gamma=0.0),
    "no shift": replace(MODERN, shift=0),
    "label heads see the frames themselves": replace(MODERN, label_view="plain"),
    "no stillness term": replace(MODERN, lambda_still=0.0),
    TIMED: PRESETS["stable"],
}
NO_AVERAGE = "no running average"
ABOUT = {
    "made by": "tests/benchmarks/modern_ablations.py",
    "data": DATA,
    "width": WIDTH,
    "steps": STEPS,
    "FD": f"on EfficientNet-Lite0, {SAMPLES:,} samples against as many real frames",
    "influence": "[strength, focus] of each label over 256 random ones",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="where the runs are kept")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--part", default="0/1", help="k/n: every n-th run from the k-th, to share the work")
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    clips = animlab.load_dataset(DATA)
    judge = Judge(clips)
    runs = list(enumerate((seed, change) for seed in range(args.seeds) for change in CHANGES))
    runs.sort(key=lambda run: run[1][1] == TIMED)
    part, parts = map(int, args.part.split("/"))
    for number, (seed, change) in runs[part::parts]:
        if (change, seed) not in {(row["change"], row["seed"]) for row in known(args.out)}:
            folder = args.out / f"{number:02d}"
            shutil.rmtree(folder, ignore_errors=True)  # a run that was interrupted begins anew: its time is measured
            rows = run(change, seed, clips, judge, folder, args.out)
            (folder / "rows.json").write_text(json.dumps(rows))
    write(known(args.out), args.out)


def known(out: Path) -> list[dict[str, Any]]:
    """The rows of the table, if it was made with these settings, and of the runs in this folder."""
    table = RECIPES / "modern-ablations.json"
    before = json.loads(table.read_text()) if table.exists() else {}
    rows = before["rows"] if before.items() >= ABOUT.items() else []
    rows += [row for path in sorted(out.glob("*/rows.json")) for row in json.loads(path.read_text())]
    return list({(row["change"], row["seed"]): row for row in rows}.values())


def run(change: str, seed: int, clips: animlab.Clips, judge: Judge, folder: Path, out: Path) -> list[dict[str, object]]:
    """The rows of one run: of the running average of its G, and with `modern` itself of the newest G as well."""
    preset = CHANGES[change]
    timed = change == TIMED
    budget = Budget(seconds_of_modern(out, seed) if timed else float("inf"))
    row: dict[str, object] = {"change": change, "seed": seed}
    options = {"seed": seed, "width": WIDTH, "out": folder, "callbacks": [budget], "progress": False, "device": "cpu"}
    began = time.process_time()
    try:
        animlab.fit(clips, SPACE, preset, 10**6 if timed else STEPS, **options)
    except OutOfTime:
        pass
    except animlab.TrainingDiverged as error:
        return [row | {"diverged": str(error)}]
    found = budget.record
    row |= {
        "steps": found.step,
        "frames_seen": found.step * preset.batch,
        "passes": round(found.step * preset.batch / len(clips), 2),
        "processor_seconds": round(time.process_time() - began, 1),
        "machine": f"one core of {platform.machine()}, torch {torch.__version__.split('+')[0]}",
        "losses": {name: round(value, 4) for name, value in found.losses.items()},
    }
    draw(found.model, folder / "random.png")
    rows = [row | judged(judge, found.model)]
    if change == "none":
        tensors = load_file(next(folder.glob("*.safetensors")))
        prefix = "training.generator."
        newest = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
        found.model.generator.load_state_dict(newest)
        draw(found.model, folder / "newest.png")
        rows.append(row | {"change": NO_AVERAGE} | judged(judge, found.model))
    print(json.dumps(rows, ensure_ascii=False), flush=True)
    return rows


def judged(judge: Judge, model: animlab.Model) -> dict[str, object]:
    distance, influence, _ = judge(model, pairs=256)
    return {"FD": round(distance, 2), "influence": influence}


def seconds_of_modern(out: Path, seed: int) -> float:
    """What `modern` took here, with this seed or another; machines differ, so a table from elsewhere does not count."""
    rows = [row for path in out.glob("*/rows.json") for row in json.loads(path.read_text()) if row["change"] == "none"]
    if not rows:
        raise FileNotFoundError(f"A run of `modern` comes first; there is none in {out}.")
    return float(min(rows, key=lambda row: row["seed"] != seed)["processor_seconds"])


def draw(model: animlab.Model, path: Path) -> None:
    """A row: random labels."""
    frames = model.frames(model.space.sample(COLUMNS, torch.Generator().manual_seed(1)))
    Image.fromarray(animlab.filmstrip(frames[None])).save(path)


def write(rows: list[dict[str, Any]], out: Path) -> None:
    order = [*CHANGES, NO_AVERAGE]
    rows = sorted(rows, key=lambda row: (order.index(row["change"]), row["seed"]))
    text = json.dumps(ABOUT | {"rows": rows}, indent=1, ensure_ascii=False)
    (RECIPES / "modern-ablations.json").write_text(text + "\n")
    strips = [out / f"{k:02d}" / "random.png" for k in range(len(CHANGES))] + [out / "00" / "newest.png"]
    if all(path.exists() for path in strips):
        pictures = [np.asarray(Image.open(path)) for path in strips]
        Image.fromarray(np.concatenate(pictures)).save(RECIPES / "modern-ablations.jpg", quality=85)


if __name__ == "__main__":
    main()
