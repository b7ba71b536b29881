"""What D is shown: shifted frames, and for the label heads a view of each fake that limits where codes can hide."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F


def blurred(frames: Tensor, rand: Callable[..., Tensor] = torch.rand) -> Tensor:
    """A view of frames in which overall colour and fine detail cannot carry a code; shape and place stay.

    A 2× blur removes texture finer than two pixels; a random gain 1 ± 0.3 and shift ± 0.3 for each channel removes
    overall colour and brightness.

    Args:
        frames: (N, C, 64, 64) in [-1, 1].
        rand: draws U(0, 1) numbers of a given shape.

    Returns:
        (N, C, 64, 64), in [-1.6, 1.6].
    """
    small = F.avg_pool2d(frames, 2)
    gain, shift = _uniform(small, 0.7, 1.3, rand), _uniform(small, -0.3, 0.3, rand)
    return _enlarged(small * gain + shift)


def silhouette(frames: Tensor, rand: Callable[..., Tensor] = torch.rand) -> Tensor:
    """A view of frames as silhouettes, in which faint changes in dark or bright areas are lost.

    After a 2× blur, each picture gets a random tone curve, tanh(a·(x - b)) / a, with a steepness a from 1 to 6 for the
    picture and a level b from -0.7 to 0.5 for each channel. No slope exceeds 1, so that nothing faint is amplified, and
    both ends are flat: a glow on black can hardly carry a code.

    Args:
        frames: (N, C, 64, 64) in [-1, 1].
        rand: draws U(0, 1) numbers of a given shape.

    Returns:
        (N, C, 64, 64), in (-1, 1).
    """
    small = F.avg_pool2d(frames, 2)
    steepness = _uniform(small[:, :1], 0.0, math.log(6.0), rand).exp()
    level = _uniform(small[:, :1], -0.5, 0.3, rand) + _uniform(small, -0.2, 0.2, rand)
    return _enlarged(torch.tanh(steepness * (small - level)) / steepness)


def shifted(frames: Tensor, most: int, rand: Callable[..., Tensor] = torch.rand) -> Tensor:
    """Shifts each frame by a random number of pixels; its edge is repeated in the gap.

    D sees real frames and fakes shifted alike, so that it cannot memorise a few real frames. Zeros in the gap, as in
    DiffAugment, would be a grey bar beside a black background, and hide an edge that the repeated row or column shows.

    Source: "translation" in DiffAugment, Zhao et al. 2020.

    Args:
        frames: (N, C, H, W).
        most: largest shift in pixels, up or down and left or right.
        rand: draws U(0, 1) numbers of a given shape.

    Returns:
        (N, C, H, W).
    """
    n, _, height, width = frames.shape
    offset = (rand(n, 2).to(frames.device) * (2 * most + 1)).long() - most
    rows = (torch.arange(height, device=frames.device) + offset[:, :1]).clamp(0, height - 1)
    columns = (torch.arange(width, device=frames.device) + offset[:, 1:]).clamp(0, width - 1)
    picture = torch.arange(n, device=frames.device)[:, None, None]
    return frames.permute(0, 2, 3, 1)[picture, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _uniform(like: Tensor, low: float, high: float, rand: Callable[..., Tensor]) -> Tensor:
    """A uniform random number for each picture and channel of `like`."""
    x = low + (high - low) * rand(*like.shape[:2], 1, 1)
    return x.to(like.device, like.dtype)


def _enlarged(small: Tensor) -> Tensor:
    return F.interpolate(small, scale_factor=2, mode="nearest")


VIEWS = {"blurred": blurred, "silhouette": silhouette}
