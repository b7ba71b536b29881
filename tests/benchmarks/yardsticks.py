"""The actions on two yardsticks: how far real frames, models and noise are from real frames, by the network that comes
with the project and by one of ImageNet that has never seen these frames.

    python tests/benchmarks/yardsticks.py                        # all rows below, about five minutes of one core
    python tests/benchmarks/yardsticks.py --models mine=runs/mine        # a row of this model; the others stay

Every Fréchet distance is of 1,500 frames to the same 1,500 real ones: of other real frames of the same recordings, of
the shipped model's pictures, of uniform noise, and of one real frame over and over, for ten such frames. The exception
is half of the recordings against the other half, 1,500 frames each, over three splits: what a model that draws new
recordings could reach. Rows of models say as well how much each label changes the picture, how well the model reads its
labels back off its own pictures, and how near these lie to training frames. Prints the table, writes
data/results/yardsticks.json.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from results import written

import animlab
from animlab import metrics
from animlab.checkpoints import library_version

ROOT = Path(__file__).resolve().parents[2]
FILE = "yardsticks.json"
DATA = "actions"
YARDSTICKS = ["animlab", "efficientnet-lite0"]
FRAMES = 1500  # on every side: just above the 1,281 that make a covariance of 1,280 features whole
SPLITS = 3  # of the recordings into halves
REPEATED = 10  # real frames, each of which is a set of its own
NEAREST = 100  # pictures whose nearest training frame is looked for
SHIPPED = {"shipped": ROOT / "data" / "pretrained" / DATA}
ABOUT = {
    "FD": "by the yardstick's name; where there is an FD_std, the mean over splits, or over frames that are repeated",
    "frames": "a side",
    "processor_seconds": "of the row on each yardstick, without drawing; real frames are looked at once, before all "
    "rows",
    "influence": "of each label, [strength, focus]; of real frames 8 apart: real_influence",
    "reader": "on the model's own pictures: share of d read right, and R² of each c",
    "copying": "distance of pictures to the nearest real frame against that of real ones in OTHER recordings: how "
    "often nearer (0.5: even), ratio of the medians, median of the pictures in grey levels; for models of all "
    "recordings",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", type=named, metavar="NAME=PATH", help="checkpoints to measure, alone")
    parser.add_argument("--out", type=Path, default=ROOT / "data" / "results")
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    file = args.out / FILE
    kept = json.loads(file.read_text(encoding="utf-8"))["rows"] if file.exists() else []
    clips = animlab.load_dataset(DATA, progress=False)
    real = Real(clips, everything=args.models is None)
    found = [] if args.models else real.rows()
    found += [real.row_of_model(name, animlab.load(path)) for name, path in (args.models or SHIPPED.items())]
    again = {row["who"] for row in found}
    rows = [row for row in kept if row["who"] not in again] + found
    head = {
        "made by": "tests/benchmarks/yardsticks.py", "version": library_version(), "data": DATA,
        "real_influence": pair(metrics.real_influence(clips.frames, clips.clips)), "about": ABOUT,
    }  # fmt: skip
    file.write_text(written(head | {"rows": sorted(rows, key=place)}), encoding="utf-8")
    for row in sorted(rows, key=place):
        print(row["who"].ljust(48), *(f"{name} {value:9.2f}" for name, value in row["FD"].items()))


def named(text: str) -> tuple[str, Path]:
    name, _, path = text.partition("=")
    if not name or not path:
        raise argparse.ArgumentTypeError(f"a model is NAME=PATH, got {text!r}")
    return name, Path(path)


def place(row: dict[str, Any]) -> tuple[int, float]:
    """Real rows first, then models, then chance; within these the nearest first."""
    return ["real", "model", "chance"].index(row["kind"]), row["FD"][YARDSTICKS[1]]


def pair(found: metrics.Influence) -> list[float]:
    return [found.strength, found.focus]


class Real:
    """The real frames' features on each yardstick, and the rows that are held against them."""

    def __init__(self, clips: animlab.Clips, everything: bool) -> None:
        self.clips = clips
        order = np.random.default_rng(0).permutation(len(clips))
        self.known, self.other = np.sort(order[:FRAMES]), np.sort(order[FRAMES : 2 * FRAMES])
        self.looks = {name: metrics.load_features(name) for name in YARDSTICKS}
        seen = np.arange(len(clips)) if everything else self.known
        self.seen = {
            name: dict(zip(seen, look(metrics.features.Rows(clips.frames, seen), progress=True)))
            for name, look in self.looks.items()
        }
        self.judge = {name: metrics.Statistics.of(self.features(name, self.known)) for name in YARDSTICKS}
        self.matcher = metrics.Matcher(clips)

    def features(self, name: str, rows: np.ndarray) -> np.ndarray:
        return np.stack([self.seen[name][row] for row in rows])

    def rows(self) -> list[dict[str, Any]]:
        """Of real frames and of chance."""
        noise = np.random.default_rng(0).integers(0, 256, (FRAMES, *self.clips.frames.shape[1:]), dtype=np.uint8)
        return [
            self.row(
                "real, other frames of the same recordings", "real",
                lambda name: [self.distance(name, self.features(name, self.other))],
            ),
            self.row("real, half of the recordings against the other", "real", self.halves),
            self.row("uniform noise", "chance", lambda name: [self.distance(name, self.looks[name](noise))]),
            self.row(f"one real frame {FRAMES:,} times", "chance", self.one_frame),
        ]  # fmt: skip

    def row_of_model(self, who: str, model: animlab.Model) -> dict[str, Any]:
        labels = model.space.sample(FRAMES, torch.Generator().manual_seed(0))
        drawn = model.frames(labels)
        row = self.row(who, "model", lambda name: [self.distance(name, self.looks[name](drawn))])
        card = {key: model.card.get(key) for key in ("preset", "steps", "minutes")}
        row |= {"trained": card | {"clips": model.card.get("clips")}}
        row["influence"] = {name: pair(one) for name, one in metrics.label_influence(model.generator).items()}
        if model.discriminator is not None:
            _, d, c = model.read(drawn)
            truth = labels.c.numpy()
            r2 = 1 - ((c - truth) ** 2).mean(axis=0) / truth.var(axis=0)
            right = (d.argmax(axis=1) == labels.d.argmax(dim=1).numpy()).mean()
            row["reader"] = {"d_right": float(right), "c_r2": r2.tolist()}
        some = self.other[np.sort(np.random.default_rng(0).choice(FRAMES, NEAREST, replace=False))]
        takes = np.repeat(self.clips.clips["take"], self.clips.clips["length"])[some]
        near = metrics.copying(drawn[:NEAREST], self.matcher, self.clips.frames[some], takes)
        row["copying"] = {"nearer": near.nearer, "ratio": near.ratio, "median": float(np.median(near.samples))}
        return row

    def row(self, who: str, kind: str, measure: Callable[[str], list[float]]) -> dict[str, Any]:
        distances, seconds = {}, {}
        for name, look in self.looks.items():
            began = time.process_time()
            distances[look.name] = measure(name)
            seconds[look.name] = round(time.process_time() - began, 1)
        row: dict[str, Any] = {
            "who": who, "kind": kind, "frames": FRAMES,
            "FD": {name: float(np.mean(each)) for name, each in distances.items()},
        }  # fmt: skip
        if max(map(len, distances.values())) > 1:
            row["FD_std"] = {name: float(np.std(each)) for name, each in distances.items()}
        machine = f"one thread, {platform.machine()}, torch {torch.__version__.split('+')[0]}"
        return row | {"processor_seconds": seconds, "machine": machine, "date": date.today().isoformat()}

    def distance(self, name: str, features: np.ndarray) -> float:
        return metrics.frechet_distance(features, self.judge[name])

    def one_frame(self, name: str) -> list[float]:
        some = self.known[np.random.default_rng(0).choice(FRAMES, REPEATED, replace=False)]
        return [self.distance(name, one[None].repeat(FRAMES, axis=0)) for one in self.features(name, some)]

    def halves(self, name: str) -> list[float]:
        """Recordings against other recordings, mirror images with their originals."""
        takes = np.repeat(self.clips.clips["take"], self.clips.clips["length"])
        found = []
        for seed in range(SPLITS):
            rng = np.random.default_rng(seed)
            half = np.isin(takes, self.clips.split(0.5, seed)[1].clips["take"])
            one, other = (np.sort(rng.choice(np.flatnonzero(side), FRAMES, replace=False)) for side in (half, ~half))
            found.append(metrics.frechet_distance(self.features(name, one), self.features(name, other)))
        return found


if __name__ == "__main__":
    main()
