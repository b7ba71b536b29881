"""Frames in two worlds: uint8 (N, H, W, C) on disk and in widgets, float (N, C, H, W) in [-1, 1] in networks."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def to_tensor(frames: np.ndarray | Tensor, device: torch.device | str = "cpu") -> Tensor:
    """uint8 (N, H, W, C), 0 to 255 → float32 (N, C, H, W), -1 to 1, converted on `device`."""
    if isinstance(frames, np.ndarray):  # torch takes no read-only arrays, which memory-mapped frames are
        frames = np.require(frames, requirements="W")
    x = torch.as_tensor(frames)
    if x.dtype != torch.uint8 or x.ndim != 4:
        raise ValueError(f"Frames are uint8 of shape (N, H, W, C), got {x.dtype} of shape {tuple(x.shape)}.")
    return x.to(device).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


def to_uint8(frames: Tensor) -> np.ndarray:
    """float (N, C, H, W), -1 to 1 → uint8 (N, H, W, C); values outside are clipped, the nearest level is taken."""
    levels = frames.detach().float().add(1).mul(127.5).round().clamp(0, 255)
    return levels.permute(0, 2, 3, 1).to("cpu", torch.uint8).numpy()
