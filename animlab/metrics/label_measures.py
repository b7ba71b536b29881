"""Measures of labels, which the paper lacks: is a sweep smooth and one-way, is d a class, is c a single factor?"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from scipy.spatial.distance import pdist

from ..checks import check_frames, instance, seed_of, whole
from ..labels import Labels
from ..networks import Network
from ..networks.common import drawn

BINS = 20  # of a continuous variable, for mutual information
KINDS = 20  # a factor of whole numbers with at most so many values is a class, not a quantity


@dataclass(frozen=True)
class Smoothness:
    """How even and how straight the steps of a sweep are; see `smoothness`.

    Attributes:
        jump: 1 (equal steps) to T - 1 (one step does everything).
        bend: 0 (every step repeats the one before) to 2 (every step undoes it).
    """

    jump: float
    bend: float


def smoothness(frames: np.ndarray) -> Smoothness:
    """Does a sweep move evenly, or does it stand still and jump?

    With v_t = x_{t+1} - x_t, the differences between pictures, and ‖·‖ the root mean square over pixels:

    - jump = max ‖v_t‖ / mean ‖v_t‖: 1 where all steps are equal, T - 1 where one step does everything;
    - bend = mean ‖v_{t+1} - v_t‖ / mean ‖v_t‖: 0 where every step repeats the one before, √3 for independent frames, 2
      where each step undoes the one before.

    Both are smoother the lower they are. A frozen sweep, which has no steps, gives NaN. A moving edge bends even where
    its motion is steady, since pixels switch on and off; so compare with real clips of as many frames, not with 0.

    Source: defined here; second differences as in Karras et al., A style-based generator architecture, 2019 (perceptual
    path length), which concerns pairs of labels, not a sweep.

    Args:
        frames: (T, H, W, C) uint8, T at least 3.

    Raises:
        ValueError: These are not such frames.
    """
    _check_sweep(frames)
    x = frames.reshape(len(frames), -1).astype(np.float64)
    steps = np.diff(x, axis=0)
    sizes, bends = _rms(steps), _rms(np.diff(steps, axis=0))
    if sizes.mean() == 0:
        return Smoothness(float("nan"), float("nan"))
    return Smoothness(float(sizes.max() / sizes.mean()), float(bends.mean() / sizes.mean()))


def monotonicity(frames: np.ndarray) -> float:
    """Does a sweep go one way? Spearman's ρ, over all pairs of frames, of ``|i - j|`` and how much the frames differ.

    The difference of two frames is their root mean squared error. ρ is 1 where pictures further apart on the sweep
    always differ more; about 0 where the frames are in random order; low or negative where the picture returns to where
    it began. It is NaN for a frozen sweep. A small object that has moved by more than its own size differs no more as
    it moves on, which keeps ρ below 1 however steady the motion: compare with real clips.

    Source: Mantel, The detection of disease clustering, 1967 (correlation of two distance matrices), on ranks.

    Args:
        frames: (T, H, W, C) uint8, T at least 3.

    Returns:
        -1 to 1, or NaN.

    Raises:
        ValueError: These are not such frames.
    """
    from scipy.stats import spearmanr

    _check_sweep(frames)
    places = np.arange(len(frames), dtype=float)[:, None]
    unlike = pdist(frames.reshape(len(frames), -1).astype(np.float64))
    if unlike.max() == 0:
        return float("nan")
    return float(spearmanr(pdist(places), unlike).statistic)


@dataclass(frozen=True)
class Agreement:
    """How well two clusterings of the same frames agree; see `agreement`.

    Attributes:
        nmi: normalised mutual information, 0 to 1.
        ari: adjusted Rand index, 1 for the same clustering, 0 for chance, below 0 for worse.
    """

    nmi: float
    ari: float


def agreement(d: np.ndarray, truth: np.ndarray) -> Agreement:
    """Does d cluster frames as people do? Higher is better.

    nmi = I(d; truth) / mean of their entropies: 0 for independent clusterings, 1 where each determines the other; it
    rises with the number of clusters by chance alone. ari = (pairs on which they agree - expected) / (possible -
    expected), which is corrected for chance. Neither depends on the names of the clusters.

    Source: Strehl and Ghosh, Cluster ensembles, 2002; Hubert and Arabie, Comparing partitions, 1985; computed by
    scikit-learn.

    Args:
        d: (N,) integers or names, such as the d that was read off each frame.
        truth: (N,) integers or names, the class or clip.

    Raises:
        ValueError: The two differ in shape, are empty, or hold other values.
    """
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    d, truth = np.asarray(d), np.asarray(truth)
    if d.shape != truth.shape or d.ndim != 1 or not d.size:
        raise ValueError(f"agreement compares two rows of labels (N,), N at least 1, got {d.shape} and {truth.shape}.")
    for name, labels in (("d", d), ("truth", truth)):
        if labels.dtype.kind not in "biufUSO":
            raise ValueError(f"{name} must hold whole numbers or names of kinds, got {labels.dtype}.")
        if labels.dtype.kind == "f" and not np.isfinite(labels).all():
            raise ValueError(f"{name} holds labels that are not finite, which are of no kind.")
    return Agreement(float(normalized_mutual_info_score(truth, d)), float(adjusted_rand_score(truth, d)))


def mig(codes: np.ndarray, factors: np.ndarray) -> float:
    """Mutual information gap: is each true factor in a single code? 0 to 1, higher is better.

    Mean over factors v_k of (I(code_1; v_k) - I(code_2; v_k)) / H(v_k), for the two codes with the most information
    about v_k. A factor that two codes share, or that none contains, counts 0; a code with two factors is not penalised.
    Continuous columns are cut into 20 bins of equal counts, so that 1 can be reached; with few frames even chance gives
    more than 0 (compare with shuffled rows). Factors that never change are left out.

    Source: Chen et al., Isolating sources of disentanglement, 2018.

    Args:
        codes: (N, n), such as the c that was read off each frame.
        factors: (N, k), the true values.

    Raises:
        ValueError: The tables differ in N, are not finite, or no factor changes.
    """
    from sklearn.metrics import mutual_info_score

    codes, factors = _checked(codes, factors)
    binned = [_binned(code) for code in codes.T]
    gaps = []
    for factor in factors.T:
        truth = _binned(factor)
        known = sorted((mutual_info_score(truth, code) for code in binned), reverse=True)
        gaps.append((known[0] - (known[1] if len(known) > 1 else 0)) / mutual_info_score(truth, truth))
    return float(np.mean(gaps))


@dataclass(frozen=True)
class DCI:
    """Disentanglement, completeness and informativeness, each 0 to 1; see `dci`.

    Attributes:
        disentanglement: does each code serve a single factor?
        completeness: is each factor served by a single code?
        informativeness: R², or accuracy above guessing.
    """

    disentanglement: float
    completeness: float
    informativeness: float


def dci(codes: np.ndarray, factors: np.ndarray, seed: int = 0) -> DCI:
    """Disentanglement, completeness and informativeness: each 0 to 1, higher is better.

    Random forests of 50 trees predict each factor from all codes; R_jk is the importance of code j for factor k
    (columns sum to 1).

    - disentanglement = ``Σ_j ρ_j (1 - H(R_j·))``, where H is the entropy of the row in units of log k and ρ_j its
      fraction of all importance: does code j serve one factor only?
    - completeness = mean over k of ``1 - H(R_·k)``, in units of log n: is factor k served by one code only?
    - informativeness, on the half of the rows that the forests have not seen: R² of a quantity; for a class, the
      fraction of the errors of guessing the commonest class that are avoided; none below 0.

    Without informativeness the first two say nothing: importances in forests that predict nothing are arbitrary, and
    near uniform. With one code, completeness is 1; with one factor, disentanglement is 1.

    Source: Eastwood and Williams, A framework for the quantitative evaluation of disentangled representations, 2018;
    forests from scikit-learn.

    Args:
        codes: (N, n), N at least 20, with independent rows (otherwise the halves leak).
        factors: (N, k), the true values. One of at most 20 distinct whole numbers is a class, any other a quantity.
        seed: seed of the split and the forests, 0 to 2³² - 1.

    Raises:
        ValueError: The tables differ in N, have fewer than 20 rows, are not finite, or no factor changes.
    """
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    codes, factors = _checked(codes, factors)
    if len(codes) < 20:
        raise ValueError(f"dci needs at least 20 rows, got {len(codes)}.")
    seed = seed_of(seed)
    order = np.random.default_rng(seed).permutation(len(codes))
    train, test = order[::2], order[1::2]
    importance, informed = [], []
    for factor in factors.T:
        kind = _is_kind(factor)
        forest = (RandomForestClassifier if kind else RandomForestRegressor)(
            50, max_features=None, min_samples_leaf=2, random_state=seed, n_jobs=1
        )
        forest.fit(codes[train], factor[train])
        importance.append(forest.feature_importances_)
        reached = forest.score(codes[test], factor[test])
        guess = np.unique(factor[test], return_counts=True)[1].max() / len(test) if kind else 0.0
        informed.append(max(0.0, (reached - guess) / (1 - guess)) if guess < 1 else 0.0)
    r = np.array(importance).T  # (n codes, k factors)
    shares = r.sum(axis=1) / r.sum()
    disentangled = float((shares * _concentration(r)).sum())
    return DCI(disentangled, float(_concentration(r.T).mean()), float(np.mean(informed)))


def sap(codes: np.ndarray, factors: np.ndarray) -> float:
    """Separated attribute predictability: how much better is the best single code than the next? 0 to 1, higher better.

    Mean over factors of S_1 - S_2, where S_j is how well code j ALONE predicts the factor linearly: squared correlation
    for a quantity; for a class, the accuracy of a linear classifier above guessing, as a fraction of the errors of
    guessing. Nonlinear relations are not seen.

    Source: Kumar, Sattigeri and Balakrishnan, Variational inference of disentangled latent concepts, 2018; theirs takes
    plain accuracy.

    Args:
        codes: (N, n), such as the c that was read off each frame.
        factors: (N, k), the true values. One of at most 20 distinct whole numbers is a class, any other a quantity.

    Raises:
        ValueError: The tables differ in N, are not finite, or no factor changes.
    """
    codes, factors = _checked(codes, factors)
    gaps = []
    for factor in factors.T:
        scores = sorted((_line(code, factor) for code in codes.T), reverse=True)
        gaps.append(scores[0] - (scores[1] if len(scores) > 1 else 0.0))
    return float(np.mean(gaps))


@torch.no_grad()
def settling(generator: Network, labels: int = 64, steps: int = 5, seed: int = 0) -> dict[str, float]:
    """Does the picture come to rest beyond the range of c?

    For each c_j, the path length from 1 to 2 and from 0 to -1, averaged, over that from 0 to 1. A path length is the
    sum of the picture's mean absolute difference over equal steps, averaged over random labels. 0: the picture stops at
    the ends of the range; 1: it goes on as before; above 1: it speeds up. Contrast counts as motion, so a picture whose
    figure has come to rest may still score near 1 (notebook 03).

    Source: defined here, for the claim of the paper's Fig. 5.

    Args:
        generator: such as model.generator.
        labels: number of random labels, at least 1.
        steps: steps on each path, at least 1.
        seed: seed of the labels, 0 to 2³² - 1.

    Returns:
        The ratio by name, "c0", "c1", …; NaN where c_j changes nothing from 0 to 1.

    Raises:
        ValueError: A number is out of range.
        TypeError: This is not a generator.
    """
    labels, steps = whole("labels", labels, 1), whole("steps", steps, 1)
    instance("settling takes a generator, such as model.generator", generator, Network)
    space = generator.space
    base = space.sample(labels, torch.Generator().manual_seed(seed_of(seed)))

    def way(j: int, start: float, stop: float) -> float:
        pictures = []
        for value in torch.linspace(start, stop, steps + 1):
            c = base.c.clone()
            c[:, j] = value
            pictures.append(drawn(generator, Labels(base.z, base.d, c)))
        return sum((after - before).abs().mean().item() for before, after in pairwise(pictures))

    found = {}
    for j in range(space.n_c):
        inside = way(j, 0.0, 1.0)
        outside = (way(j, 1.0, 2.0) + way(j, 0.0, -1.0)) / 2
        found[f"c{j}"] = outside / inside if inside > 0 else float("nan")
    return found


def _check_sweep(frames: np.ndarray) -> None:
    check_frames("A sweep", frames, least=3, channels=())


def _rms(differences: np.ndarray) -> np.ndarray:
    return np.sqrt((differences**2).mean(axis=1))


def _checked(codes: np.ndarray, factors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both as float64, without the factors that never change; ValueError unless all numbers are finite."""
    codes, factors = np.asarray(codes, np.float64), np.asarray(factors, np.float64)
    if codes.ndim != 2 or factors.ndim != 2 or len(codes) != len(factors) or not codes.size:
        raise ValueError(f"Codes (N, n) and factors (N, k) go row by row, got {codes.shape} and {factors.shape}.")
    for name, table in (("Codes", codes), ("Factors", factors)):
        wrong = np.count_nonzero(~np.isfinite(table))
        if wrong:
            raise ValueError(f"{name} are finite numbers, but {wrong:,} of the {table.size:,} given are not.")
    changing = factors[:, (factors != factors[:1]).any(axis=0)]
    if not changing.shape[1]:
        raise ValueError("None of the factors changes, so there is nothing to find in the codes.")
    return codes, changing


def _is_kind(values: np.ndarray) -> bool:
    return bool((values == values.round()).all()) and len(np.unique(values)) <= KINDS


def _binned(values: np.ndarray) -> np.ndarray:
    """Whole numbers: few values stay distinct, many are put into 20 bins of (nearly) equal counts."""
    names, places = np.unique(values, return_inverse=True)
    if len(names) <= BINS:
        return places
    edges = np.quantile(values, np.linspace(0, 1, BINS + 1)[1:-1])
    return np.searchsorted(edges, values, side="right")


def _concentration(rows: np.ndarray) -> np.ndarray:
    """1 - entropy of each row, in units of the largest: 1 for all in one place, 0 for evenly spread."""
    if rows.shape[1] == 1:
        return np.ones(len(rows))
    total = rows.sum(axis=1, keepdims=True)
    p = np.divide(rows, total, out=np.full_like(rows, 1 / rows.shape[1]), where=total > 0)
    logs = np.log(p, out=np.zeros_like(p), where=p > 0)
    return 1 + (p * logs).sum(axis=1) / np.log(rows.shape[1])


def _line(code: np.ndarray, factor: np.ndarray) -> float:
    """How well one code alone predicts a factor, 0 to 1."""
    from sklearn.svm import LinearSVC

    if code.std() == 0:
        return 0.0
    if not _is_kind(factor):
        return float(np.corrcoef(code, factor)[0, 1] ** 2)
    column = ((code - code.mean()) / code.std())[:, None]
    guess = np.unique(factor, return_counts=True)[1].max() / len(factor)
    accuracy = LinearSVC(C=1.0, max_iter=5000, random_state=0).fit(column, factor).score(column, factor)
    return float(max(0.0, (accuracy - guess) / (1 - guess)))
