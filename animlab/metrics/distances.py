"""Distances and scores of feature sets: Fréchet distance, kernel distance, inception score, precision and recall.

Only the arithmetic is here; `features.py` says where features come from, and so what a number may be called: FID, KID
and IS, as papers report them, are these numbers on Inception's features and on no others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.linalg import eigh, eigvalsh

from ..checks import whole

CHUNK = 1000  # rows of a distance table at once


@dataclass
class Statistics:
    """Count, mean and covariance of features that come in batches, in float64 and in the memory of one (d, d) matrix.

    Sums are kept about the first batch's mean, so that a large common offset costs no digits.

    Example:
        >>> found = Statistics(64)
        >>> for batch in batches: found.add(batch)      # each (n, 64)
        >>> found.mean, found.cov                       # (64,), (64, 64), divided by N - 1

    Args:
        size: d, the number of features.
        count: N, the number of rows added so far; leave it at 0.
    """

    size: int
    count: int = 0

    def __post_init__(self) -> None:
        self._origin = np.zeros(self.size)
        self._sum = np.zeros(self.size)
        self._products = np.zeros((self.size, self.size))

    @classmethod
    def of(cls, features: np.ndarray) -> Statistics:
        """The statistics of features that are all in memory.

        Args:
            features: (N, d), N at least 1, finite.

        Raises:
            ValueError: The features have another shape, or are not finite.
        """
        features = _checked(features)
        found = cls(features.shape[1])
        found.add(features)
        return found

    def add(self, batch: np.ndarray) -> None:
        """Adds a batch.

        Args:
            batch: (n, size), finite.

        Raises:
            ValueError: The batch has another shape, or is not finite.
        """
        if batch.ndim != 2 or batch.shape[1] != self.size:
            raise ValueError(f"These statistics are of features (n, {self.size}), got a batch {batch.shape}.")
        batch = batch.astype(np.float64)
        if not np.isfinite(batch).all():
            raise ValueError(f"A batch {batch.shape} holds features that are not finite.")
        if self.count == 0 and len(batch):
            self._origin = batch.mean(axis=0)
        batch = batch - self._origin
        self.count += len(batch)
        self._sum += batch.sum(axis=0)
        self._products += batch.T @ batch

    @property
    def mean(self) -> np.ndarray:
        """The mean, (d,); ValueError if nothing was added."""
        if self.count < 1:
            raise ValueError("No features were added, so there is no mean.")
        return self._origin + self._sum / self.count

    @property
    def cov(self) -> np.ndarray:
        """The covariance, (d, d), of rank min(d, N - 1) at most; ValueError for fewer than two rows."""
        if self.count < 2:
            raise ValueError(f"A covariance needs at least two features, got {self.count}.")
        return (self._products - np.outer(self._sum, self._sum) / self.count) / (self.count - 1)


class Estimate(NamedTuple):
    """A number averaged over subsets or splits of a sample.

    Attributes:
        mean: over the subsets.
        std: standard deviation over the subsets.
    """

    mean: float
    std: float


class PrecisionRecall(NamedTuple):
    """Improved precision and recall; see `precision_recall`.

    Attributes:
        precision: do the pictures look real? 0 to 1, higher is better.
        recall: are all kinds of real pictures drawn? 0 to 1, higher is better.
    """

    precision: float
    recall: float


def frechet_distance(x: np.ndarray | Statistics, y: np.ndarray | Statistics) -> float:
    """The squared Fréchet (2-Wasserstein) distance between the Gaussians fitted to two feature sets; lower is better.

    ``|μ_x - μ_y|² + tr(Σ_x + Σ_y - 2 (Σ_x Σ_y)^½)``, at least 0 (equal mean and covariance), in squared feature units.
    On Inception's pooled features this is FID.

    Sample size: the estimate is biased upwards, roughly by a constant over N. Two samples of ONE distribution have a
    distance well above 0 until N is many times d, and below N = d + 1 the covariance has rank N - 1 and says little.
    Compare only at equal N, beside the same number for real against real. Only mean and covariance count: the order of
    frames, copies of the training data and anything the features ignore are invisible to it.

    The trace of the root is that of (Σ_x^½ Σ_y Σ_x^½)^½, which is symmetric, so that rank-deficient covariances need no
    added diagonal. Rounding can shift it by about 10⁻⁷ of the traces; negative results are returned as 0.

    Source: Dowson and Landau, "The Fréchet distance between multivariate normal distributions", J. Multivariate
    Analysis 1982; Heusel et al., "GANs trained by a two time-scale update rule …", NeurIPS 2017 (FID).

    Args:
        x: features (N, d), N at least 2, or their Statistics.
        y: features (M, d), M at least 2, or their Statistics.

    Raises:
        ValueError: The sets differ in d, have fewer than two rows, or are not finite.
    """
    x, y = (part if isinstance(part, Statistics) else Statistics.of(part) for part in (x, y))
    if x.size != y.size:
        raise ValueError(f"Both feature sets need the same number of features, got {x.size} and {y.size}.")
    values, vectors = eigh(x.cov)
    root = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T  # Σ_x^½; rounding leaves zeros slightly negative
    trace_of_root = np.sqrt(eigvalsh(root @ y.cov @ root).clip(min=0)).sum()
    distance = ((x.mean - y.mean) ** 2).sum() + np.trace(x.cov) + np.trace(y.cov) - 2 * trace_of_root
    return max(float(distance), 0.0)


def kernel_distance(
    x: np.ndarray,
    y: np.ndarray,
    subsets: int = 100,
    subset_size: int = 1000,
    rng: np.random.Generator | None = None,
) -> Estimate:
    """The squared maximum mean discrepancy under k(a, b) = (a·b / d + 1)³; lower is better.

    On each of several random subsets: the mean of k within x, plus that within y, both without the diagonal, minus
    twice that between them. On Inception's pooled features this is KID.

    Unbiased: 0 on average for two samples of one distribution, whatever their size, and so about as often slightly
    below 0 as above. Small samples make it noisy, not wrong. The standard deviation is that of one subset: since
    subsets overlap it is no error bar of the mean. The value grows with the features' scale: compare only values from
    the same features.

    Source: Bińkowski et al., "Demystifying MMD GANs", ICLR 2018.

    Args:
        x: features (N, d).
        y: features (M, d).
        subsets: number of subsets, at least 1.
        subset_size: rows drawn from each set without replacement, 2 to min(N, M).
        rng: draws the rows; None is a generator with seed 0.

    Returns:
        Mean and standard deviation over the subsets.

    Raises:
        ValueError: `subsets` or `subset_size` is out of range, or the features differ in d or are not finite.
    """
    x, y = _checked(x), _checked(y)
    _same_size(x, y)
    if min(len(x), len(y)) < 2:
        raise ValueError(f"A kernel distance needs two features a side, got {len(x)} and {len(y)}.")
    subset_size = whole("subset_size", subset_size, 2, min(len(x), len(y)))
    rng = np.random.default_rng(0) if rng is None else rng
    found = []
    for _ in range(whole("subsets", subsets, 1)):
        one = x[rng.choice(len(x), subset_size, replace=False)]
        other = y[rng.choice(len(y), subset_size, replace=False)]
        found.append(_unbiased(one) + _unbiased(other) - 2 * _cubic(one, other).mean())
    return Estimate(float(np.mean(found)), float(np.std(found)))


def _cubic(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    table = x @ y.T / x.shape[1] + 1
    return table * table * table  # many times faster than ** 3


def _unbiased(x: np.ndarray) -> float:
    """The mean of the kernel over all pairs of different rows."""
    table = _cubic(x, x)
    return (table.sum() - np.trace(table)) / (len(x) * (len(x) - 1))


def inception_score(probabilities: np.ndarray, splits: int = 10) -> Estimate:
    """exp of the mean KL(p(y|x) ‖ p(y)): high for confident predictions of many classes; higher is better.

    Sample size: biased downwards, since N / splits pictures can show at most that many classes. It never sees a real
    picture: one perfect copy of each class scores K, and blur, noise or wrong frames count only so far as they confuse
    the classifier. On Inception's 1008 outputs it is IS; on any other classifier it is comparable with itself alone.

    Source: Salimans et al., "Improved techniques for training GANs", NeurIPS 2016; Barratt and Sharma, "A note on the
    inception score", 2018, on its limits.

    Args:
        probabilities: (N, K), each row p(y|x) of one picture. Shuffle rows that are sorted.
        splits: number of consecutive parts that the rows are cut into, 1 to N; p(y) is the mean within one.

    Returns:
        Mean and standard deviation over the parts, each from 1 to K.

    Raises:
        ValueError: A row is no probability distribution, or `splits` is out of range.
    """
    p = _checked(probabilities)
    if p.min() < 0 or np.abs(p.sum(axis=1) - 1).max() > 1e-3:
        raise ValueError("Each row of probabilities is at least 0 and sums to 1: take the softmax of the logits first.")
    splits = whole("splits", splits, 1, len(p))
    found = []
    for i in range(splits):
        part = p[i * len(p) // splits : (i + 1) * len(p) // splits]
        ratio = np.log(np.maximum(part, 1e-300)) - np.log(np.maximum(part.mean(axis=0), 1e-300))  # 0·log 0 is 0
        found.append(np.exp((part * ratio).sum(axis=1).mean()))
    return Estimate(float(np.mean(found)), float(np.std(found)))


def precision_recall(fake: np.ndarray, real: np.ndarray, k: int = 3) -> PrecisionRecall:
    """Improved precision and recall: is each fake on the real manifold, and each real picture on the fake one?

    A set's manifold is the union of balls about its points, with the distance to the k-th nearest other point as
    radius. Precision is the fraction of fakes inside the real manifold, recall that of real pictures inside the fake
    one.

    Sample size: balls shrink as a set grows, and either number depends on both sizes, so compare at equal N and M,
    beside real against real (which is not 1). A single outlier's large ball includes much. Copies of real pictures have
    precision 1. Frames of clips lie in chains of near-copies, whose balls reach to the neighbouring frames and no
    further: there even real frames of another take may have a precision near 0.

    Source: Kynkäänniemi et al., "Improved precision and recall metric for assessing generative models", NeurIPS 2019.

    Args:
        fake: features (N, d).
        real: features (M, d).
        k: which nearest neighbour gives the radius, 1 to min(N, M) - 1.

    Returns:
        Precision and recall, each 0 to 1.

    Raises:
        ValueError: k is out of range, or the features differ in d or are not finite.
    """
    fake, real, k = _checked(fake), _checked(real), whole("k", k, 1)
    _same_size(fake, real)
    smaller = min(len(fake), len(real))
    if k >= smaller:
        raise ValueError(f"k must be less than the size of the smaller set of features, {smaller}, got {k}.")
    return PrecisionRecall(_share_inside(fake, real, k), _share_inside(real, fake, k))


def _share_inside(points: np.ndarray, centres: np.ndarray, k: int) -> float:
    """The fraction of points in any of the balls about `centres` that reach to their k-th nearest neighbour."""
    middle = centres.mean(axis=0)  # a common offset would cost digits
    points, centres = points - middle, centres - middle
    # A copy of a centre lies in its ball, even in one without extent; by rounding it may be a little off.
    rounding = 1e-12 * max(np.square(table).sum(axis=1).max() for table in (points, centres))
    # Its own distance, 0, is each centre's smallest, so the k-th nearest other is the (k+1)-th.
    radii = np.concatenate([np.partition(table, k, axis=1)[:, k] for table in _squared_distances(centres, centres)])
    inside = [(table <= radii + rounding).any(axis=1) for table in _squared_distances(points, centres)]
    return float(np.concatenate(inside).mean())


def _squared_distances(x: np.ndarray, y: np.ndarray) -> Iterator[np.ndarray]:
    """Squared Euclidean distances, CHUNK rows at a time, by a matrix product: many times faster than cdist."""
    for part in np.split(x, range(CHUNK, len(x), CHUNK)):
        yield np.square(part).sum(axis=1)[:, None] + np.square(y).sum(axis=1) - 2 * part @ y.T


def _checked(features: np.ndarray) -> np.ndarray:
    """As float64; ValueError unless a table (N, d) of finite numbers."""
    table = np.asarray(features, dtype=np.float64)
    if table.ndim != 2 or not table.size:
        raise ValueError(f"Features are a table (N, d) with at least one row, got shape {table.shape}.")
    if not np.isfinite(table).all():
        raise ValueError(f"Features of shape {table.shape} hold values that are not finite.")
    return table


def _same_size(x: np.ndarray, y: np.ndarray) -> None:
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"Both feature sets need the same number of features, got {x.shape[1]} and {y.shape[1]}.")
