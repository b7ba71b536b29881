"""Antialiased shapes in numpy, a whole clip at a time, for the synthetic sets.

A shape is drawn from its signed distance: how far each pixel's centre is outside it (negative: inside). Within half a
pixel on either side of the edge the colour fades, which is all the antialiasing that is needed at this size.

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
    """The part of a picture that contains some points, so that nothing else has to be drawn.

    Args:
        points: (…, 2) in pixels.
        margin: pixels to add on each side.

    Returns:
        Rows and columns.
    """
    low = np.clip(np.floor(points.reshape(-1, 2).min(axis=0) - margin), 0, SIZE - 1).astype(int)
    high = np.clip(np.ceil(points.reshape(-1, 2).max(axis=0) + margin), 0, SIZE - 1).astype(int)
    return slice(low[1], high[1] + 1), slice(low[0], high[0] + 1)


def capsule(start: np.ndarray, end: np.ndarray, radius: float, within: tuple[slice, slice] = EVERYWHERE) -> np.ndarray:
    """Signed distance to thick lines with round ends, such as limbs; to a disc where both ends are equal.

    Args:
        start: (T, 2), one end in pixels.
        end: (T, 2), the other end.
        radius: half the thickness, in pixels.
        within: rows and columns to measure, from `window`.

    Returns:
        (T, 64, 64) in pixels, or less `within` a window.
    """
    x, y = X[within], Y[within]
    along = end - start
    dx, dy = x - start[:, 0, None, None], y - start[:, 1, None, None]
    ax, ay = along[:, 0, None, None], along[:, 1, None, None]
    nearest = np.clip((dx * ax + dy * ay) / np.maximum(ax * ax + ay * ay, 1e-6), 0, 1)  # 0 at start, 1 at end
    return np.hypot(dx - nearest * ax, dy - nearest * ay) - radius


def square(centre: np.ndarray, side: float) -> np.ndarray:
    """Signed distance to upright squares.

    Args:
        centre: (T, 2) in pixels.
        side: in pixels.

    Returns:
        (T, 64, 64) in pixels.
    """
    dx = np.abs(X - centre[:, 0, None, None])
    dy = np.abs(Y - centre[:, 1, None, None])
    return np.maximum(dx, dy) - side / 2


def coverage(distance: np.ndarray) -> np.ndarray:
    """How much of each pixel a shape covers, 0 to 1.

    Args:
        distance: signed distance to the shape, in pixels.
    """
    return np.clip(0.5 - distance, 0, 1)


def paint(frames: np.ndarray, cover: np.ndarray, colour: np.ndarray) -> None:
    """Blends a colour over frames, in place.

    Args:
        frames: (T, 64, 64, 3) float32.
        cover: (T, 64, 64), opacity, 0 to 1.
        colour: (3,), or (T, 64, 64, 3).
    """
    frames += cover[..., None].astype(np.float32) * (colour.astype(np.float32) - frames)


def smooth_noise(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """A field of soft random blotches.

    Args:
        rng: source of randomness.
        rows: blotches from top to bottom.
        columns: blotches from left to right.

    Returns:
        (64, 64), about -1 to 1.
    """
    coarse = Image.fromarray(rng.uniform(-1, 1, (rows, columns)).astype(np.float32))
    return np.asarray(coarse.resize((SIZE, SIZE), Image.Resampling.BICUBIC))
