"""Turns a finished run into shipped weights.

    python data/pretrained/ship.py runs/actions actions --minutes 60 --seen c0="raises the right arm" c1="bends"

Writes data/pretrained/NAME/: model.safetensors (G, and a small D that reads labels off frames; large matrices as int8,
all else as float16), card.json, README.md (the model card) and pictures. The run's own D is as large as G and mostly
judges realism; the small one, a quarter as wide, is trained by stage 1 alone on what the finished G draws.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

import animlab
from animlab import losses
from animlab.augment import VIEWS
from animlab.frames import to_tensor
from animlab.presets import Preset, name_of

HERE = Path(__file__).resolve().parent
READER_WIDTH, BATCH = 0.25, 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="folder that animlab.fit wrote")
    parser.add_argument("name", help="name to ship under, such as actions")
    parser.add_argument("--seen", nargs="*", default=[], help='what a viewer sees, such as c0="raises the right arm"')
    parser.add_argument("--minutes", type=float, help="how long the training took, for the card")
    parser.add_argument("--note", default="", help="a sentence on what the model cannot do")
    parser.add_argument("--reader-steps", type=int, default=1500, help="training of the small D")
    parser.add_argument("--z", type=int, default=3, help="seed of z in the pictures")
    args = parser.parse_args()

    model = animlab.load(args.run)
    clips = animlab.load_dataset(model.card["dataset"])
    reader = train_reader(model, clips.frames, args.reader_steps)
    model = animlab.Model(model.generator, reader, model.card)
    found = animlab.metrics.label_influence(model.generator, pairs=512)
    real = animlab.metrics.real_influence(clips.frames, clips.clips)
    preset = Preset(**(model.card["preset_values"] | {"betas": tuple(model.card["preset_values"]["betas"])}))
    card = {
        **model.card,
        "preset": name_of(preset),
        "frames": len(clips),
        "clips": len(clips.clips),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, no GPU, torch {torch.__version__.split('+')[0]}",
        "minutes": args.minutes,
        "note": args.note,
        "seen": dict(item.split("=", 1) for item in args.seen),
        "influence": {name: asdict(value) for name, value in found.items()},
        "real_influence": asdict(real),
        "reader": reader_quality(model),
    }
    model.card = card
    folder = HERE / args.name
    shutil.rmtree(folder, ignore_errors=True)
    animlab.save(model, folder, torch.int8)
    (folder / "card.json").write_text(json.dumps(card, indent=2) + "\n")
    draw(animlab.load(folder), folder, args.z)
    (folder / "README.md").write_text(describe(args.name, model, card))
    print((folder / "README.md").read_text())


def train_reader(model: animlab.Model, frames: np.ndarray, steps: int, seed: int = 0) -> animlab.Discriminator:
    """Stage 1 alone: a narrow D learns to tell real frames from the finished G's and to read the labels off these."""
    preset = Preset(**model.card["preset_values"])
    view = VIEWS.get(preset.label_view)
    rng = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        reader = animlab.Discriminator(
            model.space, model.generator.channels, READER_WIDTH, model.generator.centre_c, preset.norm
        )
    optimizer = torch.optim.Adam(reader.parameters(), 1e-3, preset.betas, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in tqdm(range(steps), desc="reader"):
        real = to_tensor(frames[torch.randint(len(frames), (BATCH,), generator=rng).numpy()])
        labels = model.space.sample(BATCH, rng)
        with torch.no_grad():
            fake = model.generator(labels)
        seen = view(fake, partial(torch.rand, generator=rng)) if view else fake
        score, d_logits, c_hat = reader(torch.cat([real, fake, seen]))
        d, c = labels.d.repeat(2, 1), labels.c.repeat(2, 1)
        label_loss = losses.discrete_loss(d_logits[BATCH:], d) + preset.lambda_c * losses.continuous_loss(
            c_hat[BATCH:], c
        )
        loss = losses.total_loss(score[:BATCH], score[BATCH : 2 * BATCH], label_loss)
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


def draw(model: animlab.Model, folder: Path, seed: int) -> None:
    """filmstrip.png: each c from 0 to 1; clips.png: each d; samples.png: random labels; wave.gif: the strongest c."""
    space = model.space
    influence = model.card["influence"]
    best = max(range(space.n_c), key=lambda j: influence[f"c{j}"]["strength"])
    sweeps = [model.animate(d=0, c=j, frames=12, seed=seed) for j in range(space.n_c)]
    for j, sweep in enumerate(sweeps):
        save(sweep, folder / f"c{j}.png")
    save(np.stack(sweeps), folder / "filmstrip.png")
    save(np.stack([model.animate(d=d, c=best, frames=12, seed=seed) for d in range(space.n_d)]), folder / "clips.png")
    samples = model.frames(space.sample(48, torch.Generator().manual_seed(0)))
    save(samples.reshape(4, 12, *samples.shape[1:]), folder / "samples.png")
    there = model.animate(d=0, c=best, frames=16, seed=seed)
    animlab.save_animation(np.concatenate([there, there[::-1]]), folder / "animation.gif")


def save(clips: np.ndarray, path: Path) -> None:
    """A filmstrip at twice its size, so that limbs can be made out on a page."""
    Image.fromarray(animlab.filmstrip(clips).repeat(2, axis=0).repeat(2, axis=1)).save(path, optimize=True)


def describe(name: str, model: animlab.Model, card: dict[str, object]) -> str:
    """The model card, in Markdown."""
    space, seen = model.space, card["seen"]
    real = card["real_influence"]
    rows = "\n".join(
        f"| {label} | {value['strength']:.2f} | {value['focus']:.2f} | {seen.get(label, '')} |"
        for label, value in card["influence"].items()
    )
    strips = "\n\n".join(
        f"**c{j}**{': ' + seen[f'c{j}'] if f'c{j}' in seen else ''}\n\n"
        f"![c{j} from 0 on the left to 1 on the right, d = 0](c{j}.png)"
        for j in range(space.n_c)
    )
    minutes = f", {card['minutes']:.0f} minutes" if card["minutes"] else ""
    reads = ", ".join(f"{r:.2f}" for r in card["reader"]["c_r2"])
    return f"""# {name}: model card

`animlab.load("pretrained/{name}")`: the paper's generator (Tab. 1, width {model.generator.width:g}) with
n_z = {space.n_z}, n_d = {space.n_d}, n_c = {space.n_c}, and a small discriminator that reads labels off frames (Tab. 2,
width {READER_WIDTH:g}). Large matrices are stored as int8 with a scale a row, all else as float16. {card["note"]}

| | |
|---|---|
| data | `{card["dataset"]}`: {card["frames"]:,} frames of {card["clips"]:,} clips, shuffled; terms in data/README.md |
| preset | `{card["preset"]}`, batch {card["preset_values"]["batch"]}, {card["precision"]} |
| training | {card["steps"]:,} steps{minutes}, seed {card["seed"]} |
| machine | {card["machine"]} |
| made by | `data/pretrained/ship.py` of animlab {animlab.checkpoints.library_version()} |

## Influence of each label

Strength and focus as `animlab.metrics.label_influence` measures them over 512 random labels: c from 0 to 1, d to
another d, z to another z. Real frames 8 apart in a clip: strength {real["strength"]:.2f}, focus {real["focus"]:.2f}.
The preset rewards a small reach of each c (its stillness term), so judge by the pictures, not by focus alone.

| label | strength | focus | what a viewer sees |
|---|---|---|---|
{rows}

The small discriminator reads fresh fakes: d right in {card["reader"]["d_right"]:.0%}, R² of c: {reads}.

## Pictures

{strips}

**Each d**, a row each, the strongest c from 0 to 1:

![one row for each discrete label, the strongest continuous label from 0 to 1](clips.png)

**Random labels**

![48 pictures of random labels](samples.png)
"""


if __name__ == "__main__":
    main()
