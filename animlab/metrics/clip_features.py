"""Features of whole clips, which see the order of frames: what a distance between animations is made from."""

from __future__ import annotations

import numpy as np
from scipy.fft import dct

from ..checks import instance, kind, whole
from .features import Features

TERMS = 4  # of the cosine series: over 16 frames, up to one and a half swings


def clip_features(clips: np.ndarray, features: Features, terms: int = TERMS) -> np.ndarray:
    """The features of whole clips, float32 (N, terms · d): uint8 (N, T, H, W, C), T at least `terms`.

    >>> look = load_features("animlab")
    >>> frechet_distance(clip_features(drawn, look), clip_features(real, look))

    The d features of a clip's frames are d curves over time. Each is written as a cosine series, of which the first
    terms are kept: its mean, how far it drifts from one end to the other, how far it bows, … The terms are those of the
    orthonormal DCT-II over √T, so that a clip's features do not grow with its length. Distances between sets of such
    rows see what a set of single frames cannot: a frozen clip has only a mean, shuffled frames have small slow terms.
    Most of such a distance still is how the clips look; the terms after the first d, alone, say how they move. Clips of
    one length and one frame rate alone can be compared, and Fréchet distances only at equal N.

    Source: as FVD, a Fréchet or kernel distance on features of clips (Unterthiner et al., Towards accurate generative
    models of video, 2018), without its network, which has to be downloaded; the series is defined here.
    """
    instance("clip_features takes what load_features gives", features, Features)
    terms = whole("terms", terms, 1)
    if not isinstance(clips, np.ndarray) or clips.ndim != 5 or not clips.size or terms > clips.shape[1]:
        raise ValueError(f"Clips are uint8 (N, at least {terms} frames, H, W, C), got {kind(clips)}.")
    seen = features(clips.reshape(-1, *clips.shape[2:]))
    return cosine_series(seen.reshape(*clips.shape[:2], features.size), terms)


def cosine_series(curves: np.ndarray, terms: int = TERMS) -> np.ndarray:
    """The first terms of N times d curves over time, (N, T, d) → (N, terms · d): all means first, then all drifts, …"""
    series = dct(curves, axis=1, norm="ortho")[:, :terms] / np.sqrt(curves.shape[1])
    return series.reshape(len(curves), -1)
