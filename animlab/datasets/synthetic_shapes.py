"""The synthetic `shapes`: a circle or a square that follows a Bézier path, with all true values known."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .drawing import capsule, coverage, paint, square
from .source import SIZE, Clip, Source

CLASSES = ("up", "left")  # as in the real set, a class is a kind of motion; circle or square is a factor
KINDS = ("circle", "square")
CLIPS = 600


def shapes_stand_in() -> Source:
    """The synthetic version: 600 rendered clips of 32 frames, always the same ones."""
    return Source((Path(__file__), Path(__file__).with_name("drawing.py")), CLIPS, render_shapes)


def render_shapes(clips: int = CLIPS, length: int = 32, seed: int = 0) -> Iterator[Clip]:
    """Renders clips of one moving shape on black.

    Motion (the class), kind, size, colour and path vary from clip to clip.

    Args:
        clips: number of clips.
        length: frames in a clip.
        seed: the same seed gives the same clips.

    Yields:
        Clips, uint8 (length, 64, 64, 3), with factors, each (length,) float32. These are class (index into CLASSES),
        kind (index into KINDS), phase (0 at the start of the path, 1 at its end), x and y (centre, pixels), size
        (diameter or side, pixels), r, g, b (0 to 255).
    """
    for index in range(clips):
        rng = np.random.default_rng([seed, index])
        motion, kind = index % 2, index // 2 % 2
        size = rng.uniform(8, 14)  # the range of the real set
        colour = rng.integers(0, 256, 3)
        colour[rng.integers(3)] = rng.integers(96, 256)  # never so dark that it drowns in the background
        phase = np.linspace(0, 1, length, dtype=np.float32)
        centre = _path(rng, phase, size, motion)

        distance = square(centre, size) if kind else capsule(centre, centre, size / 2)
        frames = np.zeros((length, SIZE, SIZE, 3), np.float32)
        paint(frames, coverage(distance), colour)

        constant = {"class": motion, "kind": kind, "size": size, "r": colour[0], "g": colour[1], "b": colour[2]}
        factors = {name: np.full(length, value, np.float32) for name, value in constant.items()}
        factors |= {"phase": phase, "x": centre[:, 0], "y": centre[:, 1]}
        yield Clip(np.rint(frames).astype(np.uint8), CLASSES[motion], factors=factors)


def _path(rng: np.random.Generator, phase: np.ndarray, size: float, motion: int) -> np.ndarray:
    """A cubic Bézier path, (T, 2) points: from one edge to the opposite one, swaying sideways and back.

    The curve stays within the convex hull of its four control points, so the shape never leaves the frame.
    """
    low, high = size / 2, SIZE - 1 - size / 2
    ahead = np.array([high, *rng.uniform(low, high, 2), low])
    ahead[1:3].sort()
    ahead[1:3] = ahead[2:0:-1]  # the inner control points in order, so that the shape never turns back
    aside = rng.uniform(low, high, 4)
    aside[3] = aside[0]
    control = np.stack([aside, ahead] if CLASSES[motion] == "up" else [ahead, aside], axis=1)
    t = phase[:, None]
    weights = np.hstack([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3])
    return (weights @ control).astype(np.float32)
