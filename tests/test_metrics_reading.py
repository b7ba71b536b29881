"""Readings over time against scipy, against signals of known period, and against the stand-in's true factors."""

import numpy as np
import pytest
from scipy.stats import spearmanr

import animlab
from animlab.metrics.reading import following, recurrence, rows_of

CLIPS = np.array([(0, 20), (20, 33), (53, 9)], dtype=[("start", int), ("length", int)])


def test_following_is_spearmans_rho_of_each_clip():
    rng = np.random.default_rng(0)
    read, factor = rng.normal(size=(62, 3)).round(1), rng.normal(size=62).round(1)  # with ties
    found = following(read, factor, CLIPS)
    assert found.shape == (3, 3)
    for row, clip in zip(found, CLIPS):
        rows = rows_of(clip)
        expected = [spearmanr(read[rows, j], factor[rows]).statistic for j in range(3)]
        np.testing.assert_allclose(row, expected, atol=1e-12)


def test_following_sees_order_only_and_no_motion_as_nothing():
    factor = np.random.default_rng(1).uniform(size=62)
    read = np.stack([np.exp(5 * factor), -(factor**3), np.zeros(62)], axis=1)
    found = following(read, factor, CLIPS)
    np.testing.assert_allclose(found[:, :2], [[1, -1]] * 3, atol=1e-12)
    assert np.isnan(found[:, 2]).all()


def test_following_refuses_readings_of_other_frames():
    with pytest.raises(ValueError, match=r"\(62, 3\) and \(61,\)"):
        following(np.zeros((62, 3)), np.zeros(61), CLIPS)


@pytest.mark.parametrize("period", [9, 14, 20])
@pytest.mark.parametrize("length", [36, 60, 90])
def test_recurrence_finds_the_period_through_noise(period, length):
    rng = np.random.default_rng(period + length)
    t = np.arange(length) / period
    clean = np.stack([np.cos(2 * np.pi * t), np.sin(2 * np.pi * t), np.zeros(length)], axis=1)
    assert recurrence(clean) == (pytest.approx(1, abs=0.03), pytest.approx(period, abs=1))
    height, found = recurrence(clean + 0.3 * rng.normal(size=clean.shape))
    assert 0.4 < height < 0.95 and abs(found - period) <= 1


def test_recurrence_of_what_does_not_come_round():
    t = np.linspace(0, 1, 60)[:, None]
    for signal in (t, np.sin(np.pi * t), np.zeros((60, 2)), np.eye(7)):
        assert recurrence(signal) == (0.0, 0)
    noise = [recurrence(np.random.default_rng(seed).normal(size=(60, 5)))[0] for seed in range(50)]
    assert np.mean(noise) < 0.3
    with pytest.raises(ValueError, match=r"\(60,\)"):
        recurrence(np.zeros(60))


def test_recurrence_of_the_pixels_of_the_stand_in_is_its_true_period():
    clips = animlab.load_dataset("actions-synthetic", progress=False)
    for clip in clips.clips[clips.clips["class"] == "wave two hands"]:
        rows = rows_of(clip)
        blocks = clips.frames[rows].astype(float).reshape(clip["length"], 16, 4, 16, 4, 3).mean(axis=(2, 4))
        period = 1 / np.median(np.diff(clips.factors["phase"][rows]) % 1)
        assert abs(recurrence(blocks.reshape(len(blocks), -1))[1] - period) < 1
