"""`modern` and MoCoGAN on the actions, a quarter of an hour each, over three seeds.

    python tests/benchmarks/long_comparison.py train --share 0/2  # half of the runs; 1/2 beside it makes the others
    python tests/benchmarks/long_comparison.py judge --share 0/2  # from what `train` left in --runs
    python tests/benchmarks/long_comparison.py write

train: each method of METHODS, for the processor time of the last of MARKS on one thread, on the same clips; models are
kept at each mark, and a run that was stopped goes on from its last one. The networks are a quarter as wide as usual.
judge: each model at each mark, and real clips. MoCoGAN is measured as in the table of comparisons.py, and at its best
as well: its clips without their first frame, which its random start makes unlike the others, and matched with every
other frame of the real clips, as it was trained. On EfficientNet-Lite0, which has never seen these recordings, "motion"
uses 64 random projections of its 1,280 features, since 150 clips are too few for more. What has been judged is not
judged again.
write: data/results/long_comparison.json, and for each method a picture with a clip of each seed,
data/results/comparisons/actions_NAME_seeds.jpg.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from comparisons import ROOT, keep_picture, loaded, train_method
from results import written

import animlab
from animlab import metrics
from animlab.baselines.clip_gan import ClipGAN
from animlab.baselines.comparison import BENCHMARKS, FRAMES, Evaluator, Method, draw
from animlab.checkpoints import library_version
from animlab.metrics.clip_features import cosine_series

BENCHMARK = BENCHMARKS["actions"]
METHODS = {
    "mocogan": BENCHMARK.rivals["mocogan"],
    "modern": Method("ours, modern", preset="modern", space=animlab.LabelSpace(n_z=4, n_d=5, n_c=5)),
}
REAL = ("real", "held-out")  # other windows of the training recordings, and the others
SEEDS, MARKS = 3, (240.0, 960.0)
CLIPS, MATCHED, PROJECTED = 150, 12, 64
TABLE = ROOT / "data" / "results" / "long_comparison.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["train", "judge", "write"])
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "long-comparison", help="where models are kept")
    parser.add_argument("--share", default="0/1", help="k/n: every n-th run from the k-th, to share the work")
    args = parser.parse_args()
    torch.set_num_threads(1)
    share, shares = map(int, args.share.split("/"))
    runs = [(seed, name) for seed in range(SEEDS) for name in METHODS][share::shares]
    clips, held_out = BENCHMARK.load()
    if args.part == "train":
        for seed, name in runs:
            print(train_method(METHODS[name], clips, seed, args.runs / name / str(seed), MARKS), flush=True)
    elif args.part == "judge":
        for seed in range(share, SEEDS, shares):
            judge(seed, clips, held_out, args.runs)
    else:
        write(args.runs)


def judge(seed: int, clips: animlab.Clips, held_out: animlab.Clips, folder: Path) -> None:
    """All models of one seed, and real clips."""
    judges = Judges(clips, held_out, seed)
    for name, source in zip(REAL, (clips, held_out), strict=True):
        keep(folder / name / str(seed) / "found.json", lambda source=source: judges(source))
    for name in METHODS:
        out = folder / name / str(seed)
        for mark in MARKS:
            file = out / f"after-{mark:g}.safetensors"
            if file.exists():
                keep(out / f"found-{mark:g}.json", lambda file=file: judges(loaded(file)))


def keep(path: Path, found: Callable[[], Any]) -> None:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(found()))
        print(path, flush=True)


class Judges:
    """The measures of one seed."""

    def __init__(self, clips: animlab.Clips, held_out: animlab.Clips, seed: int) -> None:
        self.seed, self.clips = seed, clips
        self.evaluator = Evaluator(BENCHMARK, clips, held_out, seed)
        self.second = metrics.load_features("efficientnet-lite0")
        self.projection = np.random.default_rng(0).standard_normal((self.second.size, PROJECTED)) / PROJECTED**0.5
        self.own_stride = metrics.AnimationProtocol(
            every_other(self.evaluator.train), "animlab", BENCHMARK.real_frames, seed
        )
        self.reference = self.looks(draw(clips, CLIPS, FRAMES, seed, BENCHMARK.stride))

    def __call__(self, source: animlab.Model | ClipGAN | animlab.Clips) -> dict[str, Any]:
        """All measures of a model, or of held-out clips; of the training clips, which match themselves, distances."""
        if source is self.clips:
            return self.distances(self.draw(source, CLIPS, FRAMES, whole=True))
        protocol = self.evaluator.protocol
        drawn = self.draw(source, CLIPS, BENCHMARK.length, whole=True)
        row: dict[str, Any] = {"paper": scores(protocol, drawn), "own": scores(self.own_stride, drawn)}
        row |= self.distances(self.draw(source, CLIPS, FRAMES, whole=True))
        if isinstance(source, ClipGAN):
            later = self.draw(source, CLIPS, BENCHMARK.length, whole=False)
            row["without first"] = {"paper": scores(protocol, later), "own": scores(self.own_stride, later)}
            row["without first"] |= self.distances(self.draw(source, CLIPS, FRAMES, whole=False))
        if not isinstance(source, animlab.Clips):
            row |= self.evaluator.invert(source) | self.evaluator.copying(source) | self.evaluator.control(source)
        if isinstance(source, animlab.Model):
            found = metrics.label_influence(source.generator, pairs=256)
            row["influence"] = {name: [value.strength, value.focus] for name, value in found.items()}
        return row

    def draw(self, source: animlab.Model | ClipGAN | animlab.Clips, n: int, frames: int, whole: bool) -> np.ndarray:
        """Clips, as comparisons.py draws them; a baseline's without their first frame if they are not to be whole."""
        if whole:
            return draw(source, n, frames, self.seed + 1, BENCHMARK.stride if frames == FRAMES else 1)
        return draw(source, n, frames + 1, self.seed + 1)[:, 1:]

    def looks(self, clips: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """On each network, the features of all frames and those of the clips."""
        found = {}
        frames = clips.reshape(-1, *clips.shape[2:])
        for name, features in {"animlab": self.evaluator.features, "efficientnet-lite0": self.second}.items():
            seen = features(frames)
            few = seen if features.size <= PROJECTED else seen @ self.projection
            found[name] = seen, cosine_series(few.reshape(*clips.shape[:2], -1))
        return found

    def distances(self, clips: np.ndarray) -> dict[str, dict[str, float]]:
        """On each network the distances of frames, of clips, and of clips without their mean over time."""
        row = {}
        for name, (frames, series) in self.looks(clips).items():
            real_frames, real_series = self.reference[name]
            size = series.shape[1] // 4
            row[name] = {
                "fd": metrics.frechet_distance(frames, real_frames),
                "clips": metrics.frechet_distance(series, real_series),
                "motion": metrics.frechet_distance(series[:, size:], real_series[:, size:]),
            }
        return row


def scores(protocol: metrics.AnimationProtocol, drawn: np.ndarray) -> dict[str, float]:
    found = protocol.score(drawn[:MATCHED], samples=drawn)
    return {name: getattr(found, name) for name in ("psnr", "ssim", "fd", "score")}


def every_other(clips: animlab.Clips) -> animlab.Clips:
    """Each clip twice: its even frames and its odd ones."""
    rows, frames, start = [], [], 0
    for clip in clips.clips:
        for first in range(2):
            part = clips.frames[clip["start"] + first : clip["start"] + clip["length"] : 2]
            rows.append((start, len(part), clip["class"], clip["take"]))
            frames.append(part)
            start += len(part)
    return animlab.Clips(np.concatenate(frames), np.array(rows, clips.clips.dtype), clips.name)


def write(folder: Path) -> None:
    """The table, a row for each model and for real clips, and the pictures."""
    rows, real = [], []
    for seed in range(SEEDS):
        for name in REAL:
            found = json.loads((folder / name / str(seed) / "found.json").read_text())
            real.append({"who": name, "seed": seed, "seconds": None} | found)
        for name, method in METHODS.items():
            out = folder / name / str(seed)
            marks = json.loads((out / "log.json").read_text())["marks"]
            for mark in MARKS:
                row = {"who": name, "title": method.title, "seed": seed, "seconds": mark}
                row |= {"steps": marks[f"{mark:g}"]["step"]}
                rows.append(row | json.loads((out / f"found-{mark:g}.json").read_text()))
    for name in METHODS:
        models = [loaded(folder / name / str(seed) / f"after-{MARKS[-1]:g}.safetensors") for seed in range(SEEDS)]
        clips = np.concatenate([draw(model, 1, FRAMES, seed) for seed, model in enumerate(models)])
        keep_picture(f"{BENCHMARK.dataset}_{name}_seeds", clips)
    about = {
        "made by": "tests/benchmarks/long_comparison.py", "date": date.today().isoformat(),
        "version": library_version(),
        "machine": f"one thread of {os.cpu_count()}, {platform.machine()}, torch {torch.__version__.split('+')[0]}",
        "width": 0.25, "marks": MARKS, "clips": CLIPS, "matched": MATCHED, "frames": FRAMES,
    }  # fmt: skip
    TABLE.write_text(written(about | {"real": real, "runs": rows}))


if __name__ == "__main__":
    main()
