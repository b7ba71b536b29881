"""What D's label heads are allowed to see of a fake, which decides what a code can carry."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

GAIN, SHIFT, NOISE = 0.3, 0.3, 0.4


def label_view(frames: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Frames (N, C, 64, 64) in [-1, 1] with colour, light and fine detail made useless as carriers of a code.

    A 2× blur takes texture finer than two pixels; a random gain 1 ± 0.3 and shift ± 0.3 a channel take the overall
    colour; noise of standard deviation 0.4 on the blurred pixels drowns changes too faint to see. Shape and place stay.
    generator: on the CPU.
    """
    small = F.avg_pool2d(frames, 2)
    n, channels = small.shape[:2]

    def uniform(reach: float) -> Tensor:
        return reach * (2 * torch.rand(n, channels, 1, 1, generator=generator) - 1)

    noise = NOISE * torch.randn(small.shape, generator=generator)
    gain, offset = (x.to(small.device, small.dtype) for x in (1 + uniform(GAIN), uniform(SHIFT) + noise))
    return F.interpolate(small * gain + offset, scale_factor=2, mode="nearest")
