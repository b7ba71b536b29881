"""Faces whose c turns the head: two directions of z become c, and training goes on from there.

    python tests/benchmarks/turning_faces.py runs/faces3d --out runs/turning-faces        # goes on where it stopped

In a trained model of the faces turns lay in z, mixed with colours, and the c had found hair and the head's length
(data/recipes/modern.md). This script looks for the direction of z that changes the structure of the face most and the
colours of face and ground least, and for the best one at a right angle to it. The weights of G's first layer along
these two become those of c0 and c1, times √3, since c runs over [-1, 1] inside G and z has a variance of 1; the rest of
z keeps its weights; of the old c the KEPT stay. D has to learn to read c0 and c1 anew. Nothing tells either network
what a turn is.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from trainings import Progress

import animlab
from animlab.networks import architecture_of, build
from animlab.presets import PRESETS

KEPT = [0, 1, 4]  # the old c of most influence
PROBES, TRIES, REFINED = 40, 120, 24  # labels that a direction is judged by; directions tried, then changed a little
# At rates of 2e-4 and γ 1 D broke away after 285 steps.
PRESET = replace(PRESETS["modern"], lr_g=5e-5, lr_d=1e-4, gamma=2.0, lambda_still=1.0, ema=0.99)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("start", type=Path, help="a trained model of faces3d")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=900)
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    clips = animlab.load_dataset("faces3d")
    begun = (args.out / "model.safetensors").exists()
    start = None if begun else rewired(animlab.load(args.start))
    space = animlab.LabelSpace(n_z=2, n_d=5, n_c=2 + len(KEPT))
    options = {"resume": begun, "start": start, "sample_every": 100, "callbacks": [Progress(clips, args.out)]}
    animlab.fit(clips, space, PRESET, args.steps, out=args.out, width=1.0, **options)


def rewired(model: animlab.Model) -> animlab.Model:
    """The model with two directions of z taken over into c."""
    space, (first, second) = model.space, directions(model)
    rest = torch.linalg.svd(torch.stack([first, second]))[2][2:].T  # (n_z, n_z - 2)
    g, d = model.generator.state_dict(), model.discriminator.state_dict()
    of_z, of_d, of_c = g["embed.0.weight"].split([space.n_z, space.n_d, space.n_c], dim=1)
    turned = torch.stack([of_z @ first, of_z @ second], dim=1) * 3**0.5
    g["embed.0.weight"] = torch.cat([of_z @ rest, of_d, turned, of_c[:, KEPT]], dim=1)
    for name in ("head.weight", "head.bias"):
        known, read = d[name][: 1 + space.n_d], d[name][1 + space.n_d :]
        d[name] = torch.cat([known, torch.zeros_like(known[:2]), read[KEPT]])
    new = animlab.LabelSpace(n_z=space.n_z - 2, n_d=space.n_d, n_c=2 + len(KEPT))
    generator, discriminator = build(
        architecture_of(model.generator), new, model.generator.channels, width=model.generator.width
    )
    generator.load_state_dict(g)
    discriminator.load_state_dict(d)
    return animlab.Model(generator, discriminator, model.card)


def directions(model: animlab.Model) -> tuple[Tensor, Tensor]:
    """Two unit directions of z at right angles: the best that was found, and the best beside it."""
    rng = torch.Generator().manual_seed(0)
    at = model.space.sample(PROBES, rng)
    every_d = model.space.one_hot(torch.arange(PROBES) % model.space.n_d)
    at = animlab.Labels(0.7 * at.z, every_d, torch.full_like(at.c, 0.5))

    def random(around: Tensor | None = None, spread: float = 1.0, beside: Tensor | None = None) -> Tensor:
        u = torch.randn(model.space.n_z, generator=rng) * spread
        if around is not None:
            u = u + around
        if beside is not None:
            u = u - (u @ beside) * beside
        return u / u.norm()

    first = max((random() for _ in range(TRIES)), key=lambda u: structure_not_colour(model, at, u))
    for k in range(REFINED):
        first = max(first, random(first, 0.25 * 0.93**k), key=lambda u: structure_not_colour(model, at, u))
    second = max((random(beside=first) for _ in range(TRIES)), key=lambda u: structure_not_colour(model, at, u))
    return first, second


def structure_not_colour(model: animlab.Model, at: animlab.Labels, u: Tensor) -> float:
    """How much a step of ±1.2 along u changes the normalised luminance of the face, against the change of colours."""
    ends = [model.frames(animlab.Labels(at.z + step * u, at.d, at.c)).astype(float) for step in (1.2, -1.2)]
    face, ground = (slice(None), slice(20, 60), slice(16, 48)), (slice(None), slice(12), slice(10))
    colours = [rms((ends[0] - ends[1])[place].mean(axis=(1, 2))) for place in (face, ground)]
    grey = [frames.mean(axis=3)[:, 18:58, 14:50] for frames in ends]
    level = [(x - x.mean(axis=(1, 2), keepdims=True)) / x.std(axis=(1, 2), keepdims=True) for x in grey]
    return rms(level[0] - level[1]) / (sum(colours) / 30 + 0.3)


def rms(x: np.ndarray) -> float:
    return float(np.sqrt(np.square(x).mean()))


if __name__ == "__main__":
    main()
