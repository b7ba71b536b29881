"""Data sets: the real loaders against a reading by hand, damaged files, the cache under stress, and the stand-ins."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
import tracemalloc
import warnings
import zipfile
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from animlab.datasets import REGISTRY, Clips, StandInWarning, cache, limits, load_dataset, strips
from animlab.datasets.source import Clip, Source
from animlab.datasets.synthetic_actions import CLASSES, render_actions
from animlab.datasets.synthetic_shapes import render_shapes

PROJECT = Path(__file__).resolve().parents[1]
REAL = Path(os.environ.get("ANIMLAB_DATA", PROJECT.parent / "shared" / "data"))  # or a folder that clones share


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has its own cache and home, and no data but what it makes."""
    monkeypatch.setenv("ANIMLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("ANIMLAB_DATA", str(tmp_path / "nothing"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr("animlab.datasets.data_folder", lambda: tmp_path / "nothing")


def load(name: str, root: Path | None = None) -> Clips:
    return load_dataset(name, root, progress=False)


def noise(length: int, seed: int = 0) -> np.ndarray:
    """Frames (length, 64, 64, 3) that no two places share."""
    return np.random.default_rng(seed).integers(0, 256, (length, 64, 64, 3), np.uint8)


def strip_bytes(frames: np.ndarray, mode: str = "RGB", kind: str = "PNG") -> bytes:
    """Frames side by side as a picture file."""
    buffer = io.BytesIO()
    Image.fromarray(np.hstack(list(frames))).convert(mode).save(buffer, kind)
    return buffer.getvalue()


def make_zip(path: Path, members: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


@pytest.fixture
def actions_root(tmp_path: Path) -> Path:
    """A small `actions.zip`: four recordings of 3 to 6 frames, each with its mirror image."""
    members = {}
    for take, folder in enumerate("0134"):
        frames = noise(3 + take, take)
        members[f"actions/{folder}/{2 * take:08d}.jpg"] = strip_bytes(frames)
        members[f"actions/{folder}/{2 * take + 1:08d}.jpg"] = strip_bytes(frames[:, :, ::-1])
    make_zip(tmp_path / "root" / "actions.zip", members)
    return tmp_path / "root"


# --- reading strips -------------------------------------------------------------------------------------------------


def test_zip_of_strips_is_read_pixel_by_pixel(actions_root: Path) -> None:
    clips = load("actions", actions_root)
    assert (clips.name, len(clips), clips.frames.shape, clips.factors) == ("actions", 36, (36, 64, 64, 3), {})
    assert isinstance(clips.frames, np.memmap) and not clips.frames.flags.writeable and clips.frames.dtype == np.uint8
    assert clips.clips["length"].tolist() == [3, 3, 4, 4, 5, 5, 6, 6]
    assert clips.clips["class"].tolist() == [name for name in CLASSES for _ in range(2)]
    for row in clips.clips:
        frames = noise(row["length"], row["take"])
        got = clips.frames[row["start"] : row["start"] + row["length"]]
        assert np.array_equal(got, frames) or np.array_equal(got, frames[:, :, ::-1])


def test_folder_of_strips_reads_like_the_zip(actions_root: Path) -> None:
    zipped = load("actions", actions_root)
    with zipfile.ZipFile(actions_root / "actions.zip") as archive:
        archive.extractall(actions_root / "unpacked")
    (actions_root / "unpacked/actions/notes.txt").write_text("not a strip")
    folder = load("actions", actions_root / "unpacked")
    assert np.array_equal(folder.frames, zipped.frames) and np.array_equal(folder.clips, zipped.clips)


def test_only_strips_are_taken_from_an_archive(tmp_path: Path) -> None:
    good = strip_bytes(noise(2))
    names = ["__MACOSX/shapes/0/._1.png", "shapes/0/._1.png", "shapes/0/x/1.png", "../shapes/0/1.png", "shapes/0/1.gif"]
    make_zip(tmp_path / "shapes.zip", dict.fromkeys(names, b"junk") | {"shapes/0/1.png": good, "shapes/7/2.png": good})
    assert load("shapes", tmp_path).clips["class"].tolist() == ["up", "7"]


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1"])
def test_any_colour_mode_becomes_rgb(mode: str) -> None:
    frames = noise(2)
    with Image.open(io.BytesIO(strip_bytes(frames, mode))) as picture:
        by_hand = picture.convert("RGB")
        expected = [np.asarray(by_hand.crop((64 * i, 0, 64 * i + 64, 64))) for i in range(2)]
    assert np.array_equal(strips.cut_strip(strip_bytes(frames, mode), "x"), expected)


def test_a_jpeg_strip_is_cut_where_its_frames_end() -> None:
    grey = np.full((2, 64, 64, 3), [[[[40]]], [[[220]]]], np.uint8)
    frames = strips.cut_strip(strip_bytes(grey, kind="JPEG"), "x").astype(int)
    assert frames.shape == (2, 64, 64, 3) and np.ptp(frames, axis=(1, 2, 3)).max() < 20


WHOLE = strip_bytes(noise(2))
JPEG = strip_bytes(noise(2), kind="JPEG")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "cannot be read as a picture .0 bytes"),
        (b"GIF89a, or so it says", "cannot be read as a picture"),
        (WHOLE[:200], "cannot be read as a picture .200 bytes"),
        (JPEG[: len(JPEG) // 2], "cannot be read as a picture"),
        (WHOLE[:100] + b"\0" * 50 + WHOLE[150:], "cannot be read as a picture"),
        (strip_bytes(np.zeros((1, 1, 1, 3), np.uint8)), "is 1x1 pixels"),
        (strip_bytes(noise(2)[:, :, :50]), "is 100x64 pixels"),
        (strip_bytes(noise(2)[:, :32]), "is 128x32 pixels"),
    ],
)
def test_a_damaged_strip_is_named(tmp_path: Path, content: bytes, says: str) -> None:
    make_zip(tmp_path / "shapes.zip", {"shapes/0/1.png": WHOLE, "shapes/1/2.png": content})
    with pytest.raises(ValueError, match=rf"^shapes.zip: shapes/1/2.png {says}.*(get|remove)") as caught:
        load("shapes", tmp_path)
    assert str(caught.value).count("\n") == 0
    assert not list((tmp_path / "cache").iterdir()), "a failed preparation leaves nothing behind"


def test_a_picture_that_promises_too_many_pixels_is_refused_before_decoding() -> None:
    header = bytearray(strip_bytes(noise(1)))
    header[16:24] = (1 << 20).to_bytes(4, "big") + (1 << 12).to_bytes(4, "big")  # width and height of 4 Gpixel
    with pytest.raises(ValueError, match="cannot be read as a picture"):
        strips.cut_strip(bytes(header), "x")


def test_a_member_that_unpacks_to_something_huge_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "shapes.zip", "w") as archive:
        archive.writestr("shapes/0/1.png", bytes(limits.MAX_STRIP_BYTES + 1))
    with pytest.raises(ValueError, match=r"shapes/0/1.png unpacks to more than 32 MB"):
        load("shapes", tmp_path)


@pytest.mark.parametrize("keep", [0, 10, 3000])
def test_a_zip_that_is_cut_short_is_named(actions_root: Path, keep: int) -> None:
    path = actions_root / "actions.zip"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=rf"actions.zip is not a complete zip archive \({keep} bytes\): get it again"):
        load("actions", actions_root)


def test_a_flipped_byte_inside_a_zip_is_noticed(actions_root: Path) -> None:
    path = actions_root / "actions.zip"
    content = bytearray(path.read_bytes())
    content[5000] ^= 255
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"actions/0/00000000.jpg is damaged inside the archive"):
        load("actions", actions_root)


def test_a_zip_without_strips_is_an_error(tmp_path: Path) -> None:
    make_zip(tmp_path / "actions.zip", {"readme.txt": b""})
    with pytest.raises(ValueError, match=r"holds no strips called actions/<class>/<id>"):
        load("actions", tmp_path)


# --- finding by name ------------------------------------------------------------------------------------------------


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(
        ValueError, match=r"^There is no data set 'action': choose one of 'actions', 'actions-synthetic', 'shapes'"
    ):
        load("action")


@pytest.mark.parametrize("name", [name for name in REGISTRY if name not in ("owls", "folder")])
def test_an_explicit_root_without_the_files_is_an_error(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()  # an empty folder of the right name
    for root in (tmp_path, tmp_path / "missing"):
        with pytest.raises(FileNotFoundError, match=rf"^No '{name}' data in .* should hold .*README"):
            load(name, root)


def test_the_environment_variable_is_looked_at_first(actions_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANIMLAB_DATA", str(actions_root))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load("actions").name == "actions"


def test_then_the_data_folder_of_the_project(actions_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("animlab.datasets.data_folder", lambda: actions_root)
    assert load("actions").name == "actions"


def test_then_the_stand_in_with_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    says = r"^No 'actions' data in .*\. The synthetic data set 'actions-synthetic' is used instead; data/README\.md"
    with pytest.warns(StandInWarning, match=says) as seen:
        clips = load("actions")
    assert clips.name == "actions-synthetic" and repr(clips).startswith("Clips('actions-synthetic': 64 clips, 2048")
    assert [warning.filename for warning in seen] == [__file__], "one warning, at the caller's line"
    assert "\n" not in str(seen[0].message) and capfd.readouterr() == ("", "")


# --- the cache ------------------------------------------------------------------------------------------------------


def source_of(path: Path, clips: list[Clip]) -> Source:
    path.touch()
    return Source((path,), len(clips), lambda: iter(clips))


def test_a_set_is_prepared_once_and_anew_when_its_file_changes(
    actions_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load("actions", actions_root)
    with monkeypatch.context() as patch:
        patch.setattr(strips, "cut_strip", lambda *_: pytest.fail("read a second time"))
        assert np.array_equal(load("actions", actions_root).frames, first.frames)
    make_zip(actions_root / "actions.zip", {"actions/4/9.png": strip_bytes(noise(2, seed=9))})
    assert np.array_equal(load("actions", actions_root).frames, noise(2, seed=9))


def test_preparing_and_splitting_hold_one_clip_in_memory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    source = Source((tmp_path / "file",), 60, lambda: (Clip(noise(80, seed)) for seed in range(60)))  # 1 MB each
    tracemalloc.start()
    try:
        frames, table, *_ = cache.prepared("noise", source, progress=False)
        train, test = Clips(frames, table, "noise").split()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(train) + len(test) == 4800 and peak < 8e6, f"{peak / 1e6:.1f} MB for a set of 59 MB"


def test_an_interrupted_preparation_leaves_nothing(tmp_path: Path) -> None:
    def interrupted():
        yield Clip(noise(2))
        raise KeyboardInterrupt

    (tmp_path / "file").touch()
    with pytest.raises(KeyboardInterrupt):
        cache.prepared("noise", Source((tmp_path / "file",), 2, interrupted), progress=False)
    assert not list((tmp_path / "cache").iterdir())


WORKER = """
import sys, time, types
from pathlib import Path
import numpy as np
# The package itself imports torch, which takes seconds in each process; one module of it is enough here.
sys.modules["animlab"] = types.ModuleType("animlab")
sys.modules["animlab"].__path__ = ["animlab"]
from animlab.datasets import cache
from animlab.datasets.source import Clip, Source

folder, pause = Path(sys.argv[1]), float(sys.argv[2])

def read():
    for value in range(4):
        (folder / f"reading-{sys.argv[3]}").touch()
        time.sleep(pause)
        yield Clip(np.full((3, 64, 64, 3), value, np.uint8))

(folder / f"ready-{sys.argv[3]}").touch()
while not (folder / "go").exists():
    time.sleep(0.005)
frames, table, factors, _ = cache.prepared("counted", Source((folder / "file",), 4, read), progress=False)
assert frames.shape == (12, 64, 64, 3) and frames[:, 0, 0, 0].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
"""


def start_worker(folder: Path, pause: float, name: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", WORKER, str(folder), str(pause), name]
    return subprocess.Popen(command, cwd=PROJECT, stderr=subprocess.PIPE)


def wait_for(path: Path, worker: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert worker.poll() is None, worker.stderr and worker.stderr.read().decode()
        assert time.monotonic() < deadline, f"{path.name} never came"
        time.sleep(0.01)


def test_two_processes_may_prepare_at_once_and_one_may_be_killed(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    killed, *others = workers = [
        start_worker(tmp_path, pause, name) for pause, name in [(60, "k"), (0.1, "a"), (0.1, "b")]
    ]
    try:
        for worker, name in zip(workers, "kab"):
            wait_for(tmp_path / f"ready-{name}", worker)
        (tmp_path / "go").touch()
        wait_for(tmp_path / "reading-k", killed)
        killed.kill()
        for worker in others:
            _, errors = worker.communicate(timeout=60)
            assert worker.returncode == 0, errors.decode()
        assert (tmp_path / "reading-a").exists() and (tmp_path / "reading-b").exists(), "both were at work"
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()

    folder = tmp_path / "cache"
    assert len(list(folder.glob("counted-*"))) == 1
    [left] = folder.glob(f"{cache.UNFINISHED}*")  # of the killed one: kept while it may still be at work ...
    cache.prepared("x", source_of(tmp_path / "x", [Clip(noise(1))]), progress=False)
    assert left.exists()
    for path in (*left.iterdir(), left):
        os.utime(path, (0, 0))
    cache.prepared("y", source_of(tmp_path / "y", [Clip(noise(1))]), progress=False)
    assert not left.exists()  # ... and cleared away once it is clear that it is not


@pytest.mark.parametrize("file", ["frames.npy", "clips.npy", "factors.npz"])
def test_a_damaged_cache_is_prepared_anew(tmp_path: Path, file: str) -> None:
    source = source_of(tmp_path / "file", [Clip(noise(3), "a", None, {"x": np.arange(3)})])
    cache.prepared("noise", source, progress=False)
    [stored] = (tmp_path / "cache").glob(f"*/{file}")
    stored.write_bytes(stored.read_bytes()[: stored.stat().st_size // 2])
    frames, table, factors, _ = cache.prepared("noise", source, progress=False)
    assert np.array_equal(frames, noise(3)) and table["class"] == ["a"] and factors["x"].tolist() == [0, 1, 2]


def test_the_user_cache_takes_over_where_the_cache_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a_file").touch()  # a folder cannot be made there, not even by root
    monkeypatch.setenv("ANIMLAB_CACHE", str(tmp_path / "a_file"))
    source = source_of(tmp_path / "file", [Clip(noise(1))])
    cache.prepared("noise", source, progress=False)
    assert list((tmp_path / "home/.cache/animlab").glob("noise-*"))
    monkeypatch.setenv("HOME", str(tmp_path / "a_file"))
    with pytest.raises(PermissionError, match=r"^No cache folder is writable .*set ANIMLAB_CACHE"):
        cache.prepared("other", source, progress=False)


def test_a_full_disk_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system to stand for a full disk")
    with (
        open("/dev/full", "wb", buffering=0) as file,
        pytest.raises(OSError, match=r"the frames could not be written because the disk is full: free some space"),
        cache.full_disk_is_one_sentence("the frames"),
    ):
        cache._write_frames(file, noise(1))


# --- splitting ------------------------------------------------------------------------------------------------------


def made_clips(takes: int = 40) -> Clips:
    """Two clips a take, three frames a clip; every pixel of a frame holds its take."""
    take = np.repeat(np.arange(takes), 2)
    table = np.zeros(len(take), [("start", "i8"), ("length", "i8"), ("class", "U2"), ("take", "i8")])
    table["start"], table["length"], table["take"] = 3 * np.arange(len(take)), 3, take
    table["class"] = np.where(take % 4 == 0, "a", "b")
    frames = np.repeat(take, 3)[:, None, None, None] * np.ones((1, 64, 64, 1), np.uint8)
    return Clips(frames.astype(np.uint8), table, "made", {"take": np.repeat(take, 3)})


def test_split_keeps_takes_whole_and_classes_in_proportion() -> None:
    clips = made_clips()
    train, test = clips.split(held_out=0.2, seed=1)
    assert (len(train), len(test)) == (192, 48)
    assert not set(train.clips["take"]) & set(test.clips["take"])
    assert set(train.clips["take"]) | set(test.clips["take"]) == set(range(40))
    assert sorted(test.clips["class"]) == ["a"] * 4 + ["b"] * 12
    for part in (train, test):
        assert isinstance(part.frames, np.memmap) and not part.frames.flags.writeable
        for row in part.clips:
            span = slice(row["start"], row["start"] + row["length"])
            assert (part.frames[span] == row["take"]).all() and (part.factors["take"][span] == row["take"]).all()


def test_stretches_are_copied_from_the_file_of_a_set_and_from_any_part_of_it(tmp_path: Path) -> None:
    whole = cache.prepared("noise", source_of(tmp_path / "file", [Clip(noise(9))]), progress=False).frames
    spans = [slice(4, 6), slice(0, 1), slice(2, 5)]
    for frames in (whole, whole[2:], whole[::2][:5], np.array(whole)):
        fitting = [span for span in spans if span.stop <= len(frames)]
        expected = np.concatenate([np.array(frames[span]) for span in fitting])
        assert np.array_equal(cache.copy_frames(frames, fitting), expected)


def test_split_follows_its_seed() -> None:
    clips = made_clips()
    held = [set(clips.split(seed=seed)[1].clips["take"]) for seed in (0, 0, 1)]
    assert held[0] == held[1] != held[2]


def test_split_leaves_something_on_either_side() -> None:
    for share in (0.001, 0.999):
        train, test = made_clips(takes=2).split(share)
        assert len(train) == len(test) == 6
    with pytest.raises(ValueError, match="two clips or more"):
        made_clips(takes=1).split()
    for share in (0, 1, -1, 10, float("nan")):
        with pytest.raises(ValueError, match=rf"between 0 and 1 .* got {share}"):
            made_clips().split(share)


# --- stand-ins ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("render", [render_actions, render_shapes])
def test_rendering_follows_its_seed(render) -> None:
    one, same, more, other = (list(render(*args)) for args in [(4, 8, 0), (4, 8, 0), (6, 8, 0), (4, 8, 1)])
    for a, b, c, d in zip(one, same, more, other):
        assert np.array_equal(a.frames, b.frames) and np.array_equal(a.frames, c.frames)
        assert not np.array_equal(a.frames, d.frames)
        assert all(np.array_equal(a.factors[name], b.factors[name]) for name in a.factors)


@pytest.mark.parametrize(("name", "clips", "classes"), [("actions", 64, set(CLASSES)), ("shapes", 600, {"up", "left"})])
def test_stand_ins_load_like_the_real_sets(name: str, clips: int, classes: set[str]) -> None:
    loaded = load(f"{name}-synthetic")
    assert loaded.frames.shape == (clips * 32, 64, 64, 3) and isinstance(loaded.frames, np.memmap)
    assert len(loaded.clips) == clips and set(loaded.clips["class"]) == classes
    assert all(values.shape == (len(loaded),) and np.isfinite(values).all() for values in loaded.factors.values())


def test_shapes_are_where_and_what_their_factors_say() -> None:
    for clip in render_shapes(clips=24, length=8):
        factors = {name: values[:, None, None] for name, values in clip.factors.items()}
        colour = np.stack([clip.factors[name] for name in "rgb"], axis=1)
        strongest = colour[0].argmax()
        cover = clip.frames[..., strongest] / colour[0, strongest]  # 1 inside, 0 outside, between at the edge
        y, x = np.mgrid[:64, :64]
        area = cover.sum((1, 2))
        assert np.allclose((cover * x).sum((1, 2)) / area, clip.factors["x"], atol=0.05)
        assert np.allclose((cover * y).sum((1, 2)) / area, clip.factors["y"], atol=0.05)
        size = clip.factors["size"]
        assert np.allclose(area, size**2 * (np.pi / 4 if clip.factors["kind"][0] == 0 else 1), rtol=0.03)
        centre = np.hypot(x - factors["x"], y - factors["y"]) < 2
        assert (clip.frames[centre] == colour[0]).all() and clip.frames[:, [0, 0, -1, -1], [0, -1, 0, -1]].max() <= 255
        ahead = clip.factors["y" if clip.label == "up" else "x"]
        aside = clip.factors["x" if clip.label == "up" else "y"]
        assert (np.diff(ahead) < 0).all() and np.isclose(aside[0], aside[-1])
        assert clip.factors["phase"][[0, -1]].tolist() == [0, 1]


def moved(clip: Clip) -> np.ndarray:
    """Where a frame differs from the clip's most usual picture, (T, 64, 64)."""
    return np.abs(clip.frames - np.median(clip.frames, axis=0)).max(-1) > 12


def test_raised_arms_are_beside_the_head() -> None:
    seen = {"raised": 0, "lowered": 0}
    for clip in render_actions(clips=24):
        if clip.label == "bend":
            continue
        neck = (clip.factors["y"] - 14 * clip.factors["size"]).astype(int)
        middle = round(float(clip.factors["x"][0]))
        for name, columns in (
            ("left_arm", slice(middle - 12, middle - 6)),
            ("right_arm", slice(middle + 7, middle + 13)),
        ):
            lowest = clip.frames[clip.factors[name].argmin()].astype(int)
            mask = np.abs(clip.frames - lowest).max(-1) > 12
            for t, angle in enumerate(clip.factors[name]):
                arm = mask[t, neck[t] - 10 : neck[t] - 3, columns].any()
                if angle > 140:
                    assert arm, f"{clip.label}: no arm beside the head in frame {t} at {angle:.0f} degrees"
                    seen["raised"] += 1
                elif angle < 80:
                    assert not arm, f"{clip.label}: something beside the head in frame {t} at {angle:.0f} degrees"
                    seen["lowered"] += 1
    assert min(seen.values()) > 100, seen


def test_legs_spread_and_trunks_bend_as_their_factors_say() -> None:
    clips = list(render_actions(clips=16))
    for clip in clips:
        leg, bend = clip.factors["leg"], clip.factors["bend"]
        assert (np.ptp(leg) > 10) == (clip.label == "jumping jack")
        assert (np.ptp(bend) > 60) == (clip.label == "bend")
        if clip.label == "bend":
            deep, upright = np.abs(bend).argmax(), np.abs(bend).argmin()
            only_deep = np.argwhere(moved(clip)[deep] & ~moved(clip)[upright])
            assert np.sign(np.median(only_deep[:, 1]) - clip.factors["x"][deep]) == np.sign(bend[deep])
            highest = [np.argwhere(moved(clip)[t])[0, 0] for t in (deep, upright)]
            assert highest[0] - highest[1] > 8, "the head goes down"


def test_the_wall_stands_still() -> None:
    for clip in render_actions(clips=8):
        corners = clip.frames[:, :4, [0, 1, -2, -1]]
        assert (corners == corners[0]).all()


# --- the published files --------------------------------------------------------------------------------------------


def real(name: str) -> Path:
    if not (REAL / name).is_file():
        pytest.skip(f"needs the published {name}: set ANIMLAB_DATA to the folder that holds it")
    return REAL / name


def by_hand(content: bytes) -> list[np.ndarray]:
    picture = Image.open(io.BytesIO(content)).convert("RGB")
    return [np.asarray(picture.crop((left, 0, left + 64, 64))) for left in range(0, picture.width, 64)]


def test_real_actions(tmp_path: Path) -> None:
    path = real("actions.zip")
    clips = load("actions", path.parent)
    assert (len(clips.clips), len(clips)) == (72, 5290)
    assert dict(zip(*np.unique(clips.clips["class"], return_counts=True))) == dict.fromkeys(CLASSES, 18)
    with zipfile.ZipFile(path) as archive:
        names = sorted(archive.namelist())
        for row, name in zip(clips.clips, names, strict=True):
            frames = clips.frames[row["start"] : row["start"] + row["length"]]
            assert np.array_equal(frames, by_hand(archive.read(name))), name
        (tmp_path / "strip.png").write_bytes(archive.read(names[-1]))
    decoded = imageio_ffmpeg.read_frames(tmp_path / "strip.png")  # a decoder that is not Pillow's
    assert next(decoded)["size"] == (64 * len(frames), 64)
    assert np.array_equal(frames, np.frombuffer(next(decoded), np.uint8).reshape(64, -1, 64, 3).swapaxes(0, 1))

    pairs = clips.clips.reshape(-1, 2)
    assert (pairs["take"][:, 0] == pairs["take"][:, 1]).all() and len(np.unique(pairs["take"])) == 36
    for first, mirrored in pairs:
        one, two = (clips.frames[row["start"] : row["start"] + row["length"]] for row in (first, mirrored))
        assert np.array_equal(one, two[:, :, ::-1])
    train, test = clips.split()
    assert sorted(test.clips["class"]) == sorted(2 * CLASSES) and len(train) + len(test) == 5290


def test_real_shapes(tmp_path: Path) -> None:
    path = real("shapes.zip")
    found = REGISTRY["shapes"].find(path.parent)
    assert found is not None and found.count == 8000
    with zipfile.ZipFile(path) as archive:
        names = sorted(archive.namelist())[::200]  # 40 of them: preparing all takes a minute and 3 GB
        part = {name: archive.read(name) for name in names}
    make_zip(tmp_path / "shapes.zip", part)
    clips = load("shapes", tmp_path)
    assert len(clips.clips) == 40 and (clips.clips["length"] == 32).all()
    assert np.array_equal(clips.frames, np.concatenate([by_hand(content) for content in part.values()]))
    for row in clips.clips:  # the class names say what the pixels do
        first, last = (np.argwhere(clips.frames[row["start"] + t].any(-1)).mean(axis=0) for t in (0, 31))
        way = last - first
        assert (way[0] < -40 and abs(way[1]) < 1) if row["class"] == "up" else (way[1] < -40 and abs(way[0]) < 1)


def test_only_some_clips() -> None:
    clips = made_clips()
    keep = np.arange(len(clips.clips)) % 3 == 1
    some = clips.only(keep)
    assert some.clips["class"].tolist() == clips.clips["class"][keep].tolist() and some.name == clips.name
    for mine, theirs in zip(some.clips, clips.clips[keep]):
        frames = some.frames[mine["start"] : mine["start"] + mine["length"]]
        assert (frames == clips.frames[theirs["start"] : theirs["start"] + theirs["length"]]).all()
    for wrong in (keep[1:], np.flatnonzero(keep), np.zeros_like(keep)):
        with pytest.raises(ValueError, match=r"^only takes a true or false for each of the"):
            clips.only(wrong)
