"""Your own frames: pixels against Pillow by hand, what becomes a clip, what is left out, and training on it at once."""

from __future__ import annotations

import errno
import io
import os
import random
import shutil
import subprocess
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import imageio.v3 as iio
import imageio_ffmpeg
import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

import animlab
from animlab.datasets import Clips, SkippedWarning, cache, folder, limits, load_dataset, media
from animlab.datasets.source import Clip, Skipped


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANIMLAB_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty folder for the reader's files."""
    (tmp_path / "mine").mkdir()
    return tmp_path / "mine"


def load(root: Path) -> Clips:
    return load_dataset("folder", root, progress=False)


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


def smooth(width: int, height: int) -> Image.Image:
    """A picture with soft edges, as a camera takes it."""
    y, x = np.mgrid[:height, :width] / max(width, height)
    waves = [np.sin(9 * x + 5 * y), np.cos(12 * y), np.sin(20 * x * y)]
    return Image.fromarray(np.rint(127.5 + 120 * np.stack(waves, axis=-1)).astype(np.uint8))


def by_hand(image: Image.Image) -> np.ndarray:
    """The middle square of an RGB image at 64x64: cropped first, then resized."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    square = image.crop((left, top, left + side, top + side))
    return np.asarray(square.resize((64, 64), Image.Resampling.BICUBIC))


def numbered(folder: Path, count: int, pattern: str = "{:03d}.png", first: int = 1) -> None:
    """Pictures of one grey each: number n has the level 10 n."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(first, first + count):
        Image.new("L", (64, 64), 10 * number).save(folder / pattern.format(number))


def levels(clips: Clips, row: int) -> list[int]:
    """The grey levels of one clip, divided by ten."""
    start, length = clips.clips[row][["start", "length"]]
    return (clips.frames[start : start + length, 0, 0, 0] // 10).tolist()


# --- pixels ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(64, 64), (200, 150), (151, 400), (20, 9), (1000, 65)])
@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "WEBP", "PPM"])
def test_a_picture_is_its_middle_square_scaled(root: Path, size: tuple[int, int], kind: str) -> None:
    image = noise(*size)
    image.save(root / f"x.{kind.lower()}", lossless=True)
    assert np.array_equal(load(root).frames, [by_hand(image)])


def test_scaling_is_antialiased_like_torchvisions(root: Path) -> None:
    image = noise(500, 300)
    image.save(root / "x.png")
    resize = v2.Compose([v2.CenterCrop(300), v2.Resize(64, v2.InterpolationMode.BICUBIC, antialias=True)])
    theirs = resize(torch.from_numpy(np.array(image)).permute(2, 0, 1)).permute(1, 2, 0).numpy().astype(int)
    assert np.abs(load(root).frames[0] - theirs).max() <= 1, "the two round differently"


@pytest.mark.parametrize("size", [(300, 200), (1600, 1200), (2100, 3000)])
def test_a_large_jpeg_is_within_two_levels_of_a_full_decoding(root: Path, size: tuple[int, int]) -> None:
    smooth(*size).save(root / "x.jpg", quality=95)
    with Image.open(root / "x.jpg") as image:
        difference = load(root).frames[0].astype(int) - by_hand(image.convert("RGB"))
    assert np.abs(difference).max() <= (2 if size[0] > 1000 else 0) and np.abs(difference).mean() < 0.5


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turns_a_picture(root: Path, orientation: int) -> None:
    turns = [
        lambda a: a,
        lambda a: a[:, ::-1],
        lambda a: a[::-1, ::-1],
        lambda a: a[::-1],
        lambda a: a.swapaxes(0, 1),
        lambda a: np.rot90(a, -1),
        lambda a: a[::-1, ::-1].swapaxes(0, 1),
        lambda a: np.rot90(a),
    ]
    image, exif = noise(64, 64), Image.Exif()
    exif[0x112] = orientation
    image.save(root / "x.png", exif=exif)
    assert np.array_equal(load(root).frames[0], turns[orientation - 1](np.asarray(image)))


def test_transparent_parts_become_white(root: Path) -> None:
    colours = np.asarray(noise(64, 64))
    opacity = np.random.default_rng(1).integers(0, 256, (64, 64, 1), np.uint8)
    Image.fromarray(np.concatenate([colours, opacity], axis=-1)).save(root / "1.png")
    Image.fromarray(np.concatenate([colours[..., :1], opacity], axis=-1), "LA").save(root / "2.png")
    share = opacity / 255
    over_white = [colours * share + 255 * (1 - share), colours[..., :1].repeat(3, -1) * share + 255 * (1 - share)]
    assert np.abs(load(root).frames - np.array(over_white)).max() < 1.01


def test_the_hidden_colour_of_transparent_parts_does_not_bleed(root: Path) -> None:
    sprite = np.zeros((256, 256, 4), np.uint8)
    sprite[..., 0] = 255  # red where nothing is to be seen
    sprite[64:192, 64:192] = (0, 0, 255, 255)
    Image.fromarray(sprite).save(root / "sprite.png")
    frame = load(root).frames[0].astype(int)
    assert (frame[..., 0] <= frame[..., 1] + 1).all(), "white and blue only"
    assert frame[0, 0].tolist() == [255, 255, 255] and frame[32, 32].tolist() == [0, 0, 255]


def test_a_palette_with_transparency(root: Path) -> None:
    image = Image.fromarray(np.arange(64 * 64, dtype=np.uint8).reshape(64, 64) % 4, "P")
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9])
    image.save(root / "x.png", transparency=bytes([255, 255, 255, 0]))
    expected = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]], np.uint8)[np.asarray(image)]
    assert np.array_equal(load(root).frames[0], expected)


@pytest.mark.parametrize("suffix", ["png", "tiff", "pgm"])
def test_sixteen_bits_are_scaled_to_eight(root: Path, suffix: str) -> None:
    values = np.linspace(0, 65535, 64 * 64).astype(np.uint16).reshape(64, 64)
    Image.fromarray(values).save(root / f"x.{suffix}")
    assert np.array_equal(load(root).frames[0], np.rint(values[..., None] / 257).astype(np.uint8).repeat(3, -1))


def test_cmyk_and_grey(root: Path) -> None:
    noise(64, 64).convert("CMYK").save(root / "1.tiff")
    noise(64, 64).convert("L").save(root / "2.png")
    with Image.open(root / "1.tiff") as ink:
        cyan, magenta, yellow, black = (np.asarray(ink).astype(float) / 255).transpose(2, 0, 1)
    light = 255 * (1 - np.stack([cyan, magenta, yellow], axis=-1)) * (1 - black[..., None])
    frames = load(root).frames
    assert np.abs(frames[0] - light).max() <= 1
    assert np.array_equal(frames[1], np.asarray(noise(64, 64).convert("L"))[..., None].repeat(3, -1))


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "GIF"])
def test_every_frame_of_an_animation(root: Path, kind: str) -> None:
    images = [noise(80, 64, seed) for seed in range(4)]
    if kind == "GIF":
        images = [image.quantize(32).convert("RGB") for image in images]
    images[0].save(root / f"x.{kind.lower()}", save_all=True, append_images=images[1:], lossless=True, duration=100)
    clips = load(root)
    assert clips.clips[["start", "length"]].tolist() == [(0, 4)]
    assert np.array_equal(clips.frames, [by_hand(image) for image in images])


def test_a_photograph_with_a_preview_behind_it_is_one_picture(root: Path) -> None:
    noise(64, 64).save(root / "x.jpg", "MPO", save_all=True, append_images=[noise(64, 64, 1)])
    assert len(load(root)) == 1


@pytest.mark.parametrize("suffix", ["avi", "mp4", "mov", "mkv", "webm"])
def test_a_video_frame_by_frame(root: Path, suffix: str) -> None:
    frames = np.stack([np.asarray(smooth(160, 96 + 16 * index))[:96] for index in range(6)])
    codec = {"webm": "libvpx", "avi": "mpeg4"}.get(suffix, "libx264")
    iio.imwrite(root / f"x.{suffix}", frames, plugin="FFMPEG", fps=25, codec=codec, output_params=["-b:v", "4M"])
    decoded = list(iio.imiter(root / f"x.{suffix}", plugin="FFMPEG"))
    clips = load(root)
    assert len(decoded) == 6 and np.array_equal(clips.frames, [by_hand(Image.fromarray(each)) for each in decoded])
    assert np.abs(clips.frames - np.array([by_hand(Image.fromarray(each)) for each in frames], float)).mean() < 12


def ffmpeg(*arguments: str | Path) -> None:
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", *map(str, arguments)], check=True)


def test_a_phone_video_stands_upright(root: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    frames = np.stack([np.asarray(smooth(160, 96))] * 3)
    iio.imwrite(tmp_path / "lying.mp4", frames, plugin="FFMPEG", fps=25)
    ffmpeg("-display_rotation", "90", "-i", tmp_path / "lying.mp4", "-c", "copy", root / "x.mp4")
    [lying] = [by_hand(Image.fromarray(each)) for each in iio.imiter(tmp_path / "lying.mp4", plugin="FFMPEG")][:1]
    assert np.abs(load(root).frames[0] - np.rot90(lying).astype(int)).max() <= 2
    assert capfd.readouterr() == ("", "")


def test_each_stored_frame_comes_once_however_long_it_is_shown(root: Path, tmp_path: Path) -> None:
    frames = np.stack([np.asarray(noise(64, 64, seed)) for seed in range(30)])
    iio.imwrite(tmp_path / "even.mp4", frames, plugin="FFMPEG", fps=25)
    ffmpeg("-i", tmp_path / "even.mp4", "-vf", "select='not(mod(n,7))'", "-fps_mode", "vfr", root / "uneven.mkv")
    assert len(load(root)) == 5  # 0, 7, 14, 21, 28


def other_ffmpeg(patch: pytest.MonkeyPatch, path: Path, script: str) -> None:
    """This script is what imageio-ffmpeg finds."""
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    patch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", lambda: str(path))


@pytest.fixture
def film(root: Path) -> Path:
    """A video of three frames, beside one picture."""
    iio.imwrite(root / "x.mp4", np.stack([np.asarray(noise(64, 64))] * 3), plugin="FFMPEG", fps=25)
    noise(64, 64).save(root / "still.png")
    return root / "x.mp4"


@pytest.mark.parametrize("trouble", ["too old", "not there", "never there"])
def test_an_ffmpeg_that_is_missing_or_too_old_is_not_blamed_on_the_video(
    root: Path, film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    def find() -> str:
        raise RuntimeError("No ffmpeg exe could be found. Install ffmpeg on your system, or set IMAGEIO_FFMPEG_EXE.")

    with monkeypatch.context() as patch:
        other_ffmpeg(patch, tmp_path / "ffmpeg", "echo \"Unrecognized option 'fps_mode'.\" >&2; exit 1")
        if trouble == "not there":
            (tmp_path / "ffmpeg").unlink()
        elif trouble == "never there":
            patch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", find)
        with pytest.raises(RuntimeError, match=r"^Videos need ffmpeg 5.1 or newer: pip install --upgrade imageio-f"):
            load(root)
    assert len(load(root)) == 4


@pytest.mark.parametrize(
    "script, reason",
    [
        ("kill -9 $$", "ffmpeg was ended by signal 9 after 0 frames"),
        ("printf 'P6\\n1 1\\n255\\n   '; sleep 0.2; kill -9 $$", "ffmpeg was ended by signal 9 after 1 frames"),
        ("echo 'out: Cannot allocate memory' >&2; exit 1", "ffmpeg had not enough memory after 0 frames"),
    ],
)
def test_an_ffmpeg_that_is_killed_says_nothing_about_the_video(
    root: Path, film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, reason: str
) -> None:
    with monkeypatch.context() as patch, pytest.warns(SkippedWarning, match=reason):
        other_ffmpeg(patch, tmp_path / "ffmpeg", script)
        patch.setattr(limits, "MIN_SIDE", 1)
        assert len(load(root)) == 1
    assert len(load(root)) == 4 and load(root).skipped == ()


@pytest.mark.parametrize("error", [OSError(errno.EIO, "Input/output error"), MemoryError()])
def test_what_the_machine_failed_over_is_tried_again(
    root: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Of three pictures the second fails, once; the two others are there at once, and all three the next time."""
    for seed in range(3):
        noise(64, 64, seed).save(root / f"{seed}.png")
    decode = media.pictures_in

    def fail_once(content: bytes) -> Iterator[Image.Image]:
        if content == (root / "1.png").read_bytes():
            raise error
        return decode(content)

    with monkeypatch.context() as patch, pytest.warns(SkippedWarning, match=r"1.png \((cannot be read just|too large)"):
        patch.setattr(folder, "pictures_in", fail_once)
        seen = load(root)
        assert np.array_equal(seen.frames, [noise(64, 64, seed) for seed in (0, 2)])
    assert np.array_equal(load(root).frames, [noise(64, 64, seed) for seed in range(3)])
    assert np.array_equal(seen.frames, [noise(64, 64, seed) for seed in (0, 2)]), "the first frames are still there"


def test_a_file_that_cannot_be_read_at_all_does_not_sink_the_set(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a disk with a bad sector does it, for the look at what has changed as well."""
    numbered(root, 3)

    def bad_sector(path: Path, mode: str = "r", **options: int) -> object:
        if Path(path).name == "002.png":
            raise OSError(errno.EIO, "Input/output error")
        return open(path, mode, **options)

    with monkeypatch.context() as patch:
        patch.setattr(cache, "open", bad_sector, raising=False)
        patch.setattr(Path, "read_bytes", lambda path: bad_sector(path, "rb").read())
        for _ in range(2):
            with pytest.warns(SkippedWarning, match=r"002.png \(cannot be read just now: Input/output error\)"):
                assert len(load(root)) == 2
    assert len(load(root)) == 3


# --- whose frames these are -----------------------------------------------------------------------------------------


def as_old(path: Path) -> None:
    os.utime(path, (1e9, 1e9))


def test_frames_of_one_folder_are_never_served_for_another(tmp_path: Path) -> None:
    """Names, sizes and times agree, as after unpacking; only what is in the files differs."""
    folders = [tmp_path / name for name in ("a", "b")]
    for level, place in zip((0, 200), folders):
        place.mkdir()
        for name in ("1.bmp", "2.bmp"):
            Image.new("L", (64, 64), level).save(place / name)
            as_old(place / name)
    assert [load(place).frames.max() for place in (*folders, *folders)] == [0, 200, 0, 200]


def test_a_file_changed_in_place_is_noticed_though_size_and_time_stay(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "SETTLED", 0.05)
    monkeypatch.setattr(cache, "NOTED_FROM", 0)
    for level in (10, 20, 30):
        Image.new("L", (64, 64), level).save(root / "x.bmp")
        as_old(root / "x.bmp")
        for wait in (0, 0.2):
            time.sleep(wait)  # before the note on it is kept, and after
            assert load(root).frames.max() == level


def test_content_is_read_once_and_a_copy_is_not_prepared_again(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "SETTLED", -1)
    monkeypatch.setattr(cache, "NOTED_FROM", 0)
    numbered(root / "walk", 3)
    first = load(root)
    shutil.copytree(root, tmp_path / "copy")
    with monkeypatch.context() as patch:
        patch.setattr(cache, "_write", lambda *_: pytest.fail("prepared anew"))
        assert np.array_equal(load(tmp_path / "copy").frames, first.frames)
        patch.setattr(cache, "_content_of", lambda *_: pytest.fail("read anew"))
        assert np.array_equal(load(root).frames, first.frames)


def test_the_same_files_below_other_folders_have_other_classes(root: Path, tmp_path: Path) -> None:
    numbered(root / "cats", 2)
    shutil.copytree(root / "cats", tmp_path / "other" / "dogs")
    assert [set(load(place).clips["class"]) for place in (root, root / "cats", tmp_path / "other")] == [
        {"cats"},
        {""},
        {"dogs"},
    ]


# --- what becomes a clip --------------------------------------------------------------------------------------------


def test_folders_of_numbered_pictures_are_clips_in_natural_order(root: Path) -> None:
    numbered(root / "wave", 12, "f{}.png")  # f1, f2, … f10, f11, f12
    numbered(root / "jump/second", 3)
    numbered(root / "jump/first", 2)
    numbered(root / "jump/both", 2, "left{}.png")
    numbered(root / "jump/both", 3, "right{}.png")
    clips = load(root)
    assert clips.clips["class"].tolist() == ["jump"] * 4 + ["wave"]
    assert [levels(clips, row) for row in range(5)] == [[1, 2], [1, 2, 3], [1, 2], [1, 2, 3], list(range(1, 13))]
    assert clips.clips["take"].tolist() == [0, 1, 2, 3, 4] and clips.skipped == ()


def test_single_pictures_are_clips_of_one_frame(root: Path) -> None:
    numbered(root, 3)  # numbered, but not in a folder of their own
    (root / "cats").mkdir()
    for name in ("felix.png", "tabby.png"):
        Image.new("L", (64, 64), 200).save(root / "cats" / name)
    clips = load(root)
    assert clips.clips["length"].tolist() == [1] * 5
    assert clips.clips["class"].tolist() == ["", "", "", "cats", "cats"]


def test_everything_mixed(root: Path) -> None:
    numbered(root / "wave", 3)
    numbered(root, 1, "still.png")
    images = [noise(64, 64, seed) for seed in range(4)]
    images[0].save(root / "wave/4.gif", save_all=True, append_images=images[1:])
    iio.imwrite(root / "wave/film.mp4", np.stack([np.asarray(image) for image in images]), plugin="FFMPEG", fps=25)
    (root / "notes.txt").write_text("text")
    with pytest.warns(SkippedWarning, match=r"^1 file was left out, wholly or in part: notes.txt \(.txt is not a kind"):
        clips = load(root)
    assert sorted(clips.clips["length"].tolist()) == [1, 3, 4, 4]
    assert sorted(clips.clips["class"]) == ["", "wave", "wave", "wave"]


def test_a_zip_reads_like_the_folder_with_or_without_a_folder_around_it(root: Path, tmp_path: Path) -> None:
    numbered(root / "wave", 11, "{}.png")
    noise(90, 64).save(root / "still.png")
    iio.imwrite(root / "film.mp4", np.stack([np.asarray(noise(64, 64))] * 3), plugin="FFMPEG", fps=25)
    expected = load(root)
    for top in ("", "mine/"):
        path = tmp_path / f"packed{len(top)}.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
            for file in sorted(root.rglob("*.*")):
                packed.write(file, top + file.relative_to(root).as_posix())
        clips = load(path)
        assert np.array_equal(clips.frames, expected.frames) and np.array_equal(clips.clips, expected.clips)
    assert not list((tmp_path / "cache").glob("unfinished-*")), "the unpacked video is gone"


def test_natural_order() -> None:
    names = ["a10.png", "a9.png", "A1.png", "a010.png", "b/2.png", "b/10.png", "b.png", "a" + "9" * 5000]
    ordered = ["A1.png", "a9.png", "a010.png", "a10.png", "a" + "9" * 5000, "b.png", "b/2.png", "b/10.png"]
    assert sorted(names, key=folder.natural) == ordered


# --- limits ---------------------------------------------------------------------------------------------------------


def test_a_long_video_stops_at_the_limit(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_FRAMES", 4)
    iio.imwrite(
        root / "x.mp4", np.stack([np.asarray(noise(64, 64, seed)) for seed in range(9)]), plugin="FFMPEG", fps=9
    )
    with pytest.warns(SkippedWarning, match=r"x.mp4 \(only the first 4 frames were taken: cut it to use others\)"):
        assert len(load(root)) == 4


def test_a_long_sequence_comes_in_pieces_of_one_take(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_FRAMES", 4)
    numbered(root / "walk", 10)
    clips = load(root)
    assert clips.clips[["start", "length", "take"]].tolist() == [(0, 4, 0), (4, 4, 0), (8, 2, 0)]


def test_a_set_stops_when_it_is_full(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_TOTAL_FRAMES", 5)
    numbered(root / "walk", 4)
    images = [noise(64, 64, seed) for seed in range(3)]
    images[0].save(root / "walk/x.gif", save_all=True, append_images=images[1:])
    numbered(root, 2, "z{}.png")
    with pytest.warns(SkippedWarning, match=r"2 files were left out.*z2.png \(the set is full with 5 frames\)"):
        clips = load(root)
    assert len(clips) == 5


def test_too_many_files_are_refused_before_they_are_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_FILES", 3)
    numbered(root, 4)
    with pytest.raises(ValueError, match=r"holds more than 3 files: name a folder of only those you need"):
        load(root)


def test_a_picture_file_of_too_many_bytes(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    numbered(root, 2)
    with open(root / "1.bmp", "wb") as file:
        file.truncate((256 << 20) + 1)  # a hole: it takes no space on the disk
    with pytest.warns(SkippedWarning, match=r"1.bmp \(a picture of more than 256 MB\)"):
        assert len(load(root)) == 2


def test_very_large_frames_stop_a_clip_earlier(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_CLIP_PIXELS", 3 * 64 * 64)
    images = [noise(64, 64, seed) for seed in range(5)]
    images[0].save(root / "x.webp", save_all=True, append_images=images[1:])
    with pytest.warns(SkippedWarning, match=r"x.webp \(only the first 3 frames were taken"):
        assert len(load(root)) == 3


def test_damage_anywhere_is_a_media_error_or_none() -> None:
    """500 pictures with flipped bytes: never another exception, and always frames of the right form."""
    rng = random.Random(0)
    whole = []
    for kind in ("PNG", "JPEG", "GIF", "WEBP", "BMP", "PPM", "TIFF"):
        content = io.BytesIO()
        noise(70, 50).save(content, kind)
        whole.append(content.getvalue())
    refused = 0
    for _ in range(500):
        content = bytearray(rng.choice(whole))
        for _ in range(rng.randint(1, 8)):
            content[rng.randrange(200 if rng.random() < 0.5 else len(content))] = rng.randrange(256)
        try:
            frames, _ = media.frames_of(media.pictures_in(bytes(content)))
            assert frames.dtype == np.uint8 and frames.shape[1:] == (64, 64, 3)
        except media.MediaError as error:
            refused += 1
            assert str(error).isprintable()
    assert 100 < refused < 500


# --- the report -----------------------------------------------------------------------------------------------------


def test_the_second_load_reports_the_same_and_a_mended_file_is_read(root: Path) -> None:
    numbered(root, 1)
    for name in "abcde":
        (root / f"{name}.png").write_bytes(b"")
    for _ in range(2):
        with pytest.warns(SkippedWarning) as seen:
            clips = load(root)
        assert str(seen[0].message) == (
            "5 files were left out, wholly or in part: a.png (empty (0 bytes)), b.png (empty (0 bytes)), "
            "c.png (empty (0 bytes)) and 2 more; clips.skipped lists all."
        )
        assert seen[0].filename == __file__ and len(seen) == 1
        assert clips.skipped == tuple(Skipped(f"{name}.png", "empty (0 bytes)") for name in "abcde")
    for name in "abcde":
        Image.new("L", (64, 64)).save(root / f"{name}.png")
    assert len(load(root)) == 6 and load(root).skipped == ()


def test_a_new_text_file_is_reported_too(root: Path) -> None:
    numbered(root, 1)
    assert load(root).skipped == ()
    (root / "new.txt").write_text("text")
    with pytest.warns(SkippedWarning, match=r"new.txt"):
        load(root)


def test_odd_names_stay_on_one_line(root: Path) -> None:
    numbered(root, 1)
    Path(os.fsdecode(os.fsencode(root) + b"/two\nlines\x1b[31m\xff.png")).write_bytes(b"")
    with pytest.warns(SkippedWarning, match=r"two\\nlines\\x1b\[31m\\udcff.png \(empty") as seen:
        load(root)
    assert str(seen[0].message).isprintable()


def test_folder_needs_a_root_and_has_no_stand_in() -> None:
    with pytest.raises(
        ValueError, match=r"load_dataset\('folder'\) needs root=…, the path of pictures, videos, or a zip"
    ):
        load_dataset("folder")
    with pytest.raises(ValueError, match=r"^There is no data set 'folder-synthetic': choose one of .*'folder'\.$"):
        load_dataset("folder-synthetic")


def test_only_videos_of_actions_are_cropped(root: Path) -> None:
    numbered(root, 1)
    for name in ("folder", "shapes", "actions-synthetic"):
        with pytest.raises(ValueError, match=rf"which only 'actions' has, not '{name}'"):
            load_dataset(name, root, crop=True)
    with pytest.raises(FileNotFoundError, match=r"^No videos to crop in"):
        load_dataset("actions", root, crop=True)


# --- and then -------------------------------------------------------------------------------------------------------


def test_fit_works_at_once(root: Path) -> None:
    for seed in range(3):
        noise(100, 80, seed).save(root / f"{seed}.png")
    clips = load(root)
    train, test = clips.split()
    assert (len(train), len(test)) == (2, 1)
    space = animlab.LabelSpace(n_z=2, n_d=2, n_c=1)
    run = animlab.fit(train, space, steps=1, width=0.125, progress=False)
    assert run.step == 1 and run.model.animate(d=0, along=0, frames=2, seed=0).shape == (2, 64, 64, 3)


def test_reading_streams(root: Path) -> None:
    """A clip at a time is in memory, whatever the folder holds: 600 pictures of 12 kB each here."""
    import tracemalloc

    content = io.BytesIO()
    noise(64, 64).save(content, "BMP")
    for index in range(600):
        (root / f"{index}.bmp").write_bytes(content.getvalue())
    source = folder.find_folder(root)
    tracemalloc.start()
    try:
        cache.prepared("folder", source, progress=False)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3e6, f"{peak / 1e6:.1f} MB for frames of {600 * 64 * 64 * 3 / 1e6:.1f} MB"
    assert sum(isinstance(item, Clip) for item in source.read()) == 600
