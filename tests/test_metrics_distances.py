"""The arithmetic of set metrics against torch-fidelity's functions, scipy's matrix root, closed forms, brute force."""

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_isc import isc_features_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric
from torch_fidelity.metric_prc import prc_features_to_metric

from animlab.metrics import Statistics, frechet_distance, inception_score, kernel_distance, precision_recall


def two_sets(n=400, m=300, d=12, seed=0):
    """Correlated features of different means and shapes, float32 as networks give them."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + rng.normal(size=d)
    y = rng.normal(size=(m, d)) @ rng.normal(size=(d, d)) * 0.7
    return x.astype(np.float32), y.astype(np.float32)


def fidelity_fid(x, y):
    one, other = (fid_features_to_statistics(torch.from_numpy(np.asarray(part, dtype=np.float64))) for part in (x, y))
    return fid_statistics_to_metric(one, other, False)["frechet_inception_distance"]


def test_frechet_distance_equals_torch_fidelity_and_scipy():
    """Both in float64 and of full rank: 9 digits agree."""
    x, y = two_sets()
    found = frechet_distance(x, y)
    assert found == pytest.approx(fidelity_fid(x, y), rel=1e-9)
    a, b = np.cov(x.T.astype(float)), np.cov(y.T.astype(float))
    by_scipy = ((x.mean(0, float) - y.mean(0, float)) ** 2).sum() + np.trace(a + b - 2 * sqrtm(a @ b).real)
    assert found == pytest.approx(by_scipy, rel=1e-9)
    assert found == pytest.approx(frechet_distance(y, x), rel=1e-9)


@pytest.mark.parametrize("n", [3, 5, 10, 20])
def test_frechet_distance_of_too_few_samples_equals_torch_fidelity(n):
    """Covariances of rank n - 1: the root of a rounding error of 1e-16 is 1e-8, so 6 digits agree, not 9."""
    x, y = two_sets(n, n, d=64)
    assert frechet_distance(x, y) == pytest.approx(fidelity_fid(x, y), rel=1e-6)
    assert np.linalg.matrix_rank(Statistics.of(x).cov) == n - 1


def gaussian_features(mean, variances, basis):
    """2d points whose mean and covariance (N - 1) are exactly these: ± one axis at a time."""
    d = len(mean)
    arms = basis * np.sqrt(variances * (2 * d - 1) / 2)  # columns
    return mean + np.concatenate([arms.T, -arms.T])


def test_frechet_distance_equals_the_closed_form_of_commuting_gaussians():
    """Covariances with the same axes: |μ1 - μ2|² + Σ (√λ1 - √λ2)²; exact points, so to float64's rounding."""
    rng = np.random.default_rng(1)
    basis = np.linalg.qr(rng.normal(size=(7, 7)))[0]
    means, variances = rng.normal(size=(2, 7)), rng.uniform(0.1, 9, size=(2, 7))
    x, y = (gaussian_features(mean, variance, basis) for mean, variance in zip(means, variances))
    expected = ((means[0] - means[1]) ** 2).sum() + ((np.sqrt(variances[0]) - np.sqrt(variances[1])) ** 2).sum()
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-10)
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-6)


def test_frechet_distance_of_one_feature_is_that_of_means_and_deviations():
    x, y = np.array([[0.0], [2.0]]), np.array([[5.0], [11.0]])  # means 1 and 8, deviations √2 and √18
    assert frechet_distance(x, y) == pytest.approx(49 + (np.sqrt(18) - np.sqrt(2)) ** 2)


def test_frechet_distance_of_two_samples_of_one_distribution_falls_with_their_size():
    rng = np.random.default_rng(0)
    at = [frechet_distance(*rng.normal(size=(2, n, 16))) for n in (5, 20, 100, 1000, 10_000)]
    assert at == sorted(at, reverse=True)
    assert at[0] > 5 and at[-1] < 0.05


def test_streamed_statistics_equal_those_at_once_far_from_zero():
    """An offset of 1e6 on a spread of 1: naive sums of squares would keep 4 digits of the covariance."""
    x = two_sets()[0].astype(np.float64) + 1e6
    streamed = Statistics(x.shape[1])
    for batch in np.split(x, [1, 50, 51, 250]):
        streamed.add(batch)
    assert streamed.count == len(x)
    np.testing.assert_allclose(streamed.mean, x.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(streamed.cov, np.cov(x.T), rtol=1e-8, atol=1e-8)
    assert frechet_distance(streamed, Statistics.of(x)) < 1e-4


def test_kernel_distance_equals_torch_fidelity_on_the_same_subsets():
    """The same legacy random state draws the same subsets; torch-fidelity multiplies in float32: 4 digits."""
    x, y = two_sets()
    theirs = kid_features_to_metric(
        torch.from_numpy(x), torch.from_numpy(y), kid_subsets=20, kid_subset_size=100, rng_seed=7, verbose=False
    )
    found = kernel_distance(x, y, subsets=20, subset_size=100, rng=np.random.RandomState(7))
    assert found.mean == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-4)
    assert found.std == pytest.approx(theirs["kernel_inception_distance_std"], rel=1e-3)


def test_kernel_distance_equals_brute_force():
    x, y = two_sets(9, 9, d=3)

    def k(a, b):
        return (sum(float(p) * float(q) for p, q in zip(a, b)) / 3 + 1) ** 3

    within = [np.mean([k(s[i], s[j]) for i in range(9) for j in range(9) if i != j]) for s in (x, y)]
    between = np.mean([k(a, b) for a in x for b in y])
    found = kernel_distance(x, y, subsets=3, subset_size=9)
    assert found.mean == pytest.approx(sum(within) - 2 * between, rel=1e-6)
    assert found.std == pytest.approx(0, abs=1e-9)  # every subset is the whole set


def test_kernel_distance_is_unbiased_where_the_frechet_distance_is_not():
    """1,000 pairs of samples of 5 from one distribution: the mean is within 3 standard errors of 0."""
    rng = np.random.default_rng(0)
    pairs = rng.normal(size=(1000, 2, 5, 4))
    kernel = [kernel_distance(*pair, subsets=1, subset_size=5).mean for pair in pairs]
    assert abs(np.mean(kernel)) < 3 * np.std(kernel) / np.sqrt(len(kernel))
    frechet = [frechet_distance(*pair) for pair in pairs[:200]]
    assert np.mean(frechet) > 10 * np.std(frechet) / np.sqrt(len(frechet))


def test_inception_score_equals_torch_fidelity():
    """Logits of 517 pictures, not a multiple of the splits; theirs in float64 too."""
    logits = torch.randn(517, 20, generator=torch.Generator().manual_seed(0)) * 3
    theirs = isc_features_to_metric(logits, splits=10, shuffle=False)
    found = inception_score(logits.double().softmax(dim=1).numpy())
    assert found.mean == pytest.approx(theirs["inception_score_mean"], rel=1e-9)
    assert found.std == pytest.approx(theirs["inception_score_std"], rel=1e-7)


def test_inception_score_of_sure_and_of_clueless_predictions():
    sure = np.eye(5)[np.arange(100) % 5]
    assert inception_score(sure) == pytest.approx((5, 0))  # every kind, without doubt: K
    assert inception_score(np.full((100, 5), 0.2)) == pytest.approx((1, 0))
    assert inception_score(np.eye(5)[np.zeros(100, int)]) == pytest.approx((1, 0))  # one kind only


def brute_force_precision(fake, real, k):
    """Point by point, by the definition."""
    inside = 0
    for f in fake:
        for i, r in enumerate(real):
            radius = sorted(np.linalg.norm(r - other) for j, other in enumerate(real) if j != i)[k - 1]
            if np.linalg.norm(f - r) <= radius:
                inside += 1
                break
    return inside / len(fake)


@pytest.mark.parametrize("k", [1, 3])
def test_precision_and_recall_equal_torch_fidelity_and_brute_force(k):
    """Counts, so exactly."""
    rng = np.random.default_rng(3)
    fake, real = rng.normal(size=(60, 3)), rng.normal(size=(50, 3)) * [1, 1, 2] + [0.5, 0, 0]
    found = precision_recall(fake, real, k)
    assert found.precision == brute_force_precision(fake, real, k)
    assert found.recall == brute_force_precision(real, fake, k)
    theirs = prc_features_to_metric(
        torch.from_numpy(fake), torch.from_numpy(real),
        prc_neighborhood=k, prc_batch_size=1000, save_cpu_ram=False, verbose=False,
    )  # fmt: skip
    assert found == pytest.approx((theirs["precision"], theirs["recall"]), abs=1e-6)  # theirs are float32 means
    assert 0.2 < found.precision < 1 and 0.2 < found.recall < 1


def test_precision_and_recall_far_from_zero_with_copies_on_either_side_equal_brute_force():
    """A common offset of 100 would cost a matrix product of squares its last digits, and copies lie on the rim."""
    rng = np.random.default_rng(0)
    real = rng.normal(size=(60, 16)) + 100
    real[40:], real[30:40] = real[:20], real[30:40] + 10  # copies, and an island that no fake reaches
    fake = np.concatenate([real[:20], rng.normal(scale=1.2, size=(40, 16)) + 100])
    found = precision_recall(fake, real)
    assert found == (brute_force_precision(fake, real, 3), brute_force_precision(real, fake, 3))
    assert found.precision < 1 and found.recall < 1


def test_precision_and_recall_in_several_chunks_and_with_copies(monkeypatch):
    monkeypatch.setattr("animlab.metrics.distances.CHUNK", 7)
    rng = np.random.default_rng(3)
    real = rng.normal(size=(50, 3))
    copies = real[:10].repeat(5, axis=0)  # each five times, so that its third neighbour is 0 away
    found = precision_recall(copies, real)
    assert found.precision == 1  # copies are as real as it gets
    assert found.recall == 10 / 50  # balls of no size hold the copied points alone


def test_dropped_modes_cost_recall_and_junk_costs_precision():
    rng = np.random.default_rng(0)
    modes = rng.normal(size=(300, 4)) + 100 * np.repeat(np.eye(4)[:3], 100, axis=0)
    few, junk = modes[:100] + 0.01, np.concatenate([modes[::2], modes[::2] + 1000])
    assert precision_recall(few, modes) == pytest.approx((1, 1 / 3), abs=0.05)
    assert precision_recall(junk, modes).precision == pytest.approx(0.5, abs=0.02)


def test_what_is_refused_says_what_came_in():
    x, y = two_sets()
    with pytest.raises(ValueError, match="same number of features, got 12 and 11"):
        frechet_distance(x, y[:, 1:])
    with pytest.raises(ValueError, match="at least two features, got 1"):
        frechet_distance(x[:1], y)
    with pytest.raises(ValueError, match="not finite"):
        frechet_distance(np.where(x > 3, np.nan, x), y)
    with pytest.raises(ValueError, match=r"table \(N, d\).*got shape \(12,\)"):
        frechet_distance(x[0], y)
    with pytest.raises(ValueError, match="from 2 to 300, got 1000"):
        kernel_distance(x, y)
    with pytest.raises(ValueError, match="take the softmax"):
        inception_score(x)
    with pytest.raises(ValueError, match=r"^k must be less than the size of the smaller set of features, 3, got 3\.$"):
        precision_recall(x, y[:3])
    with pytest.raises(ValueError, match=r"features \(n, 12\), got a batch \(300, 11\)"):
        Statistics.of(x).add(y[:, 1:])
