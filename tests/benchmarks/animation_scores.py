"""What models score by the two protocols of animlab.metrics, beside what real clips and noise score.

    python tests/benchmarks/animation_scores.py                         # a quarter of an hour of one core
    python tests/benchmarks/animation_scores.py --data moving-mnist     # these rows anew; the others stay
    python tests/benchmarks/animation_scores.py --parts match copying   # these tables anew; the others stay

match: sweeps of c against their best-matching real windows (Tab. 4: 10 frames of the actions, FD against 7,000 frames
or all there are; Tab. 5: 5 frames of Moving MNIST, 20,000), over several seeds; PSNR and SSIM of a few animations, FD
of the frames of many. redraw: given clips redrawn by gradient descent through G. copying: are samples nearer to the
training frames than new real frames are? labels: what c' and d' of models of the shapes, the shipped one and one that
is trained here on the synthetic version, know of its true factors.

The shipped models were trained on all clips of their sets, so no clip of the actions is new to them; "held out" is a
narrow model trained here on four fifths of the takes, and its clips are the rest. Clips of Moving MNIST are new with a
new seed: the same handwritten digits in other pairs, on other ways.
"""

from __future__ import annotations

import argparse
import json
import platform
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from results import written
from scipy.ndimage import gaussian_filter

import animlab
from animlab import metrics
from animlab.checkpoints import library_version
from animlab.datasets.digits import load_digits
from animlab.datasets.moving_mnist import render_moving_digits
from animlab.metrics.matching import windows

ROOT = Path(__file__).resolve().parents[2]
SETS = {"actions": (10, 7_000), "moving-mnist": (5, 20_000)}  # frames of an animation, real frames of FD
SEEDS, COUNT, NOISE = 3, 16, 3  # draws of everything, animations of a row that are matched
ANIMATIONS = 200  # those that FD is made of: 2,000 frames of the actions, 1,000 of the digits, for 64 features
CLIPS, STEPS = 8, 60  # to redraw, and how long
SAMPLES = 100  # frames whose nearest training frame is looked for
HELD_OUT = {"share": 0.2, "seed": 0, "width": 0.25, "steps": 2_000, "preset": "stable"}
SYNTHETIC: dict[str, Any] = {
    "data": "shapes-synthetic", "width": 0.25, "steps": 1_500, "batch": 32, "preset": "stable-on-black", "seed": 0,
}  # fmt: skip
FACTORS = ["x", "y", "size", "r", "g", "b"]  # of the synthetic shapes, beside their kind
READ = 1_500  # frames that labels are read off
PARTS = ["match", "redraw", "copying", "labels"]
FILE = "animation_scores.json"
Models = dict[str, Any]  # by the name of their data; "held out" is the one trained here; None where none is shipped


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="*", choices=list(SETS), default=list(SETS))
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=PARTS)
    parser.add_argument("--out", type=Path, default=ROOT / "data" / "results")
    parser.add_argument("--models", type=Path, default=ROOT / "runs" / "animation_scores", help="where models are kept")
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    file = args.out / FILE
    kept = json.loads(file.read_text()) if file.exists() else {}
    models = {name: shipped(name) for name in (*SETS, "shapes")} | {"held out": trained(args.models)}
    measures = {"match": match, "redraw": redraw, "copying": copying}
    for part in args.parts:
        if part == "labels":
            kept[part] = labels(models["shapes"], trained_on_synthetic(args.models))
        else:
            rows = {data: [row for row in kept.get(part, []) if row["data"] == data] for data in SETS}
            kept[part] = [
                row for data in SETS for row in (measures[part](data, models) if data in args.data else rows[data])
            ]
        kept["dates"] = kept.get("dates", {}) | {part: date.today().isoformat()}
        found = {key: kept[key] for key in ("dates", *PARTS) if key in kept}
        file.write_text(written(about(models["held out"]) | found))  # a table at a time, since each takes minutes


def about(held_out: animlab.Model) -> dict[str, Any]:
    return {
        "made by": "tests/benchmarks/animation_scores.py",
        "version": library_version(),
        "machine": f"one thread, {platform.machine()}, torch {torch.__version__.split('+')[0]}",
        "features": metrics.load_features("animlab").name,
        "distance": metrics.load_features("animlab").distance,
        "seeds": SEEDS, "animations of a row": COUNT, "of noise": NOISE, "animations of FD": ANIMATIONS,
        "clips redrawn": CLIPS, "steps": STEPS,
        "held out": HELD_OUT | {"frames": held_out.card["frames"]}, "synthetic": SYNTHETIC,
    }  # fmt: skip


def trained(folder: Path) -> animlab.Model:
    """The model of the actions that has not seen a fifth of the takes; one in `folder` is not trained again."""
    place = folder / "held_out"
    if not (place / "model.safetensors").exists():
        train, _ = split()
        run = animlab.fit(
            train, animlab.LabelSpace(8, 5, 5), preset=HELD_OUT["preset"], steps=HELD_OUT["steps"],
            seed=HELD_OUT["seed"], width=HELD_OUT["width"], progress=False,
        )  # fmt: skip
        run.model.card["frames"] = len(train)
        animlab.save(run.model, place)
    return animlab.load(place)


def trained_on_synthetic(folder: Path) -> animlab.Model:
    """A small model of the synthetic shapes, whose factors are known; one in `folder` is not trained again."""
    place = folder / "synthetic"
    if not (place / "model.safetensors").exists():
        clips = animlab.load_dataset(SYNTHETIC["data"], progress=False)
        recipe = replace(animlab.PRESETS[SYNTHETIC["preset"]], batch=SYNTHETIC["batch"])
        run = animlab.fit(
            clips, animlab.LabelSpace(2, 2, 6), preset=recipe, steps=SYNTHETIC["steps"], seed=SYNTHETIC["seed"],
            width=SYNTHETIC["width"], progress=False,
        )  # fmt: skip
        animlab.save(run.model, place)
    return animlab.load(place)


def labels(shipped_shapes: animlab.Model, small: animlab.Model) -> list[dict[str, Any]]:
    """How c' goes with place, size and colour, d' with circle or square: read off synthetic frames."""
    clips = animlab.load_dataset(SYNTHETIC["data"], progress=False)
    rows = np.sort(np.random.default_rng(0).choice(len(clips), READ, replace=False))
    true = np.stack([clips.factors[name][rows] for name in FACTORS], axis=1)
    kind = clips.factors["kind"][rows].round().astype(int)
    found = []
    for who, model in {
        "shipped, of the published shapes": shipped_shapes,
        "trained on the synthetic version": small,
    }.items():
        _, d, c = model.read(clips.frames[rows])
        known, same = metrics.dci(c, true), metrics.agreement(d.argmax(axis=1), kind)
        row = {"who": who, "MIG": metrics.mig(c, true), "SAP": metrics.sap(c, true)} | vars(known) | vars(same)
        found.append({"data": SYNTHETIC["data"]} | row | {"lambda_c": read_back(model)})
        print(found[-1], flush=True)
    return found


def read_back(model: animlab.Model) -> float:
    """λ_c on the model's own pictures: the mean squared error of c', 1/12 for guessing the middle."""
    drawn = model.space.sample(READ, torch.Generator().manual_seed(0))
    _, _, c = model.read(model.frames(drawn))
    return float(((c - drawn.c.numpy()) ** 2).mean())


def split() -> tuple[animlab.Clips, animlab.Clips]:
    return animlab.load_dataset("actions", progress=False).split(HELD_OUT["share"], HELD_OUT["seed"])


def shipped(name: str) -> animlab.Model | None:
    folder = ROOT / "data" / "pretrained" / name
    return animlab.load(folder) if (folder / "model.safetensors").is_file() else None


def new_digits(clips: int) -> np.ndarray:
    """Clips of Moving MNIST that the data set does not hold: uint8 (clips, 20, 64, 64, 1)."""
    made = render_moving_digits(*load_digits(progress=False), clips, seed=1)
    return np.stack([clip.frames for clip in made])


def match(data: str, models: Models) -> list[dict[str, Any]]:
    rows = []
    length, real_frames = SETS[data]
    clips = animlab.load_dataset(data, progress=False)
    judged = {"shipped": models[data]} | ({"held out": models["held out"]} if data == "actions" else {})
    for seed in range(SEEDS):
        protocol = metrics.AnimationProtocol(clips, "animlab", real_frames, seed)
        scored = {}
        for who, model in judged.items():
            if model is not None:
                animations = metrics.random_sweeps(model, length, ANIMATIONS, seed)
                scored[who] = protocol.score(animations[:COUNT], samples=animations)
        scored["real"] = protocol.real(length, COUNT, ANIMATIONS)
        scored["noise"] = protocol.noise(length, NOISE, ANIMATIONS)
        for who, one in scored.items():
            numbers = {key: value for key, value in vars(one).items() if key != "matches"}
            rows.append({"data": data, "who": who, "seed": seed} | numbers)
            print(rows[-1], flush=True)
    return rows


def redraw(data: str, models: Models) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    length, mine = SETS[data][0], models[data]
    tasks: list[tuple[str, str, animlab.Model, np.ndarray]] = []
    if data == "actions":
        seen, new = (windows(part, length, CLIPS, rng)[0] for part in split())
        tasks += [("held out", "new", models["held out"], new), ("held out", "seen", models["held out"], seen)]
        tasks += [("shipped", "seen", mine, new), ("shipped shapes", "new", models["shapes"], new)]
    elif mine is not None:
        clips = animlab.load_dataset(data, progress=False)
        tasks.append(("shipped", "new", mine, new_digits(CLIPS)[:, :length]))
        tasks.append(("shipped", "seen", mine, windows(clips, length, CLIPS, rng)[0]))
    rows = []
    for who, which, one, targets in tasks:
        found = metrics.inversion_protocol(one, targets, STEPS)
        row = {k: v for k, v in vars(found).items() if k != "reconstructions"}
        each = [metrics.psnr(again.frames, clip).mean() for again, clip in zip(found.reconstructions, targets)]
        rows.append({"data": data, "who": who, "clips": which} | row | {"each_psnr": each})
        print(rows[-1], flush=True)
    return rows


def copying(data: str, models: Models) -> list[dict[str, Any]]:
    """Held against frames that the model has not seen; the shipped one of the actions, which has seen all, against
    frames of the set and their nearest in OTHER recordings."""
    rng = np.random.default_rng(0)

    def drawn(model: animlab.Model) -> np.ndarray:
        return model.frames(model.space.sample(SAMPLES, torch.Generator().manual_seed(0)))

    def some(frames: np.ndarray) -> np.ndarray:
        return frames[np.sort(rng.choice(len(frames), SAMPLES, replace=False))]

    clips = animlab.load_dataset(data, progress=False)
    if data == "actions":
        train, test = split()
        real, planted = some(test.frames), some(train.frames)
    else:
        train, real, planted = clips, some(new_digits(SAMPLES).reshape(-1, 64, 64, 1)), some(clips.frames)
    blurred = gaussian_filter(real.astype(np.float32), (0, 1.5, 1.5, 0)).round().astype(np.uint8)
    matcher = metrics.Matcher(train)
    subjects: dict[str, np.ndarray] = {"real, blurred": blurred, "copies": planted}
    if data == "actions":
        subjects = {"held out": drawn(models["held out"])} | subjects
    elif models[data] is not None:
        subjects = {"shipped": drawn(models[data])} | subjects
    answers = {who: metrics.copying(samples, matcher, real) for who, samples in subjects.items()}
    if data == "actions" and models[data] is not None:
        rows_seen = np.sort(rng.choice(len(clips), SAMPLES, replace=False))
        takes = np.repeat(clips.clips["take"], clips.clips["length"])[rows_seen]
        answers["shipped"] = metrics.copying(drawn(models[data]), clips, clips.frames[rows_seen], takes)
    rows = []
    for who, found in answers.items():
        row = {"data": data, "who": who, "nearer": found.nearer, "ratio": found.ratio}
        rows.append(row | {"median": np.median(found.samples), "median_held_out": np.median(found.held_out)})
        print(rows[-1], flush=True)
    return rows


if __name__ == "__main__":
    main()
