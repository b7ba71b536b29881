"""Labels read off clips: does c'(t) follow a motion, and is it periodic?"""

from __future__ import annotations

import numpy as np


def following(read: np.ndarray, factor: np.ndarray, clips: np.ndarray) -> np.ndarray:
    """How closely each c' follows a factor within each clip: Spearman's ρ.

    Example:
        >>> _, _, c = model.read(clips.frames)
        >>> abs(following(c, clips.factors["x"], clips.clips)).max(axis=1)     # the best c of each clip

    Args:
        read: (N, n), what was read off each frame.
        factor: (N,), its true value.
        clips: table with a row for each clip, with "start" and "length", such as Clips.clips.

    Returns:
        (number of clips, n), -1 to 1; NaN where either does not change within a clip.

    Raises:
        ValueError: `read` and `factor` differ in N.
    """
    if read.ndim != 2 or factor.shape != read.shape[:1]:
        raise ValueError(f"following takes readings (N, n) and a factor (N,), got {read.shape} and {factor.shape}.")
    return np.stack([_spearman(read[rows], factor[rows]) for rows in map(rows_of, clips)])


def rows_of(clip: np.void) -> slice:
    """The rows of a clip's frames.

    Args:
        clip: its row of the table, with "start" and "length".
    """
    return slice(clip["start"], clip["start"] + clip["length"])


def recurrence(signal: np.ndarray) -> tuple[float, int]:
    """How reliably a signal repeats, and with what period.

    The result is the highest local maximum of the autocorrelation, summed over the components, between its first fall
    below zero and a lag of 2 T / 3. Of maxima within 0.1 of the highest the first counts, so that a multiple of the
    period is not taken for it.

    Example:
        >>> recurrence(np.sin(2 * np.pi * np.arange(60) / 20)[:, None])
        (1.0, 20)

    Args:
        signal: (T, n), for example c' over a clip.

    Returns:
        The autocorrelation, 1 for a signal that repeats exactly and near 0 for noise, and the period in frames. (0.0,
        0) where there is no maximum, as for a single hump, a trend, or fewer than 8 frames.

    Raises:
        ValueError: The signal is not (T, n).
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
    from scipy.stats import rankdata

    a, b = rankdata(read, axis=0), rankdata(factor)[:, None]
    a, b = a - a.mean(axis=0), b - b.mean()
    scale = np.sqrt((a * a).sum(axis=0) * (b * b).sum())
    with np.errstate(invalid="ignore"):
        return (a * b).sum(axis=0) / np.where(scale > 0, scale, np.nan)
