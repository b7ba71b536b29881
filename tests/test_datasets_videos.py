"""The Weizmann videos: squeezed into a square, or cut to the person who moves in them."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import imageio.v3 as iio
import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from animlab.datasets import Clips, actions, limits, load_dataset, media


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANIMLAB_CACHE", str(tmp_path / "cache"))


def load(name: str, root: Path) -> Clips:
    return load_dataset(name, root, progress=False)


def test_weizmann_videos_are_read_and_squeezed(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    videos = {
        name: rng.integers(0, 256, (4, 144, 176, 3), np.uint8) for name in ("daria_wave2", "eli_jack", "lena_run1")
    }
    (tmp_path / "weizmann").mkdir()
    for name, frames in videos.items():
        iio.imwrite(
            tmp_path / f"weizmann/{name}.avi", frames, plugin="FFMPEG", codec="rawvideo", pixelformat="bgr24", fps=25
        )
    (tmp_path / "weizmann/notes.avi").write_bytes(b"not named like a Weizmann file")
    for root in (tmp_path, tmp_path / "weizmann"):
        clips = load("actions", root)
        assert clips.clips["class"].tolist() == ["wave two hands", "jumping jack", "run"]
        assert clips.clips["length"].tolist() == [4, 4, 4]
        for row, frames in zip(clips.clips, videos.values()):
            by_hand = [
                np.asarray(Image.fromarray(frame).resize((64, 64), Image.Resampling.BICUBIC)) for frame in frames
            ]
            assert np.array_equal(clips.frames[row["start"] : row["start"] + 4], by_hand)


@pytest.mark.parametrize("content", [b"", b"no video"])
def test_a_damaged_video_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "ido_bend.avi").write_bytes(content)
    with pytest.raises(ValueError, match=rf"ido_bend.avi cannot be read as a video \({len(content)} bytes\): get"):
        load("actions", tmp_path)


@pytest.mark.parametrize(
    "crop, limit, most",
    [(False, "MAX_FRAMES", 3), (False, "MAX_CLIP_PIXELS", 4 * 64 * 48 - 1), (True, "MAX_HELD_PIXELS", 4 * 64 * 48 - 1)],
)
def test_a_video_that_is_too_long_is_refused_and_not_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, crop: bool, limit: str, most: int
) -> None:
    iio.imwrite(tmp_path / "ido_bend.avi", np.zeros((4, 48, 64, 3), np.uint8), plugin="FFMPEG", codec="mpeg4", fps=25)
    with monkeypatch.context() as patch, pytest.raises(ValueError, match=r"ido_bend.avi has more than 3 frames of 64x"):
        patch.setattr(limits, limit, most)
        load_dataset("actions", tmp_path, progress=False, crop=crop)
    assert len(load_dataset("actions", tmp_path, progress=False, crop=crop)) == 4


def test_what_a_video_may_cost_is_said() -> None:
    assert limits.__doc__, "it lists what a file costs"
    for text in (limits.__doc__, (Path(__file__).parents[1] / "SECURITY.md").read_text()):
        assert f" {limits.MAX_VIDEO_SECONDS // 60} minutes of " in text


@pytest.mark.skipif(sys.platform == "win32", reason="a script stands for ffmpeg")
def test_an_ffmpeg_that_is_killed_is_no_damaged_video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    iio.imwrite(tmp_path / "ido_bend.avi", np.zeros((4, 48, 64, 3), np.uint8), plugin="FFMPEG", codec="mpeg4", fps=25)
    (tmp_path / "ffmpeg").write_text("#!/bin/sh\nkill -9 $$\n")
    (tmp_path / "ffmpeg").chmod(0o755)
    with (
        monkeypatch.context() as patch,
        pytest.raises(OSError, match=r"ido_bend.avi cannot be read just now: ffmpeg"),
    ):
        patch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", lambda: str(tmp_path / "ffmpeg"))
        load("actions", tmp_path)
    assert len(load("actions", tmp_path)) == 4


def stage(person: list[tuple[int, int, int, int]], width: int = 176, height: int = 144, seed: int = 0) -> np.ndarray:
    """A still, noisy room, and in it somebody: a dark box (left, upper, right, lower) a frame."""
    rng = np.random.default_rng(seed)
    room = np.repeat(rng.integers(120, 200, (height // 8, width // 8, 3)), 8, axis=0).repeat(8, axis=1)
    video = room + rng.normal(0, 3, (len(person), height, width, 3))
    for frame, (left, upper, right, lower) in zip(video, person):
        frame[upper:lower, left:right] = 40
    return np.clip(video, 0, 255).astype(np.uint8)


def test_cropping_holds_the_whole_way_of_somebody_who_walks() -> None:
    way = [(20 + 3 * t, 50, 40 + 3 * t, 120) for t in range(24)]  # from 20 to 109, 70 tall
    left, upper, right, lower = actions.moving_box(stage(way))
    assert right - left == lower - upper, "a square"
    assert 0 <= left <= 20 and 109 <= right <= 176 and 0 <= upper <= 50 and 120 <= lower <= 144
    assert right - left <= 1.4 * 89, "and not the whole room"


def test_cropping_keeps_the_legs_of_somebody_who_waves() -> None:
    video = stage([(80, 50, 96, 120)] * 24)  # the body stands still: it is part of the background
    for t, frame in enumerate(video):
        top = 38 + 20 * (t % 3)
        frame[top : top + 4, 96:112] = 40  # one arm, up and down
    left, upper, right, lower = actions.moving_box(video)
    assert left <= 80 and right >= 112 and upper <= 38 and lower >= 120 and right - left == lower - upper < 144


def test_cropping_ignores_noise_and_specks() -> None:
    video = stage([(0, 0, 0, 0)] * 12)
    video[::3, 5, 5] = 0
    assert actions.moving_box(video) == (16, 0, 160, 144), "nobody moves: the middle of the picture"


def test_cropped_videos_are_the_same_square_of_every_frame(tmp_path: Path) -> None:
    video = stage([(60 + 2 * t, 60, 80 + 2 * t, 120) for t in range(10)])
    path = tmp_path / "daria_walk.avi"
    iio.imwrite(path, video, plugin="FFMPEG", codec="rawvideo", pixelformat="bgr24", fps=25)
    squeezed, clips = load("actions", tmp_path), load_dataset("actions", tmp_path, progress=False, crop=True)
    assert clips.clips["class"].tolist() == ["walk"] and clips.frames.shape == squeezed.frames.shape == (10, 64, 64, 3)
    box = actions.moving_box(video)
    by_hand = [
        np.asarray(Image.fromarray(frame).crop(box).resize((64, 64), Image.Resampling.BICUBIC)) for frame in video
    ]
    assert np.array_equal(clips.frames, by_hand) and not np.array_equal(clips.frames, squeezed.frames)


@pytest.mark.parametrize("code, momentary", [(-signal.SIGXCPU, False), (-signal.SIGKILL, True)])
def test_a_film_that_takes_too_long_will_again(code: int, momentary: bool) -> None:
    """So its set is kept without it, and the next load does not decode it for as long once more."""
    with pytest.raises(media.MediaError) as error:
        media._judge(code, "", 7)
    assert error.value.momentary == momentary
