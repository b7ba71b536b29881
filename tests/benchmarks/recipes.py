"""The recipes that `stable` was chosen from, each trained for the same time on the real actions.

    python tests/benchmarks/recipes.py --seconds 150 --out data/recipes       # all of them, one after another
    python tests/benchmarks/recipes.py --only paper stable --seconds 60       # some

Time is processor time on one core, so that other work on the machine takes nothing from a recipe; nets are a quarter as
wide as the paper's, so that minutes are enough to tell recipes apart. Writes a picture and a JSON file a recipe, and
README.md with the table of all that the folder holds.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from dataclasses import asdict, replace
from pathlib import Path

import torch
from PIL import Image

import animlab
from animlab.presets import PRESETS, Preset

PAPER, STABLE = PRESETS["paper"], PRESETS["stable"]
SMALL_Z = animlab.LabelSpace(n_z=8, n_d=5, n_c=5)
LARGE_Z = animlab.LabelSpace(n_z=62, n_d=5, n_c=5)
RELATIVISTIC = {"norm": "none", "loss": "relativistic", "gamma": 0.1, "lr_g": 4e-4, "lr_d": 4e-4}

# name: (preset, label sizes, what is tried)
RECIPES: dict[str, tuple[Preset, animlab.LabelSpace, str]] = {
    "paper": (PAPER, SMALL_Z, "Tab. 1 and 2 to the letter"),
    "paper-z62": (PAPER, LARGE_Z, "the same with n_z = 62, as InfoGAN is commonly run"),
    "spectral": (replace(PAPER, norm="spectral", ema=0.995), SMALL_Z, "paper, spectral norm for D's batch norm, EMA"),
    "infogan": (replace(STABLE, label_view="plain", lambda_still=0.0), SMALL_Z, "spectral, c centred, λ_c = 20"),
    "no-stillness": (replace(STABLE, lambda_still=0.0), SMALL_Z, "stable without the stillness term"),
    "no-label-view": (replace(STABLE, label_view="plain"), SMALL_Z, "stable, label heads see the frames themselves"),
    "stable": (STABLE, SMALL_Z, "all of it: the preset"),
    "stable-z62": (STABLE, LARGE_Z, "stable with n_z = 62"),
    "stable-not-centred": (replace(STABLE, centre_c=False), SMALL_Z, "stable with c in [0, 1] inside the nets"),
    "stable-no-ema": (replace(STABLE, ema=0.0), SMALL_Z, "stable without the running average of G"),
    "relativistic": (replace(STABLE, **RELATIVISTIC), SMALL_Z, "stable, relativistic loss, R1 + R2 (γ 0.1, lr 4e-4)"),
}


class OutOfTime(Exception):
    """The budget of processor time is spent."""


class Budget(animlab.Callback):
    """Keeps the newest record and ends the run when `seconds` of processor time are spent."""

    def __init__(self, seconds: float) -> None:
        self.end = time.process_time() + seconds
        self.record: animlab.Record | None = None

    def on_step(self, record: animlab.Record) -> None:
        self.record = record
        if time.process_time() > self.end:
            raise OutOfTime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=list(RECIPES), default=list(RECIPES))
    parser.add_argument("--seconds", type=float, default=150)
    parser.add_argument("--width", type=float, default=0.25)
    parser.add_argument("--out", type=Path, default=Path("data/recipes"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    clips = animlab.load_dataset("actions")
    args.out.mkdir(parents=True, exist_ok=True)
    for name in args.only:
        result = train(name, clips, args.seconds, args.width, args.out)
        (args.out / f"{name}.json").write_text(json.dumps(result, indent=2) + "\n")
        print(row(result), flush=True)
    (args.out / "README.md").write_text(table(args.out, clips))


def train(name: str, clips: animlab.Clips, seconds: float, width: float, out: Path) -> dict[str, object]:
    preset, space, tried = RECIPES[name]
    budget = Budget(seconds)
    try:
        animlab.fit(clips, space, preset=preset, steps=10**9, width=width, callbacks=[budget], progress=False)
    except OutOfTime:
        pass
    except animlab.TrainingDiverged as error:
        tried += f"; diverged: {error}"
    record = budget.record
    sweeps = [record.model.animate(d=0, along=j, frames=10, seed=0) for j in range(space.n_c)]
    sweeps.append(record.model.frames(space.sample(10, torch.Generator().manual_seed(0))))
    Image.fromarray(animlab.filmstrip(sweeps)).save(out / f"{name}.jpg", quality=62)
    found = animlab.metrics.label_influence(record.model.generator)
    return {
        "recipe": name,
        "tried": tried,
        "steps": record.step,
        "processor_seconds": seconds,
        "width": width,
        "n_z": space.n_z,
        "dataset": clips.name,
        "machine": f"one core, {platform.machine()}, torch {torch.__version__.split('+')[0]}",
        "losses": record.losses,
        "influence": {label: asdict(value) for label, value in found.items()},
    }


def row(result: dict) -> str:
    c = [value for label, value in result["influence"].items() if label.startswith("c")]
    good = sum(value["strength"] >= 0.25 and value["focus"] >= 0.45 for value in c)
    strengths, focuses = ([value[key] for value in c] for key in ("strength", "focus"))
    d, z = (result["influence"][label]["strength"] for label in "dz")
    return (
        f"| {result['recipe']} | {result['tried']} | {result['steps']:,} | {good} "
        f"| {min(strengths):.2f} to {max(strengths):.2f} | {min(focuses):.2f} to {max(focuses):.2f} "
        f"| {d:.2f} | {z:.2f} | {result['losses']['lambda_c']:.3f} |"
    )


def table(out: Path, clips: animlab.Clips) -> str:
    results = [json.loads(path.read_text()) for name in RECIPES if (path := out / f"{name}.json").exists()]
    real = animlab.metrics.real_influence(clips.frames, clips.clips)
    rows = "\n".join(row(result) for result in results)
    pictures = "\n\n".join(
        f"**{r['recipe']}**: {r['tried']}, {r['steps']:,} steps\n\n"
        f"![{r['recipe']}: rows c0 to c4 from 0 to 1, last row random labels]({r['recipe']}.jpg)"
        for r in results
    )
    first = results[0]
    return f"""# The recipes that `stable` was chosen from

Each recipe trained for {first["processor_seconds"]:.0f} seconds of processor time ({first["machine"]}) on the
{len(clips):,} frames of `{first["dataset"]}`, with networks {first["width"]:g} times as wide as the paper's and
seed 0 (`tests/benchmarks/recipes.py`). Strength and focus are measured by `animlab.metrics.influence` as each c goes
from 0 to 1; real frames that are 8 apart in a clip have strength {real.strength:.2f} and focus {real.focus:.2f}.
"Good c" counts the c with a strength of at least 0.25 and a focus of at least 0.45. The stillness term rewards focus
directly, so judge the recipes that have it by their pictures.

| recipe | what is tried | steps | good c | strength of c | focus of c | strength of d | of z | λ_c at the end |
|---|---|---|---|---|---|---|---|---|
{rows}

[full-nets.md](full-nets.md) repeats the search with networks of full width, which decided on `stable`.
[modern.md](modern.md) describes the search so far for `modern`, the recipe of the residual networks.

In each picture the first five rows show c0 to c4 from 0 (left) to 1 (right), with d = 0 and the same z. The last row
shows random labels.

{pictures}
"""


if __name__ == "__main__":
    main()
