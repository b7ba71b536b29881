"""Whatever comes in, the answer is right, or a documented exception with one sentence, soon and in little memory.

`make fuzz` tries a hundred times as many inputs as the tests do, and others each time.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import struct
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bad_inputs import animation, encoded, picture, video
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageSequence

from animlab import CheckpointError, LabelSpace, Model, load, networks, save, save_animation
from animlab.checks import real, whole

EXAMPLES = int(os.environ.get("ANIMLAB_FUZZ", "20"))
SECONDS, MEGABYTES = 30, 1500  # for one folder, on a busy machine; beside what the process takes at rest


def budget(share: float = 1.0) -> settings:
    """So many examples; the same ones in every run of the tests, others in every run of `make fuzz`."""
    return settings(
        max_examples=max(1, round(share * EXAMPLES)),
        derandomize="ANIMLAB_FUZZ" not in os.environ,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


def is_one_sentence(error: BaseException | str) -> bool:
    text = str(error)
    return bool(text.strip()) and len(text.splitlines()) == 1 and text.isprintable()


# --- numbers and labels ---------------------------------------------------------------------------------------------

whole_numbers = st.one_of(
    st.integers(-3, 12),
    st.integers(),
    st.integers(-3, 12).map(np.int64),
    st.integers(0, 12).map(np.uint8),
    st.integers(-3, 12).map(float),
    st.integers(-3, 12).map(np.float32),
    st.integers(-3, 12).map(Fraction),
    st.integers(-3, 12).map(torch.tensor),
    st.integers(-3, 12).map(np.array),
)
others = st.one_of(
    st.floats(),
    st.floats(width=32).map(np.float32),
    st.booleans(),
    st.booleans().map(np.bool_),
    st.none(),
    st.text(max_size=300),
    st.binary(max_size=5),
    st.lists(st.integers(), max_size=3),
    st.just(np.arange(3)),
    st.just(object()),
    st.complex_numbers(),
)
values = st.one_of(whole_numbers, others)


@budget(10)
@given(values, st.integers(-5, 5), st.one_of(st.none(), st.integers(0, 20)))
def test_a_whole_number_is_one_whatever_its_type(value: Any, low: int, high: int | None) -> None:
    try:
        number = whole("n", value, low, high)
    except ValueError as error:
        assert is_one_sentence(error) and len(str(error)) < 300
        with pytest.raises((AssertionError, TypeError, ValueError, OverflowError)):  # no int that is in range equals it
            assert not isinstance(value, (bool, np.bool_)) and not isinstance(value, (str, bytes))
            assert int(value) == value and low <= int(value) and (high is None or int(value) <= high)
    else:
        assert type(number) is int and number == value and low <= number and (high is None or number <= high)
        assert not isinstance(value, (bool, np.bool_))


@budget(10)
@given(values, st.integers(-5, 5), st.integers(6, 20))
def test_a_real_number_is_one_whatever_its_type(value: Any, low: int, high: int) -> None:
    try:
        number = real("x", value, low, high)
    except ValueError as error:
        assert is_one_sentence(error) and len(str(error)) < 300
    else:
        assert type(number) is float and number == value and low <= number <= high


@budget(5)
@given(values, values, values)
def test_label_spaces(n_z: Any, n_d: Any, n_c: Any) -> None:
    try:
        space = LabelSpace(n_z, n_d, n_c)
    except ValueError as error:
        assert is_one_sentence(error)
        return
    assert json.loads(json.dumps(vars(space))) == {"n_z": int(n_z), "n_d": int(n_d), "n_c": int(n_c)}
    assert space == LabelSpace(int(n_z), int(n_d), int(n_c)) and len(space.sample(2)) == 2


@budget(5)
@given(values, values, values, values, values, st.one_of(st.none(), values, st.lists(values, min_size=2, max_size=2)))
def test_labels_of_a_space(d: Any, c: Any, frames: Any, stop: Any, seed: Any, moments: Any) -> None:
    space = LabelSpace(n_z=2, n_d=3, n_c=2)
    frames = frames if not isinstance(frames, int) else min(frames, 1000)
    try:
        base = space.still(d, moments, seed)
        swept = space.sweep(base, c, frames, stop=stop)
    except ValueError as error:
        assert is_one_sentence(error)
        return
    assert base.d.argmax() == d and base.d.sum() == 1 and base.c.isfinite().all()
    assert swept.c[-1, c] == pytest.approx(float(stop)) or frames == 1
    assert len(swept) == frames and swept.c.isfinite().all()


# --- animations -----------------------------------------------------------------------------------------------------

clips = st.one_of(
    st.builds(
        lambda shape, seed: np.random.default_rng(seed).integers(0, 256, shape, np.uint8),
        st.tuples(st.integers(1, 4), st.integers(1, 40), st.integers(1, 300), st.sampled_from([1, 3])),
        st.integers(0, 9),
    ),
    st.builds(
        lambda shape, kind: np.zeros(shape, kind),
        st.lists(st.integers(0, 5), max_size=5).map(tuple),
        st.sampled_from(["u1", "f4", "i8", "?", "U1"]),
    ),
    others,
)
speeds = st.one_of(st.floats(0.05, 300), st.integers(-2, 300), values)
names = st.one_of(
    st.sampled_from(["a.gif", "a.GIF", "a.webp", "a.apng", "a.png", "a", "a.gif.txt", "", "b/../a.gif", "new/a.gif"]),
    st.text(st.characters(codec="utf-8", exclude_characters="/\0"), max_size=40).map(lambda name: name + ".gif"),
    st.just("n" * 300 + ".gif"),
)


@budget(3)
@given(clips, names, speeds)
def test_animations(clip: Any, name: str, fps: Any) -> None:
    check_animation(clip, name, fps)


@budget(0.5)
@given(clips, st.floats(0.05, 300))
def test_films(clip: Any, fps: float) -> None:
    check_animation(clip, "a.mp4", fps)


def check_animation(clip: Any, name: str, fps: Any) -> None:
    """A file that others read with as many frames, or one sentence and nothing new."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        try:
            save_animation(clip, path, fps)
        except (ValueError, OSError) as error:
            assert is_one_sentence(error)
            assert not [each for each in Path(folder).rglob("*") if each.is_file()]
            return
        assert not list(Path(folder).rglob(".*.part"))
        if path.suffix.lower() == ".mp4":
            return  # what was written has been played by ffmpeg already
        with Image.open(os.path.realpath(path)) as image:  # `b/../a.gif` needs no folder `b`
            frames = [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(image)]
        if path.suffix.lower() == ".png":
            assert len(frames) == 1 and frames[0].shape[1] == len(clip) * (clip.shape[2] + 2) - 2
        else:
            assert 1 <= len(frames) <= len(clip) and min(frames[0].shape[:2]) >= 1
            if path.suffix.lower() != ".gif":
                times = -(-256 // clip.shape[2])
                assert (frames[0][: times * clip.shape[1] : times, : times * clip.shape[2] : times] == clip[0]).all()


# --- folders and archives -------------------------------------------------------------------------------------------

READER = f"""
import json, os, resource, sys, time, warnings
from animlab.datasets import load_dataset
warnings.simplefilter("ignore")
pages = int(open("/proc/self/statm").read().split()[0])
most = pages * resource.getpagesize() + {MEGABYTES << 20}
resource.setrlimit(resource.RLIMIT_AS, (most, most))
for line in sys.stdin:
    began = time.monotonic()
    try:
        name, path = json.loads(line)
        clips = load_dataset(name, path, progress=False)
        said = ["", ""]
        assert clips.frames.dtype == "uint8" and clips.frames.shape[1:] in ((64, 64, 1), (64, 64, 3)) and len(clips) > 0
        assert clips.clips["length"].sum() == len(clips)
        assert all(reason and reason.isprintable() for name, reason in clips.skipped), clips.skipped
    except BaseException as error:
        said = [" ".join(each.__name__ for each in type(error).__mro__), str(error)]
    print(json.dumps([*said, time.monotonic() - began]), flush=True)
"""


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., tuple[str, str, float]]]:
    """Loads a folder or a file in a process of little memory: kinds of the exception, what it says, seconds."""
    if sys.platform != "linux":
        pytest.skip("the memory of a process is limited as Linux does it")
    cache = tmp_path_factory.mktemp("cache")
    environment = os.environ | {"ANIMLAB_CACHE": str(cache), "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, "-c", READER]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdin is not None and process.stdout is not None

        def ask(path: Path, name: str = "folder") -> tuple[str, str, float]:
            process.stdin.write(json.dumps([name, str(path)]) + "\n")
            process.stdin.flush()
            answer = process.stdout.readline()
            assert answer, "the reader has died"
            return tuple(json.loads(answer))

        yield ask
        process.stdin.close()


def check_folder(read: Callable[..., tuple[str, str, float]], path: Path, name: str = "folder") -> None:
    kinds, said, seconds = read(path, name)
    assert seconds < SECONDS
    if kinds:
        assert kinds.split()[0] != "AssertionError" and {"ValueError", "OSError", "MemoryError"} & set(kinds.split())
        assert is_one_sentence(said), said


WHOLE = {
    "a.png": encoded(picture()),
    "b.gif": animation("GIF"),
    "c.png": animation("PNG"),
    "d.webp": animation("WEBP"),
    "e.tiff": animation("TIFF"),
    "f.jpg": encoded(picture(), "JPEG"),
    "g.bmp": encoded(picture(), "BMP"),
    "h.pgm": encoded(Image.new("I;16", (40, 40)), "PPM"),
    "i.png": encoded(picture().quantize(16), transparency=bytes(range(16))),
}
STRANGE = [b"\0", b"\xff", 4 * b"\xff", b"\x7f\xff\xff\xff", bytes(4), b"\x80\0\0\0", b"IDAT", b"fcTL", b"\x2c", b";"]


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """The same bytes with some overwritten, most of them where headers are, put in, or cut off."""
    content = bytearray(whole)
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.one_of(st.integers(0, min(len(content), 64)), st.integers(0, len(content))))
        new = draw(st.one_of(st.sampled_from(STRANGE), st.binary(min_size=1, max_size=4)))
        content[at : at + len(new) * draw(st.booleans())] = new
    if draw(st.integers(0, 4)) == 0:
        del content[draw(st.integers(0, len(content))) :]
    return bytes(content)


@budget(3)
@given(st.data())
def test_damaged_pictures(read: Callable[..., tuple[str, str, float]], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name in data.draw(st.sets(st.sampled_from(sorted(WHOLE)), min_size=1, max_size=3)):
            Path(folder, name).write_bytes(data.draw(damaged(WHOLE[name])))
        check_folder(read, Path(folder))


members = st.one_of(
    st.sampled_from(["a.png", "cats/1.png", "cats/2.png", "../a.png", "/a.png", "C:\\a.png", "a/" * 99 + "a.png"]),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=30).map("{}.png".format),
    st.builds(lambda char, count: char * count + "/a.gif", st.sampled_from("n1/é."), st.integers(1, 30_000)),
)


@budget(3)
@given(st.data())
def test_damaged_archives(read: Callable[..., tuple[str, str, float]], data: st.DataObject) -> None:
    buffer = io.BytesIO()
    methods = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
    with zipfile.ZipFile(buffer, "w", data.draw(st.sampled_from(methods))) as archive:
        for name in data.draw(st.lists(members, max_size=5, unique=True)):
            archive.writestr(name, data.draw(damaged(WHOLE[data.draw(st.sampled_from(["a.png", "b.gif"]))])))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x.zip")
        path.write_bytes(data.draw(damaged(buffer.getvalue())))
        check_folder(read, path)


@budget(0.5)
@given(st.data())
def test_damaged_videos(
    read: Callable[..., tuple[str, str, float]], films: list[tuple[str, bytes]], data: st.DataObject
) -> None:
    name, whole_film = data.draw(st.sampled_from(films))
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, name).write_bytes(data.draw(damaged(whole_film)))
        check_folder(read, Path(folder))


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, bytes]]:
    folder = tmp_path_factory.mktemp("films")
    return [
        ("a.mp4", video(folder / "a.mp4", 4)),
        ("a.avi", video(folder / "a.avi", 4, codec="mpeg4")),
        ("a.mkv", video(folder / "a.mkv", 4)),
    ]


def zipped_strips(names: list[str]) -> bytes:
    strip, buffer = io.BytesIO(), io.BytesIO()
    picture(64 * 4, 64).save(strip, "PNG")
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, strip.getvalue())
    return buffer.getvalue()


def saved(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


# The files of each published set, as small as they can be.
PUBLISHED = {
    "actions": {"actions.zip": zipped_strips(["actions/0/00000002.png", "actions/1/00000003.png"])},
    "shapes": {"shapes.zip": zipped_strips(["shapes/0/00000000.png", "shapes/1/00000004.png"])},
    "celeba": {"img_align_celeba.zip": zipped_strips(["img_align_celeba/000001.png", "img_align_celeba/000002.png"])},
    "moving-mnist": {
        "t10k-images-idx3-ubyte.gz": gzip.compress(struct.pack(">4i", 2051, 20, 28, 28) + bytes(range(245)) * 64),
        "t10k-labels-idx1-ubyte.gz": gzip.compress(struct.pack(">2i", 2049, 20) + bytes(range(10)) * 2),
    },
    "moving-mnist ": {"mnist_test_seq.npy": saved(np.full((20, 2, 64, 64), 9, np.uint8))},
}


@budget(2)
@given(st.data())
def test_damaged_data_sets(read: Callable[..., tuple[str, str, float]], data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(PUBLISHED)))
    with tempfile.TemporaryDirectory() as folder:
        for file, content in PUBLISHED[name].items():
            Path(folder, file).write_bytes(data.draw(damaged(content)))
        check_folder(read, Path(folder), name.strip())


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, dict[str, torch.Tensor]]:
    path = tmp_path_factory.mktemp("models") / "a.safetensors"
    model = Model(*networks.build("paper", LabelSpace(1, 2, 1), width=0.02), {"seen": {"c0": "nods"}})
    save(model, path)
    return path.read_bytes(), model.generator.state_dict()


@budget(10)
@given(data=st.data())
def test_damaged_checkpoints(checkpoint: tuple[bytes, dict[str, torch.Tensor]], data: st.DataObject) -> None:
    """Damage is found, or has not touched the weights: what a card says in words may read otherwise."""
    whole_file, weights = checkpoint
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.safetensors")
        path.write_bytes(data.draw(damaged(whole_file)))
        try:
            found = load(path).generator.state_dict()
        except (CheckpointError, OSError, MemoryError) as error:
            assert is_one_sentence(error)
            return
    assert all(torch.equal(found[name], value) for name, value in weights.items()) and found.keys() == weights.keys()


@budget(2)
@given(st.one_of(st.text(max_size=20), st.sampled_from(["~", "\0", "~nobody/x", "a\nb", "x" * 5000, "/dev/zero", ""])))
def test_any_text_as_the_name_of_a_folder(read: Callable[..., tuple[str, str, float]], name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        check_folder(read, Path(name) if name in ("~nobody/x", "/dev/zero") else Path(folder, "x", name.lstrip("/")))
