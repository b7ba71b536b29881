"""Conversion of frames: uint8 (N, H, W, C) on disk and in widgets, float (N, C, H, W) in [-1, 1] in networks."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def to_tensor(frames: np.ndarray | Tensor, device: torch.device | str = "cpu") -> Tensor:
    """Converts frames to what networks take.

    Args:
        frames: (N, H, W, C) uint8, 0 to 255; an array may be read-only, as a memory map is.
        device: where they are converted and stay.

    Returns:
        (N, C, H, W) float32, -1 to 1.

    Raises:
        ValueError: Shape or dtype is another one.
    """
    if isinstance(frames, np.ndarray):  # torch takes no read-only arrays, which memory-mapped frames are
        frames = np.require(frames, requirements="W")
    x = torch.as_tensor(frames)
    if x.dtype != torch.uint8 or x.ndim != 4:
        raise ValueError(f"Frames are uint8 of shape (N, H, W, C), got {x.dtype} of shape {tuple(x.shape)}.")
    return x.to(device).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


def to_uint8(frames: Tensor) -> np.ndarray:
    """Converts what networks give to frames.

    Args:
        frames: (N, C, H, W), -1 to 1; values outside are clipped.

    Returns:
        (N, H, W, C) uint8, rounded to the nearest level.
    """
    levels = frames.detach().float().add(1).mul(127.5).round().clamp(0, 255)
    return levels.permute(0, 2, 3, 1).to("cpu", torch.uint8).numpy()


LOOKS, SQUARES = 8, 4  # frames in a fingerprint, and squares along each side of a frame
NEAR = 2  # levels by which versions of a picture or video decoder may differ in such a square


def fingerprint(frames: np.ndarray) -> str:
    """A short text that tells these frames from others of the same name.

    It holds the number of frames and, as hex digits, the mean levels of 4 × 4 squares of eight of them: some 260
    characters.

    Args:
        frames: (N, 64, 64, C) uint8.
    """
    some = frames[np.linspace(0, len(frames) - 1, LOOKS).astype(int)]
    size = frames.shape[1] // SQUARES
    squares = some.reshape(LOOKS, SQUARES, size, SQUARES, size, -1).mean(axis=(2, 4, 5))
    return f"{len(frames)} {squares.round().astype(np.uint8).tobytes().hex()}"


def alike(first: str, second: str) -> bool:
    """Whether two fingerprints belong to the same frames, possibly decoded by different versions of a decoder.

    Args:
        first: a fingerprint.
        second: another one; its levels may differ by 2 of 255.
    """
    (count, levels), (other_count, other_levels) = first.split(), second.split()
    a, b = (np.frombuffer(bytes.fromhex(each), np.uint8).astype(int) for each in (levels, other_levels))
    return count == other_count and bool((abs(a - b) <= NEAR).all())
