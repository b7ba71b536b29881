"""Features of whole clips, which depend on the order of frames: the basis of a distance between animations."""

from __future__ import annotations

import numpy as np
from scipy.fft import dct

from ..checks import instance, kind, whole
from .features import Features

TERMS = 4  # of the cosine series: the last one has one and a half periods over the clip


def clip_features(clips: np.ndarray, features: Features, terms: int = TERMS) -> np.ndarray:
    """Features of whole clips, from the features of their frames.

    The d features of a clip's frames are d curves over time. Each is expanded in a cosine series, of which the first
    terms are kept: the mean, the drift from one end to the other, the curvature, and so on. The terms are those of the
    orthonormal DCT-II over √T, so that a clip's features do not grow with its length.

    Distances between sets of such rows see what a set of single frames cannot: a frozen clip has only a mean, shuffled
    frames have small slow terms. Most of such a distance is still due to how the clips look; the terms after the first
    d, taken alone, measure how they move. Compare only clips of one length and frame rate, and Fréchet distances only
    at equal N.

    Source: like FVD, a Fréchet or kernel distance on features of clips (Unterthiner et al., Towards accurate generative
    models of video, 2018), but without its network, which has to be downloaded; the series is defined here.

    Example:
        >>> look = load_features("animlab")
        >>> frechet_distance(clip_features(drawn, look), clip_features(real, look))

    Args:
        clips: (N, T, H, W, C) uint8, T at least `terms`.
        features: the network, as load_features gives it, with d features.
        terms: terms of the cosine series to keep, at least 1.

    Returns:
        (N, terms · d), all means first, then all drifts, and so on.

    Raises:
        ValueError: There are no clips, or they have fewer frames than `terms`.
    """
    instance("clip_features takes what load_features gives", features, Features)
    terms = whole("terms", terms, 1)
    if not isinstance(clips, np.ndarray) or clips.ndim != 5 or not clips.size or terms > clips.shape[1]:
        raise ValueError(f"Clips are uint8 (N, at least {terms} frames, H, W, C), got {kind(clips)}.")
    seen = features(clips.reshape(-1, *clips.shape[2:]))
    return cosine_series(seen.reshape(*clips.shape[:2], features.size), terms)


def cosine_series(curves: np.ndarray, terms: int = TERMS) -> np.ndarray:
    """The first terms of the cosine series of curves over time; see `clip_features`.

    Args:
        curves: (N, T, d), d curves for each of N clips.
        terms: how many to keep, 1 to T.

    Returns:
        (N, terms · d), all means first, then all drifts, and so on.
    """
    series = dct(curves, axis=1, norm="ortho")[:, :terms] / np.sqrt(curves.shape[1])
    return series.reshape(len(curves), -1)
