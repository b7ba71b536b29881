"""What D's label heads are allowed to see of a fake, which decides what a code can carry."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

STEEPEST = 6.0
LEVELS = (-0.5, 0.3)


def label_view(frames: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Frames (N, C, 64, 64) in [-1, 1] as silhouettes: what is left of them is mostly shape and place.

    A 2× blur takes texture finer than two pixels. Then each picture gets a tone curve of its own, tanh(a·(x - b)) / a,
    with a random steepness a from 1 to 6 and random levels b from -0.7 to 0.5: how dark a shirt is, or how bright the
    wall, can hardly carry a code, while an arm that is there or not still can. No slope exceeds 1, so nothing faint is
    made stronger. generator: on the CPU.
    """
    small = F.avg_pool2d(frames, 2)
    n, channels = small.shape[:2]

    def uniform(low: float, high: float, channels: int = 1) -> Tensor:
        x = low + (high - low) * torch.rand(n, channels, 1, 1, generator=generator)
        return x.to(small.device, small.dtype)

    steepness = uniform(0.0, math.log(STEEPEST)).exp()
    level = uniform(*LEVELS) + uniform(-0.2, 0.2, channels)
    return F.interpolate(torch.tanh(steepness * (small - level)) / steepness, scale_factor=2, mode="nearest")
