"""All measures on sets of pictures for a model in one call, beside the same for real against real."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from ..checks import offers, seed_of, whole
from ..datasets.clips import Clips
from ..model import Model
from .distances import Statistics, frechet_distance, inception_score, kernel_distance, precision_recall
from .features import BATCH, Features, Rows, features_of

SUBSETS, SUBSET_SIZE, SPLITS = 50, 1000, 10


def evaluate(
    model: Model,
    clips: Clips,
    frames: int = 2000,
    features: str | Features = "auto",
    seed: int = 0,
    progress: bool = True,
) -> dict[str, Any]:
    """Measures how far a model's pictures are from real ones, and how far real ones are from each other.

    It compares n pictures drawn from random labels, n real ones, and n OTHER real ones, drawn from all of `clips`
    without replacement. Pictures are processed in batches; only their features stay in memory.

    Judge the row "model" by the row "real": no sample can do better than a sample of the data does. Real frames of one
    clip are near-copies of each other, so "real" is a lower bound; other recordings of the same things are further away
    (clips.split), and have a precision near 0 where clips are few.

    Example:
        >>> found = animlab.metrics.evaluate(model, clips, frames=1000, features="animlab")
        >>> found["distance"], found["model"]["FD"], found["real"]["FD"]
        ('FD(animlab-features)', 10.3, 0.7)                       # the shipped model of the actions

    Args:
        model: the model to measure.
        clips: the real frames, at least 2n.
        frames: n, the pictures in each set, at least 20.
        features: a name for load_features, or what it returned.
        seed: seed of labels and frames, 0 to 2³² - 1.
        progress: whether to show progress bars.

    Returns:
        A dict with "distance" ("FID" or "FD(…)"), "features", "frames", "seed", and two rows. "model" compares the
        model's pictures with the first real ones, "real" the other real ones with the same. A row holds FD, KID,
        KID_std, precision, recall, IS and IS_std, as defined in distances.py.

    Raises:
        ValueError: There are fewer than 2n frames, n is below 20, or seed or features are invalid.
        TypeError: These are not a Model and Clips.
    """
    frames, seed = whole("frames", frames, 0), seed_of(seed)
    offers("evaluate takes a Model, such as animlab.load gives", model, "space", "frames")
    offers("evaluate takes Clips, such as load_dataset gives", clips, "frames", "clips")
    if frames < 20:
        raise ValueError(f"An evaluation needs at least 20 frames, got {frames}; fewer than 1,000 say little.")
    if len(clips) < 2 * frames:
        raise ValueError(
            f"{frames} frames against {frames} other real ones take {2 * frames}, but {clips!r} has {len(clips)}: "
            f"ask for frames={len(clips) // 2} at most."
        )
    look = features_of(features, progress)
    rng = np.random.default_rng(seed)
    rows = rng.choice(len(clips), 2 * frames, replace=False)
    real, other = (look.read(Rows(clips.frames, np.sort(half)), progress) for half in (rows[:frames], rows[frames:]))
    drawn = look.read(_drawn(model, frames, seed), progress)
    known = Statistics.of(real[0])

    def row(found: tuple[np.ndarray, np.ndarray]) -> dict[str, float]:
        x, probabilities = found
        kid = kernel_distance(x, real[0], SUBSETS, min(SUBSET_SIZE, frames // 2), np.random.default_rng(seed))
        score = inception_score(np.random.default_rng(seed).permutation(probabilities), SPLITS)
        near = precision_recall(x, real[0])
        return {
            "FD": frechet_distance(x, known), "KID": kid.mean, "KID_std": kid.std,
            "precision": near.precision, "recall": near.recall, "IS": score.mean, "IS_std": score.std,
        }  # fmt: skip

    return {
        "distance": look.distance, "features": look.name, "frames": frames, "seed": seed,
        "model": row(drawn), "real": row(other),
    }  # fmt: skip


def _drawn(model: Model, count: int, seed: int) -> Iterator[np.ndarray]:
    labels = model.space.sample(count, torch.Generator().manual_seed(seed))
    for i in range(0, count, BATCH):
        yield model.frames(labels[i : i + BATCH])
