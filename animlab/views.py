"""What D's label heads are allowed to see of a fake, which decides what a code can carry."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def label_view(frames: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """frames (N, C, 64, 64) through random colours and a 2x blur.

    Per picture: brightness ±0.3, contrast and colour gains 0.7 to 1.3 a channel.
    The blur averages 2×2 blocks and stretches them back, so texture finer than 2 pixels cannot carry a code.
    """
    n, ch = frames.shape[:2]
    gain = 0.7 + 0.6 * torch.rand(n, ch, 1, 1, generator=generator, device=frames.device)
    shift = 0.6 * torch.rand(n, ch, 1, 1, generator=generator, device=frames.device) - 0.3
    small = F.avg_pool2d(frames, 2)
    small = small * gain.to(small.dtype) + shift.to(small.dtype)
    return F.interpolate(small, scale_factor=2, mode="nearest")
