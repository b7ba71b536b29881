"""Labels read back off clips: does a reading c'(t) follow a motion, and does it come round again?"""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata


def following(read: np.ndarray, factor: np.ndarray, clips: np.ndarray) -> np.ndarray:
    """How closely each reading follows a factor within each clip: Spearman's ρ, (clips, n), -1 to 1.

    >>> _, _, c = model.read(clips.frames)
    >>> abs(following(c, clips.factors["x"], clips.clips)).max(axis=1)     # the best c of each clip

    read: (N, n), what was read off each frame; factor: (N,), the true value behind it; clips: one row a clip with
    "start" and "length". NaN where either does not change within a clip. Raises ValueError where N differs.
    """
    if read.ndim != 2 or factor.shape != read.shape[:1]:
        raise ValueError(f"following takes readings (N, n) and a factor (N,), got {read.shape} and {factor.shape}.")
    return np.stack([_spearman(read[rows], factor[rows]) for rows in map(rows_of, clips)])


def rows_of(clip: np.void) -> slice:
    """Where a clip's frames are, given its row of the table."""
    return slice(clip["start"], clip["start"] + clip["length"])


def recurrence(signal: np.ndarray) -> tuple[float, int]:
    """How surely a signal comes round again, and after how many steps: (0 to 1, period).

    >>> recurrence(np.sin(2 * np.pi * np.arange(60) / 20)[:, None])
    (1.0, 20)

    signal: (T, n), for example c' over a clip. The answer is the highest local maximum of the autocorrelation, summed
    over the n parts, between its first fall below zero and 2 T / 3: 1 for a signal that repeats itself exactly, near 0
    for noise. Of maxima within 0.1 of the highest the first counts, lest a multiple of the period be taken for it.
    (0.0, 0) where there is none, as for a single hump, a trend, or fewer than 8 steps.
    """
    if signal.ndim != 2:
        raise ValueError(f"recurrence takes a signal (T, n), got shape {signal.shape}.")
    x = signal.astype(np.float64) - signal.mean(axis=0)
    lags = np.arange(2 * len(x) // 3 + 1)
    r = np.array([_cosine(x[lag:], x[: len(x) - lag]) for lag in lags])  # each lag by its own overlap
    below = np.flatnonzero(r < 0)
    if len(x) < 8 or not len(below):
        return 0.0, 0
    inner = lags[below[0] + 1 : -1]
    peaks = inner[(r[inner] > 0) & (r[inner] >= r[inner - 1]) & (r[inner] > r[inner + 1])]
    if not len(peaks):
        return 0.0, 0
    first = peaks[r[peaks] >= r[peaks].max() - 0.1][0]
    return round(float(r[first]), 6), int(first)


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    scale = np.sqrt((a * a).sum() * (b * b).sum())
    return (a * b).sum() / scale if scale > 0 else 0.0


def _spearman(read: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """Pearson's correlation of the ranks, (n,)."""
    a, b = rankdata(read, axis=0), rankdata(factor)[:, None]
    a, b = a - a.mean(axis=0), b - b.mean()
    scale = np.sqrt((a * a).sum(axis=0) * (b * b).sum())
    with np.errstate(invalid="ignore"):
        return (a * b).sum(axis=0) / np.where(scale > 0, scale, np.nan)
