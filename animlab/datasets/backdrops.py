"""Backgrounds for the rendered portraits: what is behind people in photographs, out of focus."""

from __future__ import annotations

import numpy as np

from .drawing import SIZE, X, Y, capsule, coverage, paint, smooth_noise

KINDS = ("gradient", "lights", "foliage", "curtain", "room")


def backdrop(rng: np.random.Generator, kind: int) -> np.ndarray:
    """Paints a random background.

    Args:
        rng: source of randomness.
        kind: index into KINDS.

    Returns:
        (64, 64, 3) float32, 0 to 255.
    """
    return (_gradient, _lights, _foliage, _curtain, _room)[kind](rng)


def _colour(rng: np.random.Generator, dark: float = 20, bright: float = 235) -> np.ndarray:
    """A colour of any hue that is mostly muted, (3,)."""
    grey = rng.uniform(dark, bright)
    return np.clip(grey + rng.uniform(0, 32) * rng.normal(0, 1, 3), 5, 250)


def _blend(share: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return ((1 - share[..., None]) * one + share[..., None] * other).astype(np.float32)


def _gradient(rng: np.random.Generator) -> np.ndarray:
    """A studio's wall, brighter where the lamp stands."""
    angle = rng.uniform(0, 2 * np.pi)
    across = 0.5 + ((X - 31.5) * np.cos(angle) + (Y - 31.5) * np.sin(angle)) / 90
    lamp = np.exp(-((X - rng.uniform(0, 63)) ** 2 + (Y - rng.uniform(0, 40)) ** 2) / rng.uniform(400, 1600))
    one = _colour(rng)
    return _blend(np.clip(across, 0, 1), one, one * rng.uniform(0.5, 0.9)) + (rng.uniform(5, 35) * lamp)[..., None]


def _lights(rng: np.random.Generator) -> np.ndarray:
    """Lamps of an evening street, out of focus."""
    base = _colour(rng, 15, 70)
    frames = _blend(np.clip(Y / SIZE, 0, 1), base, base * 0.6)[None].copy()
    for _ in range(rng.integers(8, 22)):
        at = rng.uniform(-4, 68, (1, 2))
        disc = coverage(capsule(at, at, rng.uniform(2, 8)) / rng.uniform(1, 3))
        tint = np.clip(rng.uniform(120, 255) + rng.normal(0, 45, 3), 20, 255)
        paint(frames, rng.uniform(0.15, 0.6) * disc, tint)
    return frames[0]


def _foliage(rng: np.random.Generator) -> np.ndarray:
    """Leaves with gaps of sky."""
    leaf, sky = np.array([70.0, 105, 50]) * rng.uniform(0.5, 1.2), np.array([205.0, 215, 200]) * rng.uniform(0.7, 1.1)
    leaf = leaf + rng.normal(0, 12, 3)
    coarse = smooth_noise(rng, 6, 6) + 0.7 * smooth_noise(rng, 14, 14) + 0.45 * smooth_noise(rng, 28, 28)
    gaps = np.clip(2.5 * (coarse - rng.uniform(0.55, 1.1)), 0, 0.85)
    return np.clip(_blend(gaps, leaf * (1 + 0.5 * coarse)[..., None], sky), 0, 255)


def _curtain(rng: np.random.Generator) -> np.ndarray:
    """Folds or stripes, upright or leaning."""
    lean, width = rng.normal(0, 0.25), rng.uniform(5, 16)
    place = 2 * np.pi * (X + lean * Y + 1.5 * smooth_noise(rng, 4, 4)) / width + rng.uniform(0, 6)
    share = 0.5 + 0.5 * np.tanh(rng.uniform(0.8, 5) * np.sin(place))
    one = _colour(rng)
    other = _colour(rng) if rng.random() < 0.35 else one * rng.uniform(0.55, 0.85)
    return _blend(share, one, other)


def _room(rng: np.random.Generator) -> np.ndarray:
    """A wall with a few frames, shelves or panes on it."""
    wall = _colour(rng, 60, 225)
    frames = np.repeat(_blend(np.clip((X + Y) / 140, 0, 1), wall, wall * 0.85)[None], 1, axis=0)
    for _ in range(rng.integers(2, 6)):
        x, y = rng.uniform(-8, 70, 2)
        wide, high = rng.uniform(6, 22), rng.uniform(6, 28)
        outside = np.maximum(np.abs(X - x) - wide / 2, np.abs(Y - y) - high / 2)[None]
        paint(frames, coverage((outside - 1.5) / 1.5), wall * rng.uniform(0.4, 0.75))
        paint(frames, coverage(outside / 1.5), _colour(rng))
    return frames[0]
