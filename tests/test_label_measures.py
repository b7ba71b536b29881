"""Label measures against cases whose answer is known, and against sums written out."""

import itertools
import math

import numpy as np
import pytest
import torch

import animlab
from animlab.metrics import agreement, dci, mig, monotonicity, sap, settling, smoothness


def levels(values, size=8):
    """A sweep of flat pictures of these grey levels."""
    return np.tile(np.array(values, np.uint8)[:, None, None, None], (1, size, size, 1))


# Sweeps.


def test_smoothness_of_sweeps_whose_steps_are_known():
    even = smoothness(levels([0, 20, 40, 60, 80]))
    assert (even.jump, even.bend) == (1, 0)
    jump = smoothness(levels([10, 10, 10, 90, 90]))
    assert jump.jump == 4  # all of four steps in one
    assert jump.bend == pytest.approx((0 + 80 + 80) / 3 / (80 / 4))
    there_and_back = smoothness(levels([0, 50, 0, 50, 0]))
    assert (there_and_back.jump, there_and_back.bend) == (1, 2)
    assert math.isnan(smoothness(levels([7] * 4)).jump)


def test_noise_bends_by_the_root_of_three():
    frames = np.random.default_rng(0).integers(0, 256, (12, 64, 64, 3), dtype=np.uint8)
    assert smoothness(frames).bend == pytest.approx(math.sqrt(3), rel=0.02)


def test_monotonicity_of_sweeps_whose_order_is_known():
    assert monotonicity(levels([0, 10, 20, 30, 40, 50])) == pytest.approx(1)
    assert monotonicity(levels([0, 40, 80, 80, 40, 0])) < 0.1  # comes back
    frames = np.random.default_rng(0).integers(0, 256, (10, 32, 32, 3), dtype=np.uint8)
    assert abs(monotonicity(frames)) < 0.4
    assert math.isnan(monotonicity(levels([7] * 4)))


def test_monotonicity_is_the_rank_correlation_over_pairs():
    rng = np.random.default_rng(1)
    frames = rng.integers(0, 256, (6, 4, 4, 1), dtype=np.uint8)
    apart, unlike = [], []
    for i, j in itertools.combinations(range(6), 2):
        apart.append(j - i)
        unlike.append(math.sqrt(((frames[i].astype(float) - frames[j]) ** 2).mean()))

    def ranks(values):  # ties share the mean of their places
        return [np.mean([place for place, v in enumerate(sorted(values)) if v == value]) for value in values]

    assert monotonicity(frames) == pytest.approx(np.corrcoef(ranks(apart), ranks(unlike))[0, 1])


def test_a_sweep_has_three_frames_of_uint8():
    for measure in (smoothness, monotonicity):
        with pytest.raises(ValueError, match="N of at least 3"):
            measure(levels([1, 2]))
        with pytest.raises(ValueError, match="float64"):
            measure(levels([1, 2, 3]) / 2)


# Kinds.


def test_agreement_does_not_care_for_names_and_gives_chance_nothing():
    truth = np.arange(3000) % 3
    same = agreement(np.array([5, 1, 9])[truth], truth)
    assert same.nmi == pytest.approx(1) and same.ari == pytest.approx(1)
    chance = agreement(np.random.default_rng(0).integers(3, size=3000), truth)
    assert chance.nmi < 0.01 and abs(chance.ari) < 0.01
    halves = agreement(truth == 0, truth)  # two of the three kinds thrown together
    h_d, h_truth = -(np.log(1 / 3) / 3 + 2 * np.log(2 / 3) / 3), np.log(3)
    assert halves.nmi == pytest.approx(h_d / ((h_d + h_truth) / 2))  # d is known from the truth: I = H(d)
    pairs = list(itertools.combinations(range(30), 2))
    few, d = truth[:30], (truth == 0)[:30]
    both = sum(few[i] == few[j] and d[i] == d[j] for i, j in pairs)
    left, right = sum(few[i] == few[j] for i, j in pairs), sum(d[i] == d[j] for i, j in pairs)
    expected = left * right / len(pairs)
    assert agreement(d, few).ari == pytest.approx((both - expected) / ((left + right) / 2 - expected))
    with pytest.raises(ValueError, match=r"\(3,\) and \(4,\)"):
        agreement(np.zeros(3), np.zeros(4))


# Disentanglement.


@pytest.fixture(scope="module")
def factors():
    """A place, a size, and one of four kinds, independent; and one that never changes."""
    rng = np.random.default_rng(0)
    return np.stack([rng.random(4000), rng.normal(size=4000), rng.integers(4, size=4000), np.ones(4000)], axis=1)


def test_a_code_a_factor_has_everything(factors):
    codes = factors[:, [2, 0, 1]] * [1, -3, 0.5] + 2
    chance = 19**2 / (2 * 4000) / math.log(20)  # what the second best seems to know: (bins - 1)² / 2N, of log(bins)
    assert mig(codes, factors) == pytest.approx(1, abs=1.2 * chance)
    found = dci(codes, factors)
    assert found.disentanglement > 0.97 and found.completeness > 0.97 and found.informativeness > 0.99
    one_way = factors[:, :2]
    assert sap(one_way[:, ::-1] * [2, -1], one_way) == pytest.approx(1, abs=0.01)


def test_random_codes_have_nothing(factors):
    codes = np.random.default_rng(1).random((4000, 4))
    assert mig(codes, factors) < 0.02 and sap(codes, factors) < 0.02
    found = dci(codes, factors)
    assert found.informativeness < 0.02 and found.disentanglement < 0.1


def test_turned_codes_tell_all_and_separate_nothing(factors):
    """Two quantities, turned by 45°: both codes know half of both."""
    rng = np.random.default_rng(2)
    pair = rng.normal(size=(4000, 2))
    turned = pair @ np.array([[1, 1], [1, -1]]) / math.sqrt(2)
    assert mig(turned, pair) < 0.03 and sap(turned, pair) < 0.05
    found = dci(turned, pair)
    assert found.disentanglement < 0.1 and found.completeness < 0.1 and found.informativeness > 0.9


def test_a_code_for_two_factors_and_a_factor_in_two_codes():
    """DCI tells the two apart; MIG sees the second only."""
    rng = np.random.default_rng(3)
    a, b = rng.integers(4, size=(2, 4000)).astype(float)
    both = np.stack([4 * a + b, rng.random(4000)], axis=1)  # one code knows both, the other nothing
    twice = np.stack([a + rng.normal(0, 0.01, 4000), a + rng.normal(0, 0.01, 4000)], axis=1)
    crowded, shared = dci(both, np.stack([a, b], axis=1)), dci(twice, a[:, None])
    assert crowded.completeness > 0.9 and crowded.disentanglement < 0.1
    assert shared.completeness < 0.1
    assert mig(both, np.stack([a, b], axis=1)) > 0.95 and mig(twice, a[:, None]) < 0.01


def test_mig_is_the_sum_written_out():
    rng = np.random.default_rng(4)
    truth = rng.integers(3, size=500)
    noisy = np.where(rng.random(500) < 0.7, truth, rng.integers(3, size=500))
    noisier = np.where(rng.random(500) < 0.3, truth, rng.integers(3, size=500))

    def information(x, y):
        total = 0.0
        for i in range(3):
            for j in range(3):
                p = ((x == i) & (y == j)).mean()
                total += p * math.log(p / ((x == i).mean() * (y == j).mean())) if p else 0
        return total

    expected = (information(noisy, truth) - information(noisier, truth)) / information(truth, truth)
    assert mig(np.stack([noisier, noisy], axis=1), truth[:, None]) == pytest.approx(expected)


def test_sap_is_the_gap_of_squared_correlations():
    rng = np.random.default_rng(5)
    truth = rng.normal(size=800)
    codes = np.stack([truth + rng.normal(0, s, 800) for s in (0.5, 2.0, 1.0)], axis=1)
    r2 = sorted(np.corrcoef(code, truth)[0, 1] ** 2 for code in codes.T)
    assert sap(codes, truth[:, None]) == pytest.approx(r2[-1] - r2[-2])


def test_disentanglement_refuses_tables_that_do_not_fit():
    for measure in (mig, sap, dci):
        with pytest.raises(ValueError, match=r"\(5, 2\) and \(6, 1\)"):
            measure(np.zeros((5, 2)), np.zeros((6, 1)))
        with pytest.raises(ValueError, match="None of the factors changes"):
            measure(np.random.default_rng(0).random((30, 2)), np.ones((30, 1)))


# Beyond the range.


def test_settling_of_pictures_whose_way_is_known():
    """c0 goes on as before, c1 stops at the ends, c2 goes half as far beyond; c3 does nothing."""

    class Known(animlab.Generator):
        def forward(self, labels):
            c = labels.c
            inside = c.clamp(0, 1)
            moved = torch.stack([c[:, 0], inside[:, 1], inside[:, 2] + (c[:, 2] - inside[:, 2]) / 2], dim=1)
            return (0.2 * moved - 0.1).repeat_interleave(64, 1)[:, None, None, :].expand(-1, 3, 64, -1)

    found = settling(Known(animlab.LabelSpace(1, 2, 4), width=0.1), labels=4)
    assert [found[f"c{j}"] for j in range(3)] == pytest.approx([1, 0, 0.5], abs=1e-5)
    assert math.isnan(found["c3"])
