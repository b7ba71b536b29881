"""What n_z, n_c, λ_c and the preset do to the continuous labels: short runs on the stand-ins, three seeds each.

    python tests/benchmarks/continuous_labels.py --out data/results      # about 25 minutes of one core

Writes continuous_labels.json, the table that notebook 03 shows, and continuous_labels.jpg: what those variants draw
that have maps in the table, seed 0, a row for each c_j of each, with c_j = 0 and 1.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import avg_pool2d

import animlab
from animlab.labels import Labels
from animlab.metrics.reading import following
from animlab.presets import PRESETS, Preset, find_preset

SEEDS, STEPS, WIDTH, LABELS = 3, 600, 0.25, 64
ACTIONS, SHAPES = "actions-synthetic", "shapes-synthetic"
STABLE = PRESETS["stable"]
PLAIN = replace(STABLE, label_view="plain", lambda_still=0.0)

# name: (data set, label sizes, preset)
VARIANTS: dict[str, tuple[str, animlab.LabelSpace, Preset | str]] = {
    "stable": (ACTIONS, animlab.LabelSpace(8, 5, 5), STABLE),
    "n_z = 62": (ACTIONS, animlab.LabelSpace(62, 5, 5), STABLE),
    "plain view": (ACTIONS, animlab.LabelSpace(8, 5, 5), PLAIN),
    "plain view, n_z = 62": (ACTIONS, animlab.LabelSpace(62, 5, 5), PLAIN),
    "plain view, n_z = 62, λ_c = 1": (ACTIONS, animlab.LabelSpace(62, 5, 5), replace(PLAIN, lambda_c=1.0)),
    "paper": (ACTIONS, animlab.LabelSpace(8, 5, 5), PRESETS["paper"]),
    "shapes": (SHAPES, animlab.LabelSpace(2, 2, 5), PRESETS["stable-on-black"]),
    "n_z = 2": (ACTIONS, animlab.LabelSpace(2, 5, 5), STABLE),
    "λ_c = 1": (ACTIONS, animlab.LabelSpace(8, 5, 5), replace(STABLE, lambda_c=1.0)),
    "n_c = 1": (ACTIONS, animlab.LabelSpace(8, 5, 1), STABLE),
    "n_c = 2": (ACTIONS, animlab.LabelSpace(8, 5, 2), STABLE),
    "n_c = 10": (ACTIONS, animlab.LabelSpace(8, 5, 10), STABLE),
}
BEYOND = np.round(np.arange(-2, 3.01, 0.2), 1)  # where c is looked at, from far below its range to far above


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("data/results"))
    parser.add_argument("--models", type=Path, default=Path("runs/continuous_labels"), help="where models are kept")
    parser.add_argument("--only", nargs="*", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--seeds", type=int, default=SEEDS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    wanted = [(name, seed) for seed in range(args.seeds) for name in args.only]
    models = {key: trained(*key, args.models) for key in wanted}
    runs = [measured(*key, model) for key, model in models.items()]
    rows = [ends(model) for model, run in zip(models.values(), runs) if "maps" in run]
    shipped = {name: shipped_model(name) for name in ("actions", "shapes")}
    runs.sort(key=lambda run: (list(VARIANTS).index(run["variant"]), run["seed"]))
    lines = ",\n  ".join(json.dumps(run, ensure_ascii=False) for run in runs)
    head = json.dumps(about(), ensure_ascii=False)
    tail = json.dumps(shipped)
    text = f'{{"about": {head},\n "shipped": {tail},\n "runs": [\n  {lines}\n ]\n}}\n'
    (args.out / "continuous_labels.json").write_text(text)
    Image.fromarray(np.concatenate(rows)).save(args.out / "continuous_labels.jpg", quality=88)


def about() -> dict[str, object]:
    """Where the numbers come from."""
    return {
        "made by": "tests/benchmarks/continuous_labels.py",
        "library": animlab.checkpoints.library_version(),
        "steps": STEPS,
        "width": WIDTH,
        "labels": LABELS,
        "beyond": BEYOND.tolist(),
        "machine": f"one of two {platform.machine()} CPU cores, torch {torch.__version__.split('+')[0]}",
        "variants": {
            name: {"dataset": data, "space": asdict(space), "preset": asdict(find_preset(preset))}
            for name, (data, space, preset) in VARIANTS.items()
        },
    }


def shipped_model(name: str) -> dict[str, object]:
    """The same numbers of shipped weights, as far as they need no training; the stand-in is new to them."""
    model = animlab.load(f"pretrained/{name}")
    clips = animlab.load_dataset(f"{name}-synthetic", progress=False)
    return {
        "steps_beyond": [rounded(value) for value in step_sizes(model)],
        "following": follows(model, clips, 0),
    }


def trained(name: str, seed: int, folder: Path) -> animlab.Model:
    """The model of a short run; one that lies in `folder` already is not trained again."""
    data, space, preset = VARIANTS[name]
    place = folder / f"{''.join(letter if letter.isalnum() else '-' for letter in name)}_{seed}"
    if not (place / "model.safetensors").exists():
        clips = animlab.load_dataset(data, progress=False)
        began = time.process_time()
        run = animlab.fit(clips, space, preset=preset, steps=STEPS, seed=seed, width=WIDTH, progress=False)
        run.model.card["processor_seconds"] = round(time.process_time() - began, 1)
        run.model.card |= {name: rounded(run.history[name][-50:].mean()) for name in ("lambda_d", "lambda_c")}
        animlab.save(run.model, place)
        print(name, seed, run.model.card["lambda_c"], flush=True)
    return animlab.load(place)


def measured(name: str, seed: int, model: animlab.Model) -> dict[str, object]:
    data, space, preset = VARIANTS[name]
    clips = animlab.load_dataset(data, progress=False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1000 + seed)
        blank = animlab.Discriminator(space, 3, WIDTH, find_preset(preset).centre_c, find_preset(preset).norm)
    influences = animlab.metrics.label_influence(model.generator, LABELS)
    found = {
        "variant": name,
        "seed": seed,
        **{key: model.card[key] for key in ("processor_seconds", "precision", "lambda_d", "lambda_c")},
        "influence": {label: {k: rounded(v) for k, v in asdict(i).items()} for label, i in influences.items()},
        "coarse": [rounded(coarse_share(change(model, j))) for j in range(space.n_c)],
        "steps_beyond": [rounded(value) for value in step_sizes(model)],
        "following": follows(model, clips, seed),
        "following_untrained": follows(animlab.Model(model.generator, blank), clips, seed),
    }
    if seed == 0 and space.n_c == 5 and data == ACTIONS:
        found["maps"] = [np.rint(each * 1000).astype(int).tolist() for each in maps(model)]
    return found


def rounded(value: float) -> float:
    return round(float(value), 4)


def maps(model: animlab.Model) -> list[np.ndarray]:
    """The influence map of each c_j, (16, 16): |Δ| as animlab.metrics.influence sees it, mean over the labels."""
    changes = [change(model, j) for j in range(model.space.n_c)]
    return [avg_pool2d(each, 4).abs().mean(dim=(0, 1)).numpy() for each in changes]


def change(model: animlab.Model, j: int) -> torch.Tensor:
    """What c_j from 0 to 1 changes in pictures of random labels, less its mean colour."""
    base = model.space.sample(LABELS, torch.Generator().manual_seed(0))
    delta = drawn(model, base, j, 1.0) - drawn(model, base, j, 0.0)
    return delta - delta.mean(dim=(2, 3), keepdim=True)


def coarse_share(delta: torch.Tensor) -> float:
    """The share of a change (N, C, H, W) that a 4×4 blur leaves, by energy: 0 for fine texture, 1 for large blots."""
    left = 16 * avg_pool2d(delta, 4).square().sum(dim=(1, 2, 3))
    return (left / delta.square().sum(dim=(1, 2, 3)).clamp_min(1e-8)).mean().item()


@torch.inference_mode()
def drawn(model: animlab.Model, base: Labels, j: int, value: float) -> torch.Tensor:
    """The pictures of `base` with every c_j set to `value`."""
    c = base.c.clone()
    c[:, j] = value
    return model.generator(Labels(base.z, base.d, c))


def ends(model: animlab.Model) -> np.ndarray:
    """A row for each c_j: one label with c_j = 0 and with c_j = 1."""
    return animlab.filmstrip([model.animate(d=1, along=j, frames=2, seed=1) for j in range(model.space.n_c)], gap=0)


def step_sizes(model: animlab.Model) -> np.ndarray:
    """How far a picture moves as a c_j goes from each value of BEYOND to the next: mean |Δ| in grey levels of 255."""
    base = model.space.sample(LABELS // 4, torch.Generator().manual_seed(1))
    total = np.zeros(len(BEYOND) - 1)
    for j in range(model.space.n_c):
        pictures = [drawn(model, base, j, float(value)) for value in BEYOND]
        total += [127.5 * (after - before).abs().mean().item() for before, after in pairwise(pictures)]
    return total / model.space.n_c


def follows(model: animlab.Model, clips: animlab.Clips, seed: int) -> dict[str, dict[str, float]]:
    """How closely D's c' follow the true motion on clips it never saw as clips, and what chance gives.

    best: |ρ| of the best c_j of each clip. chosen: ρ of the c_j, with its sign, that did best on the other half of the
    clips of the class. shuffled: best, against the factor in random order. stranger: best, against the factor of the
    next clip of the class. Each the mean over clips. frames: |ρ| of the best c_j over all frames of all clips at once.
    """
    _, _, c = model.read(clips.frames)
    table, rng = clips.clips, np.random.default_rng(seed)
    found = {}
    for factor, values in factors(clips).items():
        rho = np.nan_to_num(following(c, values, table))
        mixed, strange = values.copy(), values.copy()
        for kind in np.unique(table["class"]):
            same = table[table["class"] == kind]
            for row, other in zip(same, np.roll(same, 1)):
                rows = slice(row["start"], row["start"] + row["length"])
                mixed[rows] = rng.permutation(values[rows])
                strange[rows] = values[other["start"] : other["start"] + other["length"]]
        scores = {
            "best": np.abs(rho).max(axis=1),
            "mean": np.abs(rho).mean(axis=1),
            "chosen": chosen(rho, table["class"]),
            "shuffled": np.abs(np.nan_to_num(following(c, mixed, table))).max(axis=1),
            "stranger": np.abs(np.nan_to_num(following(c, strange, table))).max(axis=1),
        }
        found[factor] = {name: rounded(score.mean()) for name, score in scores.items()}
        whole = np.array([(0, len(values))], dtype=[("start", int), ("length", int)])
        found[factor]["frames"] = rounded(np.abs(following(c, values, whole)).max())
    return found


def factors(clips: animlab.Clips) -> dict[str, np.ndarray]:
    if clips.name == SHAPES:
        return {name: clips.factors[name] for name in ("x", "y")}
    return {"swing": (1 - np.cos(2 * np.pi * clips.factors["phase"])) / 2}


def chosen(rho: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """ρ of each clip for the c_j that follows best, on average and with its sign, on the other half of its class."""
    score = np.empty(len(rho))
    for kind in np.unique(classes):
        rows = np.flatnonzero(classes == kind)
        for mine, others in ((rows[::2], rows[1::2]), (rows[1::2], rows[::2])):
            mean = rho[others].mean(axis=0)
            j = np.abs(mean).argmax()
            score[mine] = np.sign(mean[j]) * rho[mine, j]
    return score


if __name__ == "__main__":
    main()
