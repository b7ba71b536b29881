"""Conversion of frames: uint8 (N, H, W, C) on disk and in widgets, float (N, C, H, W) in [-1, 1] in networks."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import torch
from torch import Tensor

from .checks import kind


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
    if isinstance(frames, np.ndarray):  # torch takes none that is read-only, as memory maps are, or runs backwards
        frames = np.require(frames, requirements=["C", "W"])
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
ASTRAY = 4  # units of a sketch by which they may; off by one level at random, they differ by less than half a unit
CHUNK = 64  # frames: as floats, they stay in a processor's cache


def fingerprint(frames: np.ndarray) -> str:
    """A short text that tells these frames from others of the same name at a glance.

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


def sketch(frames: np.ndarray) -> np.ndarray:
    """What shows nearly any change of any frame, but not how a decoder rounds: 16 bytes a frame.

    Each byte stands for a square of 16 × 16 pixels, whose levels are summed, each with a sign that was drawn once. If
    they change by r levels (root mean square), such a sum of n of them changes by r √n times a normal number. It is
    counted in units of 2 √n and modulo 256: moving a few pixels changes it as surely as replacing the frame, while
    small errors at random cancel out. All frames are read, which takes a second for 3 GB in memory.

    Args:
        frames: (N, 64, 64, C) uint8.

    Returns:
        (N, 16) uint8.
    """
    count, height, width, channels = frames.shape
    shape = SQUARES, height // SQUARES, width * channels
    bits = np.frombuffer(hashlib.shake_128(b"animlab").digest(math.prod(shape) // 8), np.uint8)
    signs = np.unpackbits(bits).reshape(shape) * np.float32(2) - 1
    unit = 2 * math.sqrt(math.prod(shape) / SQUARES**2)
    sums = [  # of whole numbers below 2^24, and so the same on every machine
        np.einsum("nrpq,rpq->nrq", frames[i : i + CHUNK].reshape(-1, *shape).astype(np.float32), signs)
        .reshape(-1, SQUARES**2, shape[2] // SQUARES)
        .sum(axis=2)
        for i in range(0, count, CHUNK)
    ]
    return (np.concatenate(sums) / unit).round().astype(np.int64).astype(np.uint8)


def match(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether two sketches belong to the same frames, possibly decoded by different versions of a decoder.

    A frame that differs by ten levels a pixel (root mean square) is missed less than once in a thousand times, one that
    has little to do with the other practically never.

    Args:
        first: a sketch, (N, 16) uint8.
        second: another one of as many frames.

    Raises:
        ValueError: The first has another shape or dtype.
    """
    if first.shape != second.shape or first.dtype != second.dtype:
        raise ValueError(f"the sketch of the frames is {kind(first)}, for these frames it is {kind(second)}")
    return bool((abs((first - second).view(np.int8).astype(int)) <= ASTRAY).all())
