"""Moving MNIST: the rule's properties, a render by brute force, the published file, and one channel all the way."""

from __future__ import annotations

import os
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import kstest
from torchvision.datasets import MovingMNIST

import animlab
from animlab.datasets import REGISTRY, Clips, load_dataset
from animlab.datasets.digits import load_digits
from animlab.datasets.moving_mnist import BLOCK, bounce, render_moving_digits

REAL = Path(os.environ.get("ANIMLAB_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has its own cache, and no data but what it makes."""
    monkeypatch.setenv("ANIMLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("ANIMLAB_DATA", str(tmp_path / "nothing"))


def load(root: Path | None) -> Clips:
    return load_dataset("moving-mnist", root, progress=False)


def noise_digits(count: int = 30, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Pictures in which no two places are alike, so that a shift by one pixel shows."""
    rng = np.random.default_rng(seed)
    return rng.integers(1, 256, (count, 28, 28), np.uint8), rng.integers(0, 10, count)


# --- the rule -------------------------------------------------------------------------------------------------------


def one_way(x: float, y: float, vx: float, vy: float, length: int) -> list[tuple[float, float]]:
    """The rule of the published generator, a number at a time."""
    places = []
    for _ in range(length):
        x, y = x + vx, y + vy
        if x <= 0:
            x, vx = 0.0, -vx
        if x >= 1:
            x, vx = 1.0, -vx
        if y <= 0:
            y, vy = 0.0, -vy
        if y >= 1:
            y, vy = 1.0, -vy
        places.append((x, y))
    return places


def test_ways_follow_the_rule_step_by_step() -> None:
    places, _ = bounce(np.random.default_rng(5), 50, 40)
    again = np.random.default_rng(5)
    starts, angles = again.random((50, 2)), 2 * np.pi * again.random(50)
    for way, (x, y), angle in zip(places, starts, angles):
        assert np.allclose(way, one_way(x, y, 0.1 * np.cos(angle), 0.1 * np.sin(angle), 40), atol=1e-12)


def test_ways_are_straight_lines_of_constant_speed_between_bounces() -> None:
    places, velocities = bounce(np.random.default_rng(0), 500, 60)
    assert places.min() == 0 and places.max() == 1, "never outside, and both walls are reached"
    assert np.allclose(np.linalg.norm(velocities, axis=2), 0.1)
    steps = np.diff(places, axis=1)
    at_wall = (places == 0) | (places == 1)
    free = ~at_wall[:, 1:]
    assert np.allclose(steps[free], velocities[:, :-1][free], atol=1e-12), (
        "a step is the velocity, unless a wall ends it"
    )
    assert (np.abs(steps[~free]) <= np.abs(velocities[:, :-1][~free]) + 1e-12).all()
    turned = np.sign(velocities[:, 1:]) != np.sign(velocities[:, :-1])
    assert np.array_equal(turned, at_wall[:, 1:]), "a velocity changes its sign at a wall and nowhere else"
    assert np.allclose(np.abs(np.diff(velocities, axis=1))[~turned], 0)


def test_starts_and_directions_are_uniform() -> None:
    places, velocities = bounce(np.random.default_rng(1), 20_000, 1)
    bounced = ((places == 0) | (places == 1)).any(axis=(1, 2))
    starts, angles = (places - velocities)[~bounced, 0], np.arctan2(velocities[..., 1], velocities[..., 0])[~bounced]
    # A start near a wall is lost with the bounces, so judge those from which no direction leads to one.
    inner = ((starts > 0.1) & (starts < 0.9)).all(axis=1)
    assert inner.mean() > 0.6
    for values, low, width in (
        (starts[inner, 0], 0.1, 0.8),
        (starts[inner, 1], 0.1, 0.8),
        (angles[inner], -np.pi, 2 * np.pi),
    ):
        assert kstest(values, "uniform", (low, width)).pvalue > 0.01
    assert abs(np.corrcoef(starts[inner].T)[0, 1]) < 0.03


def seen(corners: list[tuple[int, int]], digits: list[np.ndarray]) -> np.ndarray:
    """A frame, a pixel at a time: the brightest of the digits that lie there."""
    picture = np.zeros((64, 64, 1), np.uint8)
    for y in range(64):
        for x in range(64):
            for digit, (left, top) in zip(digits, corners):
                if 0 <= x - left < 28 and 0 <= y - top < 28:
                    picture[y, x, 0] = max(picture[y, x, 0], digit[y - top, x - left])
    return picture


def test_rendering_equals_a_loop_over_pixels() -> None:
    images, labels = noise_digits()
    for clip in render_moving_digits(images, labels, clips=3, length=6):
        drawn = [images[labels == clip.factors[f"digit_{j}"][0]] for j in (1, 2)]
        ways = [[(int(clip.factors[f"x_{j}"][t] - 13.5), int(clip.factors[f"y_{j}"][t] - 13.5)) for j in (1, 2)]
                for t in range(6)]  # fmt: skip
        # Which pictures with the right labels they are is told by the first frame.
        fitting = [[a, b] for a in drawn[0] for b in drawn[1] if np.array_equal(clip.frames[0], seen(ways[0], [a, b]))]
        assert len(fitting) == 1
        assert np.array_equal(clip.frames, [seen(corners, fitting[0]) for corners in ways])


def test_factors_move_as_the_picture_does() -> None:
    images, labels = noise_digits()
    for clip in render_moving_digits(images, labels, clips=20):
        assert clip.label == " ".join(str(int(d)) for d in sorted(clip.factors[f"digit_{j}"][0] for j in (1, 2)))
        assert all(values.shape == (20,) and values.dtype == np.float32 for values in clip.factors.values())
        for j in "12":
            x, y, vx, vy = (clip.factors[f"{name}_{j}"] for name in ("x", "y", "vx", "vy"))
            assert np.allclose(np.hypot(vx, vy), 3.6, atol=1e-5), "a tenth of 36 pixels a frame"
            assert min(x.min(), y.min()) >= 13.5 and max(x.max(), y.max()) <= 49.5
            for at, velocity in ((x, vx), (y, vy)):
                free = (at[1:] > 13.5) & (at[1:] < 49.5)  # away from the walls, corners are rounded down
                assert (np.abs(np.diff(at) - velocity[:-1])[free] < 1).all()


def test_rendering_follows_its_seed_and_not_the_number_of_clips() -> None:
    images, labels = noise_digits()
    one, more, other = (list(render_moving_digits(images, labels, n, 5, seed)) for n, seed in ((3, 0), (5, 0), (3, 1)))
    for a, b, c in zip(one, more, other):
        assert np.array_equal(a.frames, b.frames) and a.label == b.label
        assert not np.array_equal(a.frames, c.frames)


# --- sources --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", [".", "MovingMNIST"])
def test_the_published_file_is_read_as_torchvision_reads_it(tmp_path: Path, layout: str) -> None:
    clips = np.random.default_rng(0).integers(0, 256, (4, BLOCK + 3, 64, 64), np.uint8)  # time first, as published
    for folder in (tmp_path / "ours" / layout, tmp_path / "theirs/MovingMNIST"):
        folder.mkdir(parents=True)
        np.save(folder / "mnist_test_seq.npy", clips)
    ours, theirs = load(tmp_path / "ours"), MovingMNIST(str(tmp_path / "theirs"))
    assert len(theirs) == len(ours.clips) == BLOCK + 3
    assert (ours.clips["length"] == 4).all() and set(ours.clips["class"]) == {""} and ours.factors == {}
    expected = np.stack([video.numpy() for video in theirs])  # (clips, frames, 1, 64, 64)
    assert np.array_equal(ours.frames.reshape(-1, 4, 64, 64, 1), np.moveaxis(expected, 2, -1))
    train, test = ours.split()
    assert (len(train.clips), len(test.clips)) == (BLOCK + 3 - 25, 25), "nine in ten, as the paper's 9,000 of 10,000"


WHOLE = np.zeros((2, 3, 64, 64), np.uint8)


def npy(array: np.ndarray, path: Path) -> bytes:
    np.save(path, array, allow_pickle=True)
    return path.read_bytes()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: b"", r"is not a complete .npy file \(0 bytes\): get it again"),
        (lambda path: b"PK\3\4 or so it says", "is not a complete .npy file"),
        (lambda path: npy(WHOLE, path)[:60], r"is not a complete .npy file \(60 bytes\)"),
        (lambda path: npy(WHOLE, path)[:-1], "is not a complete .npy file"),
        (lambda path: npy(np.array([{}]), path), "is not a complete .npy file"),  # pickled objects are not opened
        (
            lambda path: npy(WHOLE.astype(np.float32), path),
            r"holds float32 \(2, 3, 64, 64\), but Moving MNIST is uint8",
        ),
        (lambda path: npy(WHOLE[..., :32], path), r"holds uint8 \(2, 3, 64, 32\), but Moving MNIST is"),
        (lambda path: npy(WHOLE[0], path), r"holds uint8 \(3, 64, 64\), but"),
    ],
)
def test_a_damaged_published_file_is_named(tmp_path: Path, make, says: str) -> None:
    path = tmp_path / "mnist_test_seq.npy"
    path.write_bytes(make(path))
    with pytest.raises(ValueError, match=rf"^{path} {says}") as caught:
        load(tmp_path)
    assert str(caught.value).count("\n") == 0


def test_it_is_made_from_digits_where_the_published_file_is_missing() -> None:
    if not (REAL / "t10k-images-idx3-ubyte.gz").is_file():
        pytest.skip("needs MNIST's test files: set ANIMLAB_DATA to the folder that holds them")
    source = REGISTRY["moving-mnist"].find(REAL)
    assert source is not None and source.count == 10_000
    images, labels = load_digits(REAL)
    for _, clip in zip(range(40), source.read()):
        assert clip.frames.shape == (20, 64, 64, 1) and clip.frames.dtype == np.uint8
        for j in (1, 2):
            left, top = (int(clip.factors[f"{axis}_{j}"][0] - 13.5) for axis in "xy")
            there = clip.frames[0, top : top + 28, left : left + 28, 0]
            same_digit = images[labels == clip.factors[f"digit_{j}"][0]]
            assert (same_digit <= there).all(axis=(1, 2)).any(), "its pixels, or brighter ones of the other digit"


def test_the_stand_in_loads_like_the_real_set() -> None:
    clips = load_dataset("moving-mnist-synthetic", progress=False)
    assert clips.frames.shape == (12_000, 64, 64, 1) and (clips.clips["length"] == 20).all()
    assert {digit for name in clips.clips["class"] for digit in name.split()} == set("0123456789")
    assert all(values.shape == (12_000,) and np.isfinite(values).all() for values in clips.factors.values())


def test_one_channel_goes_all_the_way(tmp_path: Path) -> None:
    images, labels = noise_digits()
    [clip] = render_moving_digits(images, labels, clips=1)
    table = np.array([(0, 20, clip.label, 0)], [("start", "i8"), ("length", "i8"), ("class", "U3"), ("take", "i8")])
    frames = clip.frames.copy()
    frames.setflags(write=False)  # as from load_dataset
    space = animlab.LabelSpace(n_z=2, n_d=2, n_c=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name, preset in animlab.PRESETS.items():
            out = tmp_path / name
            small = replace(preset, batch=8)
            animlab.fit(Clips(frames, table, "grey"), space, small, 2, width=0.1, out=out, progress=False)
            model = animlab.load(out)
            moved = model.animate(frames=4)
            assert moved.shape == (4, 64, 64, 1) and moved.dtype == np.uint8
            assert model.read(frames[:3])[2].shape == (3, 2)
        player = animlab.LabelPlayer(model)
        assert player.clip().shape == (16, 64, 64, 1) and bytes(player.picture.value).startswith(b"\x89PNG")
        for ending in ("gif", "mp4", "png"):
            animlab.save_animation(moved, tmp_path / f"moved.{ending}")
            assert (tmp_path / f"moved.{ending}").stat().st_size > 100
        assert animlab.plots.sweep_grid(model).data and animlab.plots.show_frames(frames[:4], "two digits").data
        assert animlab.metrics.label_influence(model.generator, pairs=4)["c0"].strength > 0
        assert animlab.metrics.real_influence(frames, table).strength > 0.1
