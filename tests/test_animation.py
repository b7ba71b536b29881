"""Files that save_animation wrote, read back by others: Pillow, and ffmpeg through imageio."""

import imageio.v3 as iio
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
        (clip_of(), "clip.webm", 12, "writes .gif, .mp4 and .png (a filmstrip), got the file name 'clip.webm'"),
        (clip_of(), "clip", 12, "got the file name 'clip'"),
        (clip_of()[0], "clip.gif", 12, "got uint8 of shape (64, 64, 3)"),
        (clip_of() / 255, "clip.gif", 12, "got float64 of shape (5, 64, 64, 3)"),
        (clip_of()[..., :2], "clip.gif", 12, "of shape (5, 64, 64, 2)"),
        (clip_of()[:0], "clip.png", 12, "of shape (0, 64, 64, 3)"),
        (clip_of(), "clip.gif", 0, "above 0, got 0"),
    ],
)
def test_bad_input_gives_one_clear_sentence(tmp_path, clip, path, fps, message):
    with pytest.raises(ValueError) as error:
        save_animation(clip, tmp_path / path, fps)
    assert message in str(error.value) and "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "clips, message", [([clip_of(), clip_of(height=32)], "one frame size, got"), ([], "got no clips")]
)
def test_what_makes_no_filmstrip(clips, message):
    with pytest.raises(ValueError, match=message):
        filmstrip(clips)
