"""Antialiased shapes in numpy, a whole clip at a time, for the rendered stand-ins.

A shape is drawn from its signed distance: how far each pixel's centre lies outside it (negative: inside). Half a pixel
either side of the edge the colour fades, which is all that antialiasing takes at this size.

Points are in pixels, x to the right and y down, and pixel (0, 0) has its centre at (0, 0): the mean position of a
shape's pixels is its centre.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from .source import SIZE

Y, X = np.mgrid[:SIZE, :SIZE].astype(np.float32)  # (64, 64) each: the place of every pixel
EVERYWHERE = (slice(None), slice(None))


def window(points: np.ndarray, margin: float) -> tuple[slice, slice]:
    """The rows and columns that hold all `points`, (..., 2), and `margin` pixels around: no need to draw elsewhere."""
    low = np.clip(np.floor(points.reshape(-1, 2).min(axis=0) - margin), 0, SIZE - 1).astype(int)
    high = np.clip(np.ceil(points.reshape(-1, 2).max(axis=0) + margin), 0, SIZE - 1).astype(int)
    return slice(low[1], high[1] + 1), slice(low[0], high[0] + 1)


def capsule(start: np.ndarray, end: np.ndarray, radius: float, within: tuple[slice, slice] = EVERYWHERE) -> np.ndarray:
    """Signed distance, (T, 64, 64), to thick lines with round ends from `start` to `end`, (T, 2) points; a limb.

    Where `start` equals `end`, it is a disc. within: the rows and columns to measure, from `window`.
    """
    x, y = X[within], Y[within]
    along = end - start
    dx, dy = x - start[:, 0, None, None], y - start[:, 1, None, None]
    ax, ay = along[:, 0, None, None], along[:, 1, None, None]
    nearest = np.clip((dx * ax + dy * ay) / np.maximum(ax * ax + ay * ay, 1e-6), 0, 1)  # 0 at start, 1 at end
    return np.hypot(dx - nearest * ax, dy - nearest * ay) - radius


def square(centre: np.ndarray, side: float) -> np.ndarray:
    """Signed distance, (T, 64, 64), to upright squares around `centre`, (T, 2) points."""
    dx = np.abs(X - centre[:, 0, None, None])
    dy = np.abs(Y - centre[:, 1, None, None])
    return np.maximum(dx, dy) - side / 2


def coverage(distance: np.ndarray) -> np.ndarray:
    """How much of each pixel a shape covers, 0 to 1."""
    return np.clip(0.5 - distance, 0, 1)


def paint(frames: np.ndarray, cover: np.ndarray, colour: np.ndarray) -> None:
    """Lay a colour, (3,) or one that varies over (T, 64, 64, 3), over `frames`, (T, 64, 64, 3) float32, in place."""
    frames += cover[..., None].astype(np.float32) * (colour.astype(np.float32) - frames)


def smooth_noise(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """A (64, 64) field of soft blotches, `rows` by `columns` of them, about -1 to 1."""
    coarse = Image.fromarray(rng.uniform(-1, 1, (rows, columns)).astype(np.float32))
    return np.asarray(coarse.resize((SIZE, SIZE), Image.Resampling.BICUBIC))
