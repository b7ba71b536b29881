"""Synthetic handwritten digits instead of MNIST: each is a pen's path, randomly bent, slanted and inked."""

from __future__ import annotations

import numpy as np
from scipy.interpolate import CubicSpline

from .drawing import capsule

CANVAS = (slice(0, 28), slice(0, 28))  # the corner of the drawing grid that a digit takes
BOX = 20.0  # pixels: a digit of MNIST fits a box of 20, whose centre of mass lies in the middle of the 28
SPACING = 0.12  # between the points of a path, in units of a digit's height
BLOCK = 256  # digits drawn at once: what they need stays in the processor's cache

# How people write each digit, one entry a way of writing: strokes, each the points (x, y) that a pen passes through,
# in a box one high and about 0.8 wide, y down. Two points make a straight line, more a smooth curve.
WAYS: tuple[tuple[tuple[tuple[tuple[float, float], ...], ...], ...], ...] = (
    (  # 0
        (((0.52, 0.0), (0.24, 0.15), (0.16, 0.5), (0.26, 0.87), (0.5, 1.0), (0.74, 0.85), (0.84, 0.5), (0.76, 0.14),
          (0.48, 0.01)),),
    ),
    (  # 1: a stick, a stick with a flag, one with a foot as well
        (((0.5, 0.0), (0.5, 1.0)),),
        (((0.32, 0.2), (0.52, 0.0)), ((0.52, 0.0), (0.52, 1.0))),
        (((0.3, 0.2), (0.52, 0.0)), ((0.52, 0.0), (0.52, 1.0)), ((0.26, 1.0), (0.78, 1.0))),
    ),
    (  # 2: with a corner, with a loop
        (((0.14, 0.25), (0.3, 0.05), (0.58, 0.0), (0.8, 0.2), (0.7, 0.5), (0.4, 0.79), (0.12, 1.0)),
         ((0.12, 1.0), (0.9, 0.98))),
        (((0.15, 0.2), (0.35, 0.02), (0.65, 0.03), (0.78, 0.26), (0.6, 0.6), (0.32, 0.9), (0.13, 0.97), (0.1, 0.83),
          (0.3, 0.8), (0.55, 0.95), (0.9, 0.94)),),
    ),
    (  # 3
        (((0.15, 0.12), (0.45, 0.0), (0.74, 0.12), (0.7, 0.35), (0.4, 0.47)),
         ((0.4, 0.47), (0.77, 0.57), (0.8, 0.84), (0.48, 1.0), (0.12, 0.88))),
    ),
    (  # 4: open, closed
        (((0.22, 0.0), (0.15, 0.3), (0.12, 0.57)), ((0.12, 0.57), (0.9, 0.54)), ((0.68, 0.05), (0.66, 1.0))),
        (((0.62, 0.0), (0.08, 0.66)), ((0.08, 0.66), (0.92, 0.66)), ((0.62, 0.0), (0.62, 1.0))),
    ),
    (  # 5
        (((0.82, 0.02), (0.27, 0.04)), ((0.27, 0.04), (0.22, 0.45)),
         ((0.22, 0.45), (0.5, 0.37), (0.79, 0.53), (0.76, 0.85), (0.45, 1.0), (0.1, 0.9))),
    ),
    (  # 6
        (((0.68, 0.0), (0.4, 0.2), (0.2, 0.55), (0.25, 0.88), (0.5, 1.0), (0.76, 0.86), (0.73, 0.62), (0.49, 0.53),
          (0.24, 0.7)),),
    ),
    (  # 7: plain, crossed
        (((0.12, 0.05), (0.84, 0.04)), ((0.84, 0.04), (0.6, 0.45), (0.44, 1.0))),
        (((0.12, 0.05), (0.84, 0.04)), ((0.84, 0.04), (0.6, 0.45), (0.44, 1.0)), ((0.36, 0.5), (0.8, 0.47))),
    ),
    (  # 8
        (((0.73, 0.13), (0.5, 0.0), (0.25, 0.13), (0.33, 0.36), (0.6, 0.54), (0.76, 0.78), (0.5, 1.0), (0.23, 0.8),
          (0.38, 0.56), (0.64, 0.36), (0.74, 0.12)),),
    ),
    (  # 9: with a straight stem, with a hook
        (((0.77, 0.22), (0.55, 0.01), (0.26, 0.12), (0.21, 0.38), (0.48, 0.5), (0.73, 0.35), (0.78, 0.12)),
         ((0.78, 0.12), (0.72, 0.6), (0.62, 1.0))),
        (((0.77, 0.22), (0.55, 0.01), (0.26, 0.12), (0.21, 0.38), (0.48, 0.5), (0.73, 0.35), (0.78, 0.12)),
         ((0.78, 0.12), (0.77, 0.62), (0.6, 0.96), (0.3, 0.93))),
    ),
)  # fmt: skip


def synthetic_digits(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draws digits that look handwritten, like MNIST's: as many of each, in random order.

    Way of writing, slant, width, bends, size, position, thickness and softness of the pen are random for each digit.

    Example:
        >>> images, labels = synthetic_digits(1000)

    Args:
        count: number of digits.
        seed: the same seed and count give the same digits.

    Returns:
        Images, uint8 (count, 28, 28), 0 (paper) to 255 (ink), and labels, int64 (count,), 0 to 9.
    """
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(count) % 10)
    way = rng.random(count)
    images = np.zeros((count, 28, 28), np.uint8)
    for digit, ways in enumerate(WAYS):
        chosen = (way * len(ways)).astype(int)
        for index, strokes in enumerate(ways):
            starts, ends = _path(strokes)
            which = np.flatnonzero((labels == digit) & (chosen == index))
            for first in range(0, len(which), BLOCK):  # none where no digit of a small set is written this way
                block = which[first : first + BLOCK]
                images[block] = _write(rng, starts, ends, len(block))
    return images, labels


def _path(strokes: tuple[tuple[tuple[float, float], ...], ...]) -> tuple[np.ndarray, np.ndarray]:
    """The short straight segments that the strokes consist of: their starts and ends, (segments, 2) each."""
    starts, ends = [], []
    for stroke in strokes:
        points = np.array(stroke)
        along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
        fine = np.linspace(0, along[-1], 1 + int(np.ceil(along[-1] / SPACING)))
        curve = CubicSpline(along, points, bc_type="natural")(fine)
        starts.append(curve[:-1])
        ends.append(curve[1:])
    return np.concatenate(starts), np.concatenate(ends)


def _write(rng: np.random.Generator, starts: np.ndarray, ends: np.ndarray, count: int) -> np.ndarray:
    """Writes one path `count` times, each time in another hand: uint8 (count, 28, 28)."""

    def uniform(low: float, high: float) -> np.ndarray:
        return rng.uniform(low, high, (count, 1, 1))

    path = np.stack([starts, ends]).reshape(1, -1, 2) - 0.5  # (1, 2 * pieces, 2) around the middle of the digit
    # Two slow waves bend the whole plane, so that strokes that meet still meet.
    for _ in range(2):
        across = rng.uniform(-0.9, 0.9, (count, 2, 1))  # cycles per height, in x and y
        path = path + rng.normal(0, 0.045, (count, 1, 2)) * np.sin(2 * np.pi * (path @ across + uniform(0, 1)))
    x, y = path[..., :1], path[..., 1:]
    x = uniform(0.75, 1.2) * x - uniform(-0.1, 0.4) * y  # most people slant to the right
    turn = np.radians(uniform(-8, 8))
    path = np.concatenate([x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)], axis=2)

    radius = uniform(0.7, 1.8)
    extent = np.ptp(path, axis=1, keepdims=True).max(axis=2, keepdims=True)
    path = path * (uniform(0.86, 1) * BOX - 2 * radius) / extent
    pieces = path.reshape(count, 2, -1, 2)
    length = np.linalg.norm(pieces[:, 1] - pieces[:, 0], axis=2, keepdims=True)
    mass = (pieces.mean(axis=1) * length).sum(axis=1) / length.sum(axis=1)  # (count, 2): the centre of the ink
    pieces = pieces - mass[:, None, None] + 13.5 + rng.uniform(-0.7, 0.7, (count, 1, 1, 2))
    # A digit with all its mass at one end (a seven) would touch the frame: move it in.
    low, high = pieces.min(axis=(1, 2), keepdims=True), pieces.max(axis=(1, 2), keepdims=True)
    room = radius[..., None] + 1.5
    pieces = pieces + np.maximum(room - low, 0) - np.maximum(high - (27 - room), 0)

    distance = np.full((count, 28, 28), np.inf, np.float32)
    for piece in np.moveaxis(pieces.astype(np.float32), 2, 0):  # (count, 2, 2) at a time
        np.minimum(distance, capsule(piece[:, 0], piece[:, 1], 0, CANVAS), out=distance)
    ink = np.clip((radius - distance) / uniform(1, 1.6) + 0.5, 0, 1)
    return np.rint(255 * ink).astype(np.uint8)
