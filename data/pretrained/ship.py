"""Turns a finished run into shipped weights.

    python data/pretrained/ship.py runs/actions actions --hours 2.5 --seen c0="raises the right arm" c1="bends"

The run is a folder that animlab.fit wrote, or a file such as its best.safetensors. Writes data/pretrained/NAME/:
model.safetensors (G and D; large weights as int8, all else as float16), card.json, README.md (the model card) and
pictures. A D of more than four million weights, such as the paper's, mostly judges realism and is not worth its room:
a small one takes its place, trained by stage 1 alone on what the finished G draws.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import shutil
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

import animlab
from animlab import losses, metrics
from animlab.augment import VIEWS
from animlab.frames import to_tensor
from animlab.networks import Network, architecture_of, build
from animlab.presets import Preset, name_of

HERE = Path(__file__).resolve().parent
LARGEST_D, READER_WIDTH, READER_STEPS, BATCH = 4_000_000, 0.25, 1500, 64
COPIES = 300  # samples, and real frames, whose nearest training frames are looked for
LICENCES = {"faces3d": "mit"}  # of the data, where they have a name; the others' terms stand in data/README.md


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder that animlab.fit wrote, or a .safetensors file in it")
    parser.add_argument("name", help="name to ship under, such as actions")
    parser.add_argument("--seen", nargs="*", default=[], help='what a viewer sees, such as c0="raises the right arm"')
    parser.add_argument("--hours", type=float, help="how long the training took, for the card")
    parser.add_argument("--machine", help="where it was trained, in words, if not here")
    parser.add_argument("--note", default="", help="a sentence on what the model cannot do")
    parser.add_argument("--z", type=int, default=3, help="seed of z in the pictures")
    args = parser.parse_args()
    seen = dict(item.split("=", 1) for item in args.seen)
    ship(args.run, HERE / args.name, seen, args.hours, args.machine, args.note, args.z)
    print((HERE / args.name / "README.md").read_text())


def ship(
    run: Path,
    folder: Path,
    seen: dict[str, str],
    hours: float | None = None,
    machine: str | None = None,
    note: str = "",
    z: int = 3,
) -> None:
    """Writes the model of `run` with its card and its pictures into `folder`, in place of what is there."""
    model = animlab.load(run)
    clips = animlab.load_dataset(model.card["dataset"])
    if clips.name != model.card["dataset"]:
        learned = model.card["dataset"]
        raise ValueError(f"The run learned from {learned!r}, but only {clips.name!r} is here to measure with.")
    preset = Preset(**model.card["preset_values"])
    if model.discriminator is None or sum(p.numel() for p in model.discriminator.parameters()) > LARGEST_D:
        model.discriminator = train_reader(model, clips.frames, READER_STEPS)
    found = metrics.label_influence(model.generator, pairs=512)
    here = f"{os.cpu_count()} cores, {platform.machine()}, no GPU, torch {torch.__version__.split('+')[0]}"
    model.card |= {
        "preset": name_of(preset),
        "preset_values": asdict(preset),
        "frames": len(clips),
        "clips": len(clips.clips),
        "machine": machine or here,
        "hours": hours,
        "note": note,
        "seen": seen,
        "influence": {name: asdict(value) for name, value in found.items()},
        "real_influence": asdict(metrics.real_influence(clips.frames, clips.clips)),
        "reader": reader_quality(model),
        "copying": copying_of(model, clips),
    }
    unfinished = folder.with_name(f".{folder.name}")
    shutil.rmtree(unfinished, ignore_errors=True)
    animlab.save(model, unfinished, torch.int8)
    (unfinished / "card.json").write_text(json.dumps(model.card, indent=2) + "\n")
    draw(animlab.load(unfinished), clips, unfinished, z)
    (unfinished / "README.md").write_text(describe(folder.name, model))
    shutil.rmtree(folder, ignore_errors=True)
    unfinished.rename(folder)


def train_reader(model: animlab.Model, frames: np.ndarray, steps: int, seed: int = 0) -> Network:
    """Stage 1 alone: a narrow D learns to tell real frames from the finished G's and to read the labels off these."""
    preset = Preset(**model.card["preset_values"])
    view = VIEWS.get(preset.label_view)
    rng = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        _, reader = build(
            preset.architecture, model.space, model.generator.channels, width=READER_WIDTH, **preset.network_options
        )
    optimizer = torch.optim.Adam(reader.parameters(), 1e-3, preset.betas, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in tqdm(range(steps), desc="reader"):
        real = to_tensor(frames[torch.randint(len(frames), (BATCH,), generator=rng).numpy()])
        labels = model.space.sample(BATCH, rng)
        with torch.no_grad():
            fake = model.generator(labels)
        seen = view(fake, partial(torch.rand, generator=rng)) if view else fake
        logit, d_logits, c_hat = reader(torch.cat([real, fake, seen]))
        d, c = labels.d.repeat(2, 1), labels.c.repeat(2, 1)
        label_loss = losses.discrete_loss(d_logits[BATCH:], d) + preset.lambda_c * losses.continuous_loss(
            c_hat[BATCH:], c
        )
        loss = losses.total_loss(logit[:BATCH], logit[BATCH : 2 * BATCH], label_loss)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return reader


def reader_quality(model: animlab.Model) -> dict[str, object]:
    """How well the small D reads fresh fakes: share of right d, and 1 - MSE / variance (R²) of each c."""
    labels = model.space.sample(2048, torch.Generator().manual_seed(1))
    _, d, c = model.read(model.frames(labels))
    error = ((c - labels.c.numpy()) ** 2).mean(axis=0) * 12  # the variance of U(0, 1) is 1/12
    right = (d.argmax(axis=1) == labels.d.argmax(dim=1).numpy()).mean()
    return {"d_right": round(float(right), 3), "c_r2": [round(float(1 - e), 3) for e in error]}


def copying_of(model: animlab.Model, clips: animlab.Clips) -> dict[str, float]:
    """How near samples lie to training frames, beside how near real frames lie to those of other recordings."""
    rows = np.sort(np.random.default_rng(0).choice(len(clips), min(COPIES, len(clips)), replace=False))
    owner = np.searchsorted(clips.clips["start"], rows, side="right") - 1
    samples = model.frames(model.space.sample(len(rows), torch.Generator().manual_seed(0)))
    found = metrics.copying(samples, clips, clips.frames[rows], clips.clips["take"][owner])
    return {
        "nearer": round(found.nearer, 3),
        "median distance of samples": round(float(np.median(found.samples)), 2),
        "median distance of real frames": round(float(np.median(found.held_out)), 2),
    }


def draw(model: animlab.Model, clips: animlab.Clips, folder: Path, seed: int) -> None:
    """The pictures of the card.

    filmstrip: each c from 0 to 1, and c0, c1, … one by one; clips: each d; samples: random labels; nearest: samples
    over the training frames that lie nearest to them; animation.webp: eight drawings, two rows of four, moved by c.
    The clips move the c of most strength times focus, since what changes all over is more often a colour than a
    movement, and the animation the four c of most.
    """
    space = model.space
    lively = liveliest(model.card["influence"])
    best = lively[0]
    sweeps = [model.animate(d=0, along=j, frames=12, seed=seed) for j in range(space.n_c)]
    for j, sweep in enumerate(sweeps):
        save(sweep, folder / f"c{j}.jpg")
    save(np.stack(sweeps), folder / "filmstrip.jpg")
    save(
        np.stack([model.animate(d=d, along=best, frames=12, seed=seed) for d in range(min(space.n_d, 10))]),
        folder / "clips.jpg",
    )
    samples = model.frames(space.sample(48, torch.Generator().manual_seed(0)))
    save(samples.reshape(4, 12, *samples.shape[1:]), folder / "samples.jpg")
    rows, _ = metrics.nearest_frames(samples[:12], clips)
    save(np.stack([samples[:12], clips.frames[rows]]), folder / "nearest.jpg")
    frames = moving(model, lively, seed)
    first, *rest = (Image.fromarray(frame.repeat(2, axis=0).repeat(2, axis=1)) for frame in frames)
    first.save(folder / "animation.webp", save_all=True, append_images=rest, duration=80, loop=0, quality=60, method=6)


def liveliest(influence: dict[str, dict[str, float]]) -> list[int]:
    """The four c of most strength times focus, the liveliest first."""
    c = [value["strength"] * value["focus"] for label, value in influence.items() if label.startswith("c")]
    return sorted(range(len(c)), key=lambda j: -c[j])[:4]


def moving(model: animlab.Model, along: list[int], seed: int, drawings: int = 8, each: int = 14) -> list[np.ndarray]:
    """Frames of two rows of drawings of random z: one c after another goes up, down and back to the middle."""
    space = model.space
    d = torch.eye(space.n_d)[torch.arange(drawings) % space.n_d]
    labels = replace(space.sample(drawings, torch.Generator().manual_seed(seed)), d=d)
    frames = []
    for j in sorted(along):
        for moment in range(each):
            labels.c[:] = 0.5
            labels.c[:, j] += 0.5 * math.sin(2 * math.pi * moment / each)
            drawn = model.frames(labels)
            frames.append(animlab.filmstrip(drawn.reshape(2, -1, *drawn.shape[1:])))
    return frames


def save(clips: np.ndarray, path: Path) -> None:
    """A filmstrip, which twelve frames make about as wide as a page."""
    Image.fromarray(animlab.filmstrip(clips)).save(path, quality=85)


def describe(name: str, model: animlab.Model) -> str:
    """The model card, in Markdown with the head that model hubs read."""
    card, space, g = model.card, model.space, model.generator
    seen, real = card["seen"], card["real_influence"]
    batch = card["preset_values"]["batch"]
    seen_frames = card["steps"] * batch
    passes = f"{seen_frames:,} frames seen, {seen_frames / card['frames']:.1f} passes"
    rows = "\n".join(
        f"| {label} | {value['strength']:.2f} | {value['focus']:.2f} | {seen.get(label, '')} |"
        for label, value in card["influence"].items()
    )
    strips = "\n\n".join(
        f"**c{j}**{': ' + seen[f'c{j}'] if f'c{j}' in seen else ''}\n\n"
        f"![c{j} from 0 on the left to 1 on the right, d = 0](c{j}.jpg)"
        for j in range(space.n_c)
    )
    hours = card["hours"] or 0.0
    took = f", {hours:.1f} hours" if hours >= 1 else f", {60 * hours:.0f} minutes" if hours else ""
    reads = ", ".join(f"{r:.2f}" for r in card["reader"]["c_r2"])
    weights, d_weights = (sum(p.numel() for p in net.parameters()) for net in (g, model.discriminator))
    copied = card["copying"]
    moved = ", ".join(f"c{j}" for j in sorted(liveliest(card["influence"])))
    return f"""---
library_name: animlab
pipeline_tag: unconditional-image-generation
license: {LICENCES.get(card["dataset"], "other")}
license_name: {"mit" if card["dataset"] in LICENCES else "research-and-teaching-only"}
datasets: [{card["dataset"]}]
tags: [gan, infogan, animation, self-supervised]
---

# {name}: model card

`animlab.load("pretrained/{name}")` loads the {architecture_of(g)} networks at width {g.width:g}, with
n_z = {space.n_z}, n_d = {space.n_d} and n_c = {space.n_c}. G has {weights:,} weights; D, which reads labels
from frames, has {d_weights:,}. Large weight tensors are stored as int8 with one scale for each row or output channel,
everything else as float16. {card["note"]}

| property | value |
|---|---|
| data | `{card["dataset"]}`: {card["frames"]:,} frames of {card["clips"]:,} clips, shuffled; terms in data/README.md |
| preset | `{card["preset"]}`, batch {batch}, {card["precision"]} |
| training | {card["steps"]:,} steps: {passes}{took}, seed {card["seed"]} |
| machine | {card["machine"]} |
| made by | `data/pretrained/ship.py` of animlab {animlab.checkpoints.library_version()} |

![Eight generated pictures in two rows; one c after another goes up, down and back to its middle.](animation.webp)

`make player` writes `runs/player-{name}.html`, a page that plays this model in any browser, without Python.

## Influence of each label

`animlab.metrics.label_influence` measures strength (how much changes) and focus (how local the change is) over 512
random labels, as c goes from 0 to 1 and as d and z are replaced by others. For comparison, real frames that are 8
apart in a clip have strength {real["strength"]:.2f} and focus {real["focus"]:.2f}.
{
        "The stillness term of this preset rewards each c for changing a small area, so do not judge by focus alone: "
        "look at the pictures."
        if card["preset_values"]["lambda_still"]
        else ""
    }

| label | strength | focus | what a viewer sees |
|---|---|---|---|
{rows}

On newly generated pictures, D reads d correctly in {card["reader"]["d_right"]:.0%} of cases, and c with R² = {reads}.

## Pictures

In the animation above, the four c with the largest product of strength and focus ({moved}) move one
after another. *d* differs from picture to picture, and *z* is random.

{strips}

**Every d**, one in each row, as the c with the largest product of strength and focus goes from 0 to 1:

![one row for each discrete label, the liveliest continuous label from 0 to 1](clips.jpg)

**Random labels**

![48 pictures of random labels](samples.jpg)

**Does it copy?** The upper row shows generated samples, the lower row the training frame nearest to each. The median
distance from {COPIES} samples to their nearest training frame is {copied["median distance of samples"]} grey levels.
From as many real frames to the nearest frame of another recording it is {copied["median distance of real frames"]}.
The sample is closer in {copied["nearer"]:.0%} of all pairs of a sample and a real frame. Without copying we would
expect 50%, but blur raises this number as well.

![12 samples in the upper row, the nearest training frame of each in the lower](nearest.jpg)
"""


if __name__ == "__main__":
    main()
