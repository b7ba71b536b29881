"""What D is shown: every frame shifted; for the label heads a view of a fake, which decides what a code can carry."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F


def blurred(frames: Tensor, rand: Callable[..., Tensor] = torch.rand) -> Tensor:
    """Frames (N, C, 64, 64) in [-1, 1] with overall colour and fine detail made useless as carriers of a code.

    A 2× blur takes texture finer than two pixels; a random gain 1 ± 0.3 and shift ± 0.3 a channel take the overall
    colour and light. Shape and place stay. rand: draws U(0, 1) numbers of a shape, on the CPU.
    """
    small = F.avg_pool2d(frames, 2)
    gain, shift = _uniform(small, 0.7, 1.3, rand), _uniform(small, -0.3, 0.3, rand)
    return _enlarged(small * gain + shift)


def silhouette(frames: Tensor, rand: Callable[..., Tensor] = torch.rand) -> Tensor:
    """Frames (N, C, 64, 64) in [-1, 1] as silhouettes: faint changes of what is dark or bright are lost.

    After a 2× blur each picture gets a tone curve of its own, tanh(a·(x - b)) / a, with a random steepness a from 1 to
    6 and a random level b a channel, from -0.7 to 0.5. No slope exceeds 1, so nothing faint is made stronger, and both
    ends are flat: a glow on black can hardly carry a code. rand: draws U(0, 1) numbers of a shape, on the CPU.
    """
    small = F.avg_pool2d(frames, 2)
    steepness = _uniform(small[:, :1], 0.0, math.log(6.0), rand).exp()
    level = _uniform(small[:, :1], -0.5, 0.3, rand) + _uniform(small, -0.2, 0.2, rand)
    return _enlarged(torch.tanh(steepness * (small - level)) / steepness)


def shifted(frames: Tensor, most: int, rand: Callable[..., Tensor] = torch.rand) -> Tensor:
    """Frames (N, C, H, W), each moved by up to `most` pixels up or down and left or right; its edge fills the gap.

    D, which sees real frames and fakes alike so, cannot learn few real frames by heart. Zeros in the gap, as in
    DiffAugment, would be a grey bar beside a black ground, and hide an edge that the repeated row or column shows.
    rand: draws U(0, 1) numbers of a shape. Source: "translation" of DiffAugment, Zhao et al. 2020.
    """
    n, _, height, width = frames.shape
    offset = (rand(n, 2).to(frames.device) * (2 * most + 1)).long() - most
    rows = (torch.arange(height, device=frames.device) + offset[:, :1]).clamp(0, height - 1)
    columns = (torch.arange(width, device=frames.device) + offset[:, 1:]).clamp(0, width - 1)
    picture = torch.arange(n, device=frames.device)[:, None, None]
    return frames.permute(0, 2, 3, 1)[picture, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _uniform(like: Tensor, low: float, high: float, rand: Callable[..., Tensor]) -> Tensor:
    """A random number for each picture and channel of `like`."""
    x = low + (high - low) * rand(*like.shape[:2], 1, 1)
    return x.to(like.device, like.dtype)


def _enlarged(small: Tensor) -> Tensor:
    return F.interpolate(small, scale_factor=2, mode="nearest")


VIEWS = {"blurred": blurred, "silhouette": silhouette}
