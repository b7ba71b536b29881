"""The related ground truth against brute force; copying against copies that were planted."""

import numpy as np
import pytest

from animlab.datasets import Clips
from animlab.metrics import Matcher, best_match, copying, nearest_frames
from animlab.metrics.matching import ROUNDING, _bounds, windows

TABLE = [("start", "i8"), ("length", "i8"), ("class", "U8"), ("take", "i8")]


def walk(rng, lengths, channels=3, size=16):
    """Clips of soft blots that drift, so that windows are alike but not the same; takes are pairs of clips."""
    clips = []
    for length in lengths:
        steps = rng.normal(0, 12, (length, size // 4, size // 4, channels)).cumsum(axis=0)
        coarse = 128 + rng.normal(0, 40, (1, size // 4, size // 4, channels)) + steps
        fine = rng.normal(0, 8, (length, size, size, channels))
        clips.append((coarse.repeat(4, axis=1).repeat(4, axis=2) + fine).clip(0, 255).astype(np.uint8))
    starts = np.cumsum([0, *lengths[:-1]])
    table = np.array([(s, n, "", k // 2) for k, (s, n) in enumerate(zip(starts, lengths))], dtype=TABLE)
    return Clips(np.concatenate(clips), table, "planted")


def brute_force(animation, clips, without_take=None):
    """Every window of every clip, one at a time."""
    best = None
    for number, row in enumerate(clips.clips):
        if row["take"] == without_take:
            continue
        for start in range(row["start"], row["start"] + row["length"] - len(animation) + 1):
            window = clips.frames[start : start + len(animation)].astype(float)
            mse = ((window - animation.astype(float)) ** 2).mean()
            if best is None or mse < best[2]:
                best = number, start, mse
    return best


@pytest.mark.parametrize("channels", [1, 3])
def test_the_best_match_is_that_of_brute_force(channels):
    rng = np.random.default_rng(0)
    clips = walk(rng, [9, 5, 12, 4, 7, 10], channels)
    matcher = Matcher(clips)
    queries = [
        rng.integers(0, 256, (5, 16, 16, channels), dtype=np.uint8),
        np.full((5, 16, 16, channels), 128, np.uint8),
    ]
    queries += [walk(rng, [5], channels).frames for _ in range(8)]
    queries += [clips.frames[k : k + length][::-1] for k, length in ((0, 3), (11, 6), (30, 1))]
    queries += [np.roll(clips.frames[k : k + 4], 1, axis=2) for k in (2, 14, 33)]
    for query in queries:
        for take in (None, 0, 2):
            match = matcher(query, take)
            clip, start, mse = brute_force(query, clips, take)
            assert match.mse == pytest.approx(mse, rel=1e-12)
            assert (match.clip, match.start) == (clip, start)


def test_most_windows_are_never_measured(monkeypatch):
    rng = np.random.default_rng(1)
    clips = walk(rng, [200] * 4)
    measured = []
    from animlab.metrics import matching

    plain = matching._squared_error
    monkeypatch.setattr(matching, "_squared_error", lambda a, b: measured.append(1) or plain(a, b))
    match = best_match(np.roll(clips.frames[450:455], 1, axis=1), clips)
    assert match.clip == 2 and len(measured) < 40  # of 784


def test_the_bounds_never_exceed_the_distances():
    """Of frames whose block means tell nothing (noise), everything (blocks), or both."""
    rng = np.random.default_rng(2)
    frames = np.concatenate([walk(rng, [20]).frames, rng.integers(0, 256, (20, 16, 16, 3), dtype=np.uint8)])
    bounds = _bounds(frames).astype(float)
    flat = frames.reshape(len(frames), -1).astype(float)
    low = ((bounds[:, None] - bounds) ** 2).sum(axis=2)
    true = ((flat[:, None] - flat) ** 2).sum(axis=2)
    size = (bounds**2).sum(axis=1)
    assert (low <= true + ROUNDING * (size[:, None] + size)).all()
    apart = ~np.eye(len(frames), dtype=bool)
    assert (low[apart] / true[apart]).min() > 0.01  # noise has hardly any coarse part: still not nothing


def test_no_window_reaches_over_the_end_of_a_clip():
    rng = np.random.default_rng(3)
    clips = walk(rng, [6, 6])
    across = clips.frames[3:9]  # the end of one clip and the beginning of the next
    assert best_match(across, clips).start in (0, 6)
    with pytest.raises(ValueError, match="7 frames long"):
        best_match(np.zeros((7, 16, 16, 3), np.uint8), clips)
    with pytest.raises(ValueError, match=r"uint8 frames \(N, 16, 16, 3\), got float64"):
        best_match(across / 255, clips)


def test_windows_lie_within_clips_and_name_their_take():
    clips = walk(np.random.default_rng(4), [4, 9, 5, 3])
    found, takes = windows(clips, 4, 40, np.random.default_rng(0))
    assert found.shape == (40, 4, 16, 16, 3) and set(takes) == {0, 1}
    for window, take in zip(found, takes):
        match = best_match(window, clips)
        assert match.mse == 0 and clips.clips["take"][match.clip] == take


def test_copies_are_found_and_new_frames_are_not():
    rng = np.random.default_rng(5)
    shared = walk(rng, [240])
    order = rng.permutation(240)
    train = Clips(shared.frames[order[:120]], np.array([(0, 120, "", 0)], dtype=TABLE), "train")
    held_out, fresh = shared.frames[order[120:180]], shared.frames[order[180:]]
    noisy = (train.frames[:60].astype(int) + rng.integers(-1, 2, (60, 16, 16, 3))).clip(0, 255).astype(np.uint8)
    honest, copied, exact = (copying(x, train, held_out) for x in (fresh, noisy, train.frames[:60]))
    assert 0.4 < honest.nearer < 0.6 and 0.8 < honest.ratio < 1.25
    assert copied.nearer > 0.99 and copied.ratio < 0.2
    assert exact.nearer == 1 and exact.ratio == 0
    pairs = (honest.samples[:, None] < honest.held_out).mean() + (honest.samples[:, None] == honest.held_out).mean() / 2
    assert honest.nearer == pytest.approx(pairs)


def test_nearest_frames_are_those_of_brute_force():
    rng = np.random.default_rng(6)
    clips = walk(rng, [30, 20])
    queries = walk(rng, [6]).frames
    table = ((queries[:, None].astype(float) - clips.frames) ** 2).mean(axis=(2, 3, 4))
    rows, errors = nearest_frames(queries, clips)
    np.testing.assert_array_equal(rows, table.argmin(axis=1))
    np.testing.assert_allclose(errors, table.min(axis=1))


def test_a_frame_of_the_training_itself_is_held_against_other_recordings():
    rng = np.random.default_rng(7)
    clips = walk(rng, [30, 20, 10])
    takes = np.repeat(clips.clips["take"], clips.clips["length"])
    table = np.sqrt(((clips.frames[:, None].astype(float) - clips.frames) ** 2).mean(axis=(2, 3, 4)))
    others = np.where(takes[:, None] == takes, np.inf, table).min(axis=1)
    found = copying(clips.frames[:5], clips, clips.frames, takes)
    np.testing.assert_allclose(found.held_out, others)
    assert (found.samples == 0).all() and found.nearer == 1
    with pytest.raises(ValueError, match="for each of 5 animations or frames, got 60"):
        nearest_frames(clips.frames[:5], clips, takes)
