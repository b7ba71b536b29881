"""How near each shipped model comes to given pictures: animlab.invert on what it knows, nearly knows and never saw.

    python tests/benchmarks/inversion.py                    # all models, some minutes of one core each
    python tests/benchmarks/inversion.py actions faces3d    # these; the others' rows stay
    python tests/benchmarks/inversion.py picture            # only the picture

Rows of a model, COUNT pictures each: its own drawings, whose labels are known; frames it was trained on; new frames
(`new_frames` says which); the same with a quarter missing, where psnr and ssim are of what is known and "missing psnr"
is of the rest; frames of the other sets. Chance, for the new frames: the nearest of NEAREST training frames, looked for
by the whole frame, and a random picture of the model. Prints the rows and writes data/results/inversion.json and
data/pictures/inversion.jpg.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from results import written

import animlab
from animlab.datasets.digits import find_digits, read_digits
from animlab.datasets.face_motion import render_faces
from animlab.datasets.ict_facekit import read_ict
from animlab.datasets.moving_mnist import render_moving_digits
from animlab.datasets.synthetic_shapes import render_shapes
from animlab.metrics import psnr, ssim

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("ANIMLAB_DATA", ROOT / "data"))
FILE = ROOT / "data" / "results" / "inversion.json"
PICTURE = ROOT / "data" / "pictures" / "inversion.jpg"
SETS = "actions", "faces3d", "moving-mnist", "shapes"
COUNT, NEAREST = 6, 5000
SEED = 977  # of new frames; the sets are made with 0
MOVED = 6  # pixels; training moved what D saw by up to 4
SHOWN = {"actions": (1, 3), "faces3d": (1, 4), "moving-mnist": (0, 3), "shapes": (1, 4)}
SWEPT = 5  # c at most in the picture


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", help="shipped models; all, and the picture")
    args = parser.parse_args()
    torch.set_num_threads(1)
    for name in args.models or (*SETS, "picture"):
        if name == "picture":
            draw()
            continue
        found = measure(name)
        kept = json.loads(FILE.read_text())["rows"] if FILE.exists() else []
        rows = sorted([row for row in kept if row["model"] != name] + found, key=lambda row: SETS.index(row["model"]))
        machine = f"one thread, {platform.machine()}, torch {torch.__version__.split('+')[0]}"
        head = {"made by": "tests/benchmarks/inversion.py", "pictures a row": COUNT, "machine": machine}
        FILE.write_text(written(head | {"rows": rows}))
        for row in found:
            print(f"{name:14}{row['pictures']:34}{row['psnr']:7.2f}{row['ssim']:7.3f}", flush=True)


def measure(name: str) -> list[dict[str, Any]]:
    """The rows of one shipped model."""
    model = animlab.load(f"pretrained/{name}")
    rng = np.random.default_rng(SEED)
    fresh, seen = new_frames(name), training_frames(name, NEAREST, rng)
    others = [training_frames(other, COUNT // 3, rng) for other in SETS if other != name]
    labels = model.space.sample(COUNT, torch.Generator().manual_seed(SEED))
    known = np.ones((64, 64), bool)
    known[32:, 32:] = False

    def row(pictures: str, frames: np.ndarray, known: np.ndarray | None = None) -> dict[str, Any]:
        began = time.process_time()
        found = [animlab.invert(model, frame, known, progress=False) for frame in frames]
        taken = (time.process_time() - began) / len(frames)
        scores: dict[str, Any] = {"model": name, "pictures": pictures}
        scores |= summary([each.psnr for each in found], [each.ssim for each in found])
        if pictures == "its own drawings":
            right = [each.labels.d.argmax() == d.argmax() for each, d in zip(found, labels.d)]
            scores["d right"] = float(np.mean(right))
        if known is not None:
            missing = [psnr(each.frame[None, 32:, 32:], frame[None, 32:, 32:])[0] for each, frame in zip(found, frames)]
            scores["missing psnr"] = float(np.mean(missing))
        return scores | {"processor seconds": taken}

    def chance(pictures: str, frames: np.ndarray) -> dict[str, Any]:
        scores = summary(psnr(frames, fresh), ssim(frames, fresh))
        corner = psnr(frames[:, 32:, 32:], fresh[:, 32:, 32:])
        return {"model": name, "pictures": pictures} | scores | {"missing psnr": float(corner.mean())}

    near = [((seen.astype(np.float32) - frame) ** 2).mean(axis=(1, 2, 3)).argmin() for frame in fresh]
    return [
        row("its own drawings", model.frames(labels)),
        row("training frames", seen[:COUNT]),
        row("new frames", fresh),
        row("new frames, a quarter missing", fresh, known),
        row("frames of other sets", np.concatenate([in_channels(each, model) for each in others])),
        chance("chance: nearest training frame", seen[near]),
        chance("chance: random picture", model.frames(labels)),
    ]


def summary(p: Any, s: Any) -> dict[str, float]:
    return {"psnr": float(np.mean(p)), "least psnr": float(np.min(p)), "ssim": float(np.mean(s))}


def new_frames(name: str, count: int = COUNT) -> np.ndarray:
    """Frames that the model was not trained on: made with another seed; of the actions, of which it was trained on all,
    frames moved to the left, their edge repeated; of the shapes, whose renderer is not published, the stand-in's."""
    if name == "actions":
        frames = training_frames(name, count, np.random.default_rng(SEED + 1))
        return np.pad(frames, ((0, 0), (0, 0), (0, MOVED), (0, 0)), "edge")[:, :, MOVED:]
    if name == "faces3d":
        clips = render_faces(read_ict(DATA), count, 8, SEED)
    elif name == "moving-mnist":
        clips = render_moving_digits(*read_digits(find_digits(DATA)), count, seed=SEED)
    else:
        clips = render_shapes(count, seed=SEED)
    return np.stack([clip.frames[len(clip.frames) // 2] for clip in islice(clips, count)])


def training_frames(name: str, count: int, rng: np.random.Generator) -> np.ndarray:
    clips = animlab.load_dataset(name, progress=False)
    return clips.frames[rng.choice(len(clips), count, replace=False)]


def in_channels(frames: np.ndarray, model: animlab.Model) -> np.ndarray:
    """Grey frames in colour, colour frames in grey, or as they are."""
    if frames.shape[3] == model.generator.channels:
        return frames
    if frames.shape[3] == 1:
        return frames.repeat(3, axis=3)
    return frames.mean(axis=3, keepdims=True).round().astype(np.uint8)


def draw() -> None:
    """Rows of the picture: a new frame, what was found, then both ends of each c, at most SWEPT of them."""
    strips = []
    for name, chosen in SHOWN.items():
        model, fresh = animlab.load(f"pretrained/{name}"), new_frames(name)
        for k in chosen:
            found = animlab.invert(model, fresh[k], progress=False)
            sweeps = [model.animate(labels=found.labels, along=j, frames=2) for j in range(model.space.n_c)[:SWEPT]]
            strip = np.concatenate([fresh[k][None], found.frame[None], *sweeps])
            strips.append(strip.repeat(3 // strip.shape[3], axis=3))
    Image.fromarray(animlab.filmstrip(strips)).save(PICTURE, quality=88)


if __name__ == "__main__":
    main()
