"""The five models of Tab. 6 at their published settings, ready to be counted or timed.

Models that are defined for 16 frames of 64 × 64 can be built longer and wider here, with the same layers on a larger
grid. Nobody has published such models; they show how the cost grows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ..labels import LabelSpace
from ..networks import Discriminator, Generator
from ..presets import PRESETS
from ..step import train_step
from . import mocogan, monkeynet, pix2pix, tgan


@dataclass(frozen=True)
class CostModel:
    """A model with random weights, and random frames to train it on.

    Attributes:
        generators: the networks that draw.
        discriminators: the networks that judge.
        optimizers: their optimisers.
        draw: makes one clip, (1, 3, frames, size, size).
        judge: runs D on such a clip.
        step: makes one training step, as published.
        seen: real frames in a step.
    """

    generators: Sequence[nn.Module]
    discriminators: Sequence[nn.Module]
    optimizers: Sequence[torch.optim.Optimizer]
    draw: Callable[[], Tensor]
    judge: Callable[[Tensor], object]
    step: Callable[[], object]
    seen: int


def cost_model(name: str, frames: int = 16, size: int = 64, batch: int | None = None) -> CostModel:
    """Builds a model of Tab. 6, on torch's default device.

    Args:
        name: a name in COST_MODELS, "tgan", "mocogan", "monkeynet", "pix2pix" or "ours".
        frames: frames in a clip, a multiple of 16.
        size: height and width of a frame in pixels, a power of two from 64 up.
        batch: size of a batch, in clips for TGAN and MoCoGAN, pairs of frames for Monkey-Net, frames for the others;
            None is the published one.

    Raises:
        ValueError: The name is unknown, or a size is out of range.
    """
    if name not in COST_MODELS:
        raise ValueError(f"No model of Tab. 6 is named {name!r}; there are {', '.join(map(repr, COST_MODELS))}.")
    if frames < 16 or frames % 16:
        raise ValueError(f"A clip has a multiple of 16 frames here, as TGAN draws them; got frames={frames}.")
    if size < 64 or size & (size - 1):
        raise ValueError(f"A frame is a power of two from 64 pixels up here, got size={size}.")
    build, published = COST_MODELS[name]
    return build(frames, size, batch or published)


def _ours(frames: int, size: int, batch: int) -> CostModel:
    space, paper, wide = LabelSpace(), PRESETS["paper"], 128 * (size // 8) ** 2
    g, d = Generator(space), Discriminator(space)
    if size != 64:  # the linear layers map to and from a wider grid than 8 × 8
        g.embed[3], g.embed[4] = nn.Linear(1024, wide), nn.BatchNorm1d(wide)
        g.embed[6] = nn.Unflatten(1, (128, size // 8, size // 8))
        (place,) = (k for k, layer in enumerate(d.features) if isinstance(layer, nn.Linear))
        d.features[place] = nn.Linear(wide, 1024)
    adams = _adam(g, paper.lr_g), _adam(d, paper.lr_d)

    def step() -> object:
        return train_step(g, d, *adams, torch.rand(batch, 3, size, size), space.sample(batch), paper, nullcontext)

    def draw() -> Tensor:
        return g(space.sample(frames)).transpose(0, 1).unsqueeze(0)

    return CostModel([g], [d], adams, draw, lambda clip: d(clip[0].transpose(0, 1)), step, batch)


def _tgan(frames: int, size: int, batch: int) -> CostModel:
    model, rng, grid = tgan.TGAN(clips=batch), torch.Generator(), size // 16
    model.length = frames  # type: ignore[misc]
    temporal, generator = model.temporal, model.generator
    assert temporal is not None
    if frames != 16:
        temporal.net[0] = nn.ConvTranspose1d(tgan.LATENT, 512, frames // 16)
        model.critic.features.append(nn.AvgPool3d((frames // 16, 1, 1)))  # one score, whatever the length
    if size != 64:
        for maps in (generator.slow, generator.fast):
            assert isinstance(maps, nn.Sequential)
            maps[0] = nn.Linear(tgan.LATENT, 256 * grid**2, bias=False)
            maps[1], maps[3] = nn.BatchNorm1d(256 * grid**2), nn.Unflatten(1, (256, grid, grid))
        model.critic.head = nn.Conv2d(512, 1, grid)
    optimizers, frames_of = model.optimizers(), _Frames(frames, size)

    def step() -> object:
        return model.train_step(frames_of, optimizers, rng)  # type: ignore[arg-type]

    return CostModel(
        [temporal, generator], [model.critic], list(optimizers.values()), lambda: model.draw(1, frames, rng, None),
        model.critic, step, batch * frames,
    )  # fmt: skip


def _mocogan(frames: int, size: int, batch: int) -> CostModel:
    model, rng, grid = mocogan.MoCoGAN(clips=batch), torch.Generator(), size // 16
    model.length = frames  # type: ignore[misc]
    g, image_d, video_d = model.generator, model.image_discriminator, model.video_discriminator
    if (frames, size) != (16, 64):  # 12 frames are lost on the way to the last layer, which sees all that are left
        video_d.layers[-1] = nn.Conv3d(512, 7, (frames - 12, grid, grid), bias=False)
    if size != 64:
        g.paint[0] = nn.ConvTranspose2d(66, 512, grid, 1, 0, bias=False)
    nets = {"image_d": image_d, "video_d": video_d, "g": g}
    optimizers = {name: torch.optim.Adam(net.parameters(), **mocogan.ADAM) for name, net in nets.items()}
    frames_of = _Frames(frames, size)

    def step() -> object:
        return model.train_step(frames_of, optimizers, rng)  # type: ignore[arg-type]

    return CostModel(
        [g], [video_d, image_d], list(optimizers.values()), lambda: model.draw(1, frames, rng, None),
        lambda clip: video_d(clip, rng), step, model.images + batch * frames,
    )  # fmt: skip


def _monkeynet(frames: int, size: int, batch: int) -> CostModel:
    detector, g, d = monkeynet.KeypointDetector(), monkeynet.Generator(), monkeynet.Discriminator()
    adams = _adam(detector), _adam(g), _adam(d)

    def draw() -> Tensor:
        points = detector(torch.rand(1, 3, frames + 1, size, size))  # of the driving video, and of the picture
        return g(torch.rand(1, 3, 1, size, size), points.at(slice(1, None)), points.at(slice(1)))

    def judge(clip: Tensor) -> object:
        points = monkeynet.Keypoints(torch.rand(1, frames, 10, 2), torch.rand(1, frames, 10, 2, 2))
        return d(clip, points)

    def step() -> None:
        picture, frame = torch.rand(2, batch, 3, 1, size, size)
        monkeynet.train_step(detector, g, d, adams, picture, frame)

    return CostModel([detector, g], [d], adams, draw, judge, step, 2 * batch)


def _pix2pix(frames: int, size: int, batch: int) -> CostModel:
    g, d = pix2pix.UNet(size), pix2pix.PatchDiscriminator()
    adams = _adam(g), _adam(d)

    def draw() -> Tensor:
        return g(torch.rand(frames, 3, size, size)).transpose(0, 1).unsqueeze(0)

    def step() -> None:
        drawn, real = torch.rand(2, batch, 3, size, size)
        pix2pix.train_step(g, d, *adams, drawn, real)

    return CostModel([g], [d], adams, draw, lambda clip: d(clip[0].repeat(2, 1, 1, 1).transpose(0, 1)), step, batch)


def _adam(net: nn.Module, lr: float = 2e-4) -> torch.optim.Optimizer:
    return torch.optim.Adam(net.parameters(), lr, (0.5, 0.999))


class _Frames:
    """Random windows of an empty data set, for the steps of TGAN and MoCoGAN."""

    def __init__(self, frames: int, size: int) -> None:
        self.frames, self.size = frames, size

    def draw_frames(self, n: int, rng: torch.Generator) -> np.ndarray:
        return np.zeros((n, self.size, self.size, 3), np.uint8)

    def draw(self, n: int, rng: torch.Generator) -> tuple[np.ndarray, np.ndarray]:
        return np.zeros((n, self.frames, self.size, self.size, 3), np.uint8), np.zeros(n, np.int64)


# How to build each, and its published batch: clips, pairs of frames, or frames.
COST_MODELS: dict[str, tuple[Callable[[int, int, int], CostModel], int]] = {
    "tgan": (_tgan, 32),
    "mocogan": (_mocogan, 3),
    "monkeynet": (_monkeynet, 32),
    "pix2pix": (_pix2pix, 1),
    "ours": (_ours, 64),
}
