"""Every input in bad_inputs.py gets the outcome that stands beside it, and nothing hangs."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from bad_inputs import CASES, Case, encoded, outcome, picture, zipped
from PIL import Image

from animlab.datasets import Clips, load_dataset
from animlab.datasets.digits import load_digits
from animlab.datasets.ict_facekit import HASHES


def hangs(*_: object) -> None:
    """What blocks for ever would block the whole run."""
    pytest.fail("it hangs")


@pytest.fixture
def watch() -> Iterator[None]:
    signal.signal(signal.SIGALRM, hangs)
    signal.alarm(60)
    yield
    signal.alarm(0)


@pytest.mark.parametrize("one", CASES, ids=[case.name for case in CASES])
def test_outcome(one: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, watch: None) -> None:
    got = outcome(one, tmp_path, monkeypatch)
    assert re.match(one.says, got), got
    assert ("Left out" in got) == ("Left out" in one.says), got  # nothing is left out that need not be


# --- what is not a regular file, where a file of each set should be -------------------------------------------------

PLACES = {
    "actions": ("actions.zip", "actions/0/1.jpg", "weizmann/daria_bend.avi"),
    "shapes": ("shapes.zip", "shapes/0/1.png"),
    "celeba": ("img_align_celeba.zip", "img_align_celeba/000001.jpg"),
    "moving-mnist": ("mnist_test_seq.npy", "t10k-images-idx3-ubyte", "MNIST/raw/train-images-idx3-ubyte.gz"),
    "faces3d": ("ict_facekit.zip", "FaceXModel/generic_neutral_mesh.obj", "01_MorphableModel.mat"),
}
WRONG: dict[str, Callable[[Path], object]] = {
    "not a regular file, but a pipe or a device": os.mkfifo,
    "a folder, not a file": Path.mkdir,
    "a link that leads nowhere": lambda path: path.symlink_to("nothing"),
}
DEVICE: Callable[[Path], object] = lambda path: path.symlink_to("/dev/zero")  # noqa: E731


@pytest.mark.parametrize("reason, make", [*WRONG.items(), ("not a regular file, but a pipe or a device", DEVICE)])
@pytest.mark.parametrize("name, place", [(name, place) for name, places in PLACES.items() for place in places])
def test_what_is_no_ordinary_file_is_refused_in_every_set(
    name: str, place: str, reason: str, make: Callable[[Path], object], tmp_path: Path, watch: None
) -> None:
    path = tmp_path / "in" / place
    path.parent.mkdir(parents=True)
    make(path)
    with pytest.raises(ValueError) as error:
        load_dataset(name, tmp_path / "in", progress=False)
    assert str(error.value) == f"{path} cannot be opened ({reason}): put the file itself there, or remove it."


def test_single_digits_and_one_shape_of_a_face_model_are_looked_at_too(tmp_path: Path, watch: None) -> None:
    os.mkfifo(tmp_path / "train-images-idx3-ubyte")
    with pytest.raises(ValueError, match=r"ubyte cannot be opened \(not a regular file"):
        load_digits(tmp_path)
    (tmp_path / "FaceXModel").mkdir()
    for shape in HASHES:
        (tmp_path / "FaceXModel" / shape).touch()
    (tmp_path / "FaceXModel/jawOpen.obj").unlink()
    os.mkfifo(tmp_path / "FaceXModel/jawOpen.obj")
    with pytest.raises(ValueError, match=r"jawOpen.obj cannot be opened \(not a regular file"):
        load_dataset("faces3d", tmp_path, progress=False)


# --- what would take too much ---------------------------------------------------------------------------------------

LOAD = """
import resource, sys, warnings
from pathlib import Path
from animlab.datasets import load_dataset
warnings.simplefilter("ignore")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    clips = load_dataset(sys.argv[1], sys.argv[2], progress=False)
    said = f"{len(clips)} frames {clips.skipped}"
except ValueError as error:
    said = str(error)
print(said, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10, sep="\\n")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems count memory in other units")
@pytest.mark.parametrize(
    "name, place, make, says, most",
    [
        ("folder", "deep.png", lambda: encoded(Image.new("I;16", (8900, 8900)), compress_level=1), "1 frames ()", 400),
        ("folder", "flat.png", lambda: encoded(Image.new("RGB", (8900, 8900)), compress_level=1), "1 frames ()", 400),
        ("actions", "actions/0/1.png", lambda: encoded(Image.new("L", (64 * 39_000, 64))),
         "holds 39,000 frames, more than 3,000: cut it into several strips.", 40),
    ],
)  # fmt: skip
def test_memory_stays_small(
    name: str, place: str, make: Callable[[], bytes], says: str, most: int, tmp_path: Path
) -> None:
    (tmp_path / "in" / place).parent.mkdir(parents=True)
    (tmp_path / "in" / place).write_bytes(make())
    environment = os.environ | {"ANIMLAB_CACHE": str(tmp_path / "cache")}
    command = [sys.executable, "-c", LOAD, name, str(tmp_path / "in")]
    output = subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=120).stdout
    said, grown = output.splitlines()
    assert said.endswith(says) and int(grown) < most, output


def test_every_row_of_the_table_is_narrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Classes with names as long as a file system takes them stay apart, and are as wide as the limit at most."""
    monkeypatch.setenv("ANIMLAB_CACHE", str(tmp_path / "cache"))
    names = [f"{'long' * 50}{end}/1.png" for end in "ab"] + ["\N{CAT FACE}" * 60 + "/1.png", "short/1.png"]
    clips = load_dataset("folder", zipped(tmp_path, dict.fromkeys(names, encoded(picture()))), progress=False)
    classes = set(clips.clips["class"])
    assert len(classes) == 4 and max(map(len, classes)) == 64 and clips.clips.dtype["class"].itemsize == 4 * 64
    assert {"short", "\N{CAT FACE}" * 60} <= classes
    assert sum(each.startswith("longlong") and "…" in each for each in classes) == 2


def test_frames_alone_are_the_clip_that_they_are_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANIMLAB_CACHE", str(tmp_path / "cache"))
    first, *others = pictures = [picture(64, 64, seed) for seed in range(5)]
    first.save(tmp_path / "clip.png", save_all=True, append_images=others)
    loaded = load_dataset("folder", tmp_path, progress=False)
    clips = Clips.single(np.stack([np.asarray(each) for each in pictures]))
    assert np.array_equal(clips.frames, loaded.frames)
    assert clips.clips.tolist() == loaded.clips.tolist() and clips.clips.dtype == loaded.clips.dtype


@pytest.mark.parametrize("frames", [np.zeros((5, 32, 32, 3), np.uint8), np.zeros((5, 64, 64, 3)), np.zeros(0), None])
def test_what_is_no_clip_says_so(frames: object) -> None:
    with pytest.raises(ValueError, match=r"^frames must be uint8 frames \(N, 64, 64, 1 or 3\), got .*\.$"):
        Clips.single(frames)  # type: ignore[arg-type]
