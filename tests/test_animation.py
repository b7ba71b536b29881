"""Files that save_animation wrote, read back by others: Pillow, and ffmpeg through imageio."""

import errno
import subprocess
import sys
from fractions import Fraction

import imageio.v3 as iio
import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image, ImageSequence

from animlab.animation import filmstrip, save_animation, to_png


def clip_of(frames=5, height=64, width=64, channels=3):
    """A dark square that moves over a coloured slope: all frames differ."""
    y, x = np.mgrid[:height, :width]
    slope = np.stack([x * 200 // width + 40, y * 200 // height + 40, 240 - x * 200 // width], axis=2)
    clip = np.repeat(slope[None, :, :, :channels], frames, axis=0).astype(np.uint8)
    for i in range(frames):
        clip[i, height // 4 : height // 2, i * width // frames : (i + 1) * width // frames] = 10
    return clip


def difference(a, b):
    return np.abs(a.astype(int) - b).mean()


@pytest.mark.parametrize("channels", [1, 3])
def test_gif(tmp_path, channels):
    clip = clip_of(channels=channels)
    save_animation(clip, tmp_path / "clip.gif", fps=10)
    with Image.open(tmp_path / "clip.gif") as gif:
        assert gif.info["loop"] == 0 and gif.info["duration"] == 100
        frames = np.stack([np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(gif)])
    assert frames.shape == (5, 256, 256, 3)
    assert difference(frames[:, ::4, ::4], clip) < 4  # 256 colours a frame


def frames_and_delays(path):
    """What Pillow reads: uint8 (frames, H, W, 3), and how long each is shown, in milliseconds."""
    with Image.open(path) as image:
        assert image.info["loop"] == 0  # for ever
        found = [(np.asarray(frame.convert("RGB")), frame.info["duration"]) for frame in ImageSequence.Iterator(image)]
    return np.stack([frame for frame, _ in found]), [delay for _, delay in found]


@pytest.mark.parametrize("kind", ["webp", "apng"])
@pytest.mark.parametrize("channels", [1, 3])
def test_webp_and_apng_lose_nothing(tmp_path, kind, channels):
    clip = np.random.default_rng(0).integers(0, 256, (7, 20, 30, channels), np.uint8)
    save_animation(clip, tmp_path / f"clip.{kind}", fps=10)
    frames, delays = frames_and_delays(tmp_path / f"clip.{kind}")
    assert frames.shape == (7, 20 * 9, 30 * 9, 3) and delays == 7 * [100]
    assert (frames[:, 4::9, 4::9] == clip).all() and (frames == frames[:, 4::9, 4::9].repeat(9, 1).repeat(9, 2)).all()


@pytest.mark.parametrize("kind", ["gif", "webp", "apng"])
@pytest.mark.parametrize("fps, delay", [(50, 20), (40, 20), (39, 30), (30, 30), (12, 80), (8, 120), (0.3, 3330)])
def test_delays_are_what_players_keep_to(tmp_path, kind, fps, delay):
    save_animation(clip_of(3), tmp_path / f"clip.{kind}", fps=fps)
    assert frames_and_delays(tmp_path / f"clip.{kind}")[1] == 3 * [delay]


@pytest.mark.parametrize("kind", ["gif", "webp", "apng"])
def test_frames_that_repeat_are_shown_for_as_long_as_they_last(tmp_path, kind):
    save_animation(clip_of(3).repeat([2, 1, 3], axis=0), tmp_path / f"clip.{kind}", fps=10)
    assert frames_and_delays(tmp_path / f"clip.{kind}")[1] == [200, 100, 300]


@pytest.mark.parametrize("fps", [10, 10.0, np.int64(10), np.float32(10), np.uint8(10), Fraction(10)])
def test_any_number_is_a_speed(tmp_path, fps):
    for kind in ("gif", "mp4"):
        save_animation(clip_of(2), tmp_path / f"clip.{kind}", fps=fps)
    assert frames_and_delays(tmp_path / "clip.gif")[1] == [100, 100]
    assert iio.immeta(tmp_path / "clip.mp4", plugin="FFMPEG")["fps"] == 10


def test_the_home_folder_and_links_are_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    (tmp_path / "link.gif").symlink_to("target.gif")
    save_animation(clip_of(2), "~/new/clip.gif")
    save_animation(clip_of(2), "~/link.gif")
    assert sorted(path.name for path in tmp_path.rglob("*.gif")) == ["clip.gif", "link.gif", "target.gif"]
    assert (tmp_path / "link.gif").is_symlink() and len(frames_and_delays(tmp_path / "target.gif")[0]) == 2


NO_ROOM = """
import resource, sys
import numpy as np
from animlab.animation import save_animation
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
noise = np.random.default_rng(0).integers(0, 256, (20, 64, 64, 3), np.uint8)
for path in sys.argv[1:]:
    try:
        save_animation(noise, path)
    except OSError as error:
        print(error.strerror)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of files")
def test_where_the_disk_takes_no_more_the_old_files_stay(tmp_path):
    paths = [tmp_path / f"clip.{kind}" for kind in ("gif", "webp", "apng", "png", "mp4")]
    for path in paths:
        save_animation(clip_of(2), path)
    before = [path.read_bytes() for path in paths]
    said = subprocess.run([sys.executable, "-c", NO_ROOM, *paths], check=True, capture_output=True, text=True)
    for path, line in zip(paths, said.stdout.splitlines(), strict=True):
        assert line.startswith(f"{path} could not be written: ") and line.endswith(", and what was there is kept.")
    assert [path.read_bytes() for path in paths] == before and sorted(tmp_path.iterdir()) == sorted(paths)


@pytest.mark.skipif(sys.platform == "win32", reason="a script stands for ffmpeg")
@pytest.mark.parametrize(
    "script, says",
    [("cat > /dev/null", "No such file"), ("cat > /dev/null; exit 3", "it ended with 3"),
     ("cat > /dev/null; for p; do :; done; : > $p", "ffmpeg could not write it"),
     ("echo 'out: No space left on device' >&2; exit 1", "No space left on device"), ("kill -9 $$", "ended with -9")],
)  # fmt: skip
def test_a_writer_that_fails_in_silence_is_noticed(tmp_path, monkeypatch, script, says):
    monkeypatch.chdir(tmp_path)  # the last script writes where the last argument says, which is once "-"
    (tmp_path / "ffmpeg").write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "ffmpeg").chmod(0o755)
    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", lambda: str(tmp_path / "ffmpeg"))
    with pytest.raises(OSError, match=says) as error:
        save_animation(clip_of(30), tmp_path / "new" / "clip.mp4")
    assert error.value.errno in (errno.EIO, errno.ENOSPC, errno.ENOENT) and "\n" not in str(error.value)
    assert list((tmp_path / "new").iterdir()) == []


@pytest.mark.parametrize("channels", [1, 3])
def test_mp4(tmp_path, channels):
    clip = clip_of(channels=channels)
    save_animation(clip, tmp_path / "clip.MP4", fps=10)
    about = iio.immeta(tmp_path / "clip.MP4", plugin="FFMPEG")
    assert (about["codec"], about["pix_fmt"].split("(")[0], about["fps"]) == ("h264", "yuv420p", 10)
    frames = iio.imread(tmp_path / "clip.MP4", plugin="FFMPEG")
    assert frames.shape == (5, 256, 256, 3)
    assert difference(frames[:, 2::4, 2::4], clip) < 4


@pytest.mark.parametrize("height, width", [(1, 1), (27, 85), (3, 301)])
def test_mp4_of_any_size_is_even(tmp_path, height, width):
    save_animation(clip_of(height=height, width=width), tmp_path / "clip.mp4")
    _, h, w, _ = iio.imread(tmp_path / "clip.mp4", plugin="FFMPEG").shape
    assert h % 2 == w % 2 == 0 and w >= 256


@pytest.mark.parametrize("channels", [1, 3])
def test_png_is_a_filmstrip(tmp_path, channels):
    clip = clip_of(channels=channels)
    save_animation(clip, str(tmp_path / "new folder" / "clip.png"))
    strip = np.asarray(Image.open(tmp_path / "new folder" / "clip.png"))
    assert strip.shape == (64, 5 * 66 - 2, 3)
    for i, frame in enumerate(clip):
        assert (strip[:, i * 66 : i * 66 + 64] == frame).all()
    assert (strip[:, 64:66] == 255).all()


def test_a_filmstrip_has_a_row_a_clip():
    long, short = clip_of(5), clip_of(2)
    strip = filmstrip([long, short])
    assert strip.shape == (64 + 2 + 64, 5 * 66 - 2, 3)
    assert (strip[66:, 66:130] == short[1]).all() and (strip[66:, 130:] == 255).all()
    assert (filmstrip(np.stack([long, long]))[66:] == filmstrip(long)).all()


@pytest.mark.parametrize("channels, mode", [(1, "L"), (3, "RGB")])
def test_to_png_loses_nothing(tmp_path, channels, mode):
    frame = clip_of(channels=channels)[0]
    (tmp_path / "frame.png").write_bytes(to_png(frame))
    read = Image.open(tmp_path / "frame.png")
    assert read.mode == mode
    assert (np.asarray(read).reshape(frame.shape) == frame).all()


@pytest.mark.parametrize(
    "clip, path, fps, message",
    [
        (
            clip_of(),
            "clip.webm",
            12,
            ".apng and .png (a filmstrip), got the file name 'clip.webm'",
        ),
        (clip_of(), "clip", 12, "got the file name 'clip'"),
        (clip_of()[0], "clip.gif", 12, "got uint8 (64, 64, 3)"),
        (clip_of() / 255, "clip.gif", 12, "got float64 (5, 64, 64, 3)"),
        (clip_of()[..., :2], "clip.gif", 12, "(5, 64, 64, 2)"),
        (clip_of()[:0], "clip.png", 12, "(0, 64, 64, 3)"),
        (clip_of(), "clip.gif", 0, "fps, the frames per second of a .gif, must be a number from 0.1 to 50, got 0."),
        (clip_of(), "clip.webp", 51, "of a .webp, must be a number from 0.1 to 50, got 51."),
        (clip_of(), "clip.mp4", 241, "of a .mp4, must be a number from 0.1 to 240, got 241."),
        (clip_of(), "clip.gif", float("nan"), "from 0.1 to 50, got nan."),
        (clip_of(), "clip.gif", "12", "from 0.1 to 50, got '12'."),
        (clip_of(), "clip.gif", True, "from 0.1 to 50, got True."),
        (clip_of(1, 8, 20_000), "clip.mp4", 12, "at most 16,384 pixels a side, and this clip would be 20,000x8,"),
        (clip_of(1, 8, 20_000), "clip.webp", 12, "A .webp has at most 16,383 pixels a side"),
        (clip_of(1, 1000, 1), "clip.gif", 12, "at most 65,535 pixels a side, and this clip would be 256x256,000,"),
        (clip_of(1, 2, 256).repeat(90, axis=0), "clip.gif", 0.1, "A .gif cannot hold these 90 frames: "),
    ],
)
def test_bad_input_gives_one_clear_sentence(tmp_path, clip, path, fps, message):
    with pytest.raises(ValueError) as error:
        save_animation(clip, tmp_path / path, fps)
    assert message in str(error.value) and "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "clips, message",
    [
        ([clip_of(), clip_of(height=32)], "one frame size, got"),
        ([], "got no clips"),
        (None, r"^A filmstrip needs a clip or a list of clips, got None\.$"),
        (3, r"^A filmstrip needs a clip or a list of clips, got 3\.$"),
        ([[[0], [1, 2]]], r"^A clip must be uint8 frames .*, got \[\[0\], \[1, 2\]\]\.$"),
    ],
)
def test_what_makes_no_filmstrip(clips, message):
    with pytest.raises(ValueError, match=message):
        filmstrip(clips)


@pytest.mark.parametrize(
    "path, error, message",
    [
        (3, TypeError, "path must be a string or a Path, got 3."),
        (None, TypeError, "path must be a string or a Path, got None."),
        (b"a.gif", TypeError, "path must be a string or a Path, got b'a.gif'."),
        ("a\0.gif", ValueError, "path must have no null character in it, got 'a\\x00.gif'."),
        (
            "~no-such-user/a.gif",
            ValueError,
            "path leads to a home folder that cannot be found, got '~no-such-user/a.gif'.",
        ),
    ],
)
def test_what_is_no_path(path, error, message):
    with pytest.raises(error) as refused:
        save_animation(clip_of(), path)
    assert str(refused.value) == message
