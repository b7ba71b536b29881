"""What D's label heads are allowed to see of a fake, which decides what a code can carry."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

GAIN = SHIFT = 0.3


def label_view(frames: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Frames (N, C, 64, 64) in [-1, 1] with overall colour and fine detail made useless as carriers of a code.

    A 2× blur takes texture finer than two pixels; a random gain 1 ± 0.3 and shift ± 0.3 a channel take the overall
    colour and light. Shape and place stay. generator: on the CPU.
    """
    small = F.avg_pool2d(frames, 2)
    n, channels = small.shape[:2]

    def uniform(reach: float) -> Tensor:
        x = reach * (2 * torch.rand(n, channels, 1, 1, generator=generator) - 1)
        return x.to(small.device, small.dtype)

    return F.interpolate(small * (1 + uniform(GAIN)) + uniform(SHIFT), scale_factor=2, mode="nearest")
