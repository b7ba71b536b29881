"""CelebA: crop and scale against PIL by hand and torchvision, damaged files, and what the painted portraits show."""

from __future__ import annotations

import io
import os
import tracemalloc
import zipfile
import zlib
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.linear_model import Ridge
from torchvision import transforms
from torchvision.transforms.functional import InterpolationMode, pil_to_tensor

import animlab
from animlab.datasets import REGISTRY, Clips, load_dataset
from animlab.datasets.celeba import crop_face
from animlab.datasets.heads import BALD, STYLES, Look
from animlab.datasets.limits import MAX_PORTRAIT_BYTES
from animlab.datasets.portraits import paint_portraits
from animlab.datasets.synthetic_celeba import draw_looks, render_celeba

REAL = Path(os.environ.get("ANIMLAB_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
ARCHIVE = "img_align_celeba.zip"
BICUBIC = InterpolationMode.BICUBIC


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has its own cache, and no data but what it makes."""
    monkeypatch.setenv("ANIMLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("ANIMLAB_DATA", str(tmp_path / "nothing"))


def load(root: Path | None) -> Clips:
    return load_dataset("celeba", root, progress=False)


def picture(width: int = 178, height: int = 218, seed: int = 0, kind: str = "JPEG", mode: str = "RGB") -> bytes:
    """A picture file of soft random colours, as photographs have."""
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 8, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).convert(mode).save(file, kind)
    return file.getvalue()


def make_zip(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


# --- crop and scale -------------------------------------------------------------------------------------------------


def by_torchvision(content: bytes) -> np.ndarray:
    """The usual pipeline on a PIL picture: centre crop to the width, then Resize, which antialiases."""
    opened = Image.open(io.BytesIO(content)).convert("RGB")
    square = transforms.CenterCrop(min(opened.size))(opened)
    return np.asarray(transforms.Resize(64, BICUBIC)(square))


def check_crop(content: bytes, box: tuple[int, int, int, int]) -> None:
    found = crop_face(content, "x")
    opened = Image.open(io.BytesIO(content)).convert("RGB")
    assert np.array_equal(found, opened.crop(box).resize((64, 64), Image.Resampling.BICUBIC)), "PIL by hand"
    assert np.array_equal(found, by_torchvision(content)), "torchvision on PIL pictures"
    square = opened.crop(box)
    on_tensors = transforms.Resize(64, BICUBIC, antialias=True)(pil_to_tensor(square)).permute(1, 2, 0).numpy()
    apart = np.abs(found.astype(int) - on_tensors)
    # PIL scales rows, then columns, and clips to 0 to 255 in between; torchvision clips overshoots at the end only.
    assert (apart > 1).mean() < 0.005 and apart.max() < 10, "torchvision on tensors"


@pytest.mark.parametrize(
    ("width", "height", "box"),
    [
        (178, 218, (0, 20, 178, 198)),  # as published
        (89, 109, (0, 10, 89, 99)),  # at half size
        (128, 128, (0, 0, 128, 128)),
        (200, 100, (50, 0, 150, 100)),
        (64, 64, (0, 0, 64, 64)),
    ],
)
def test_the_middle_square_is_cut_out_and_scaled(width: int, height: int, box: tuple[int, int, int, int]) -> None:
    check_crop(picture(width, height), box)


def test_scaling_down_is_antialiased() -> None:
    """A board of single pixels becomes even grey; picking pixels would leave stripes."""
    board = (np.indices((178, 178)).sum(axis=0) % 2 * 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(board).save(file, "PNG")
    found = crop_face(file.getvalue(), "x").astype(int)
    assert np.abs(found - 127.5).mean() < 12


@pytest.mark.parametrize(("mode", "kind"), [("L", "JPEG"), ("CMYK", "JPEG"), ("RGBA", "PNG"), ("P", "PNG")])
def test_any_colour_mode_becomes_rgb(mode: str, kind: str) -> None:
    content = picture(kind=kind, mode=mode)
    assert np.array_equal(crop_face(content, "x"), by_torchvision(content))


# --- sources --------------------------------------------------------------------------------------------------------


@pytest.fixture
def members() -> dict[str, bytes]:
    return {f"img_align_celeba/{number:06d}.jpg": picture(seed=number) for number in (3, 1, 12, 2)}


def test_every_layout_gives_the_same_frames(tmp_path: Path, members: dict[str, bytes]) -> None:
    expected = np.stack([by_torchvision(members[name]) for name in sorted(members)])
    make_zip(tmp_path / "a" / ARCHIVE, members | {"img_align_celeba/notes.txt": b"no picture", "__MACOSX/1.jpg": b""})
    make_zip(tmp_path / "b/celeba" / ARCHIVE, members)
    for root in ("c", "d/celeba", "e/img_align_celeba"):
        for name, content in members.items():
            (tmp_path / root / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / root / name).write_bytes(content)
    (tmp_path / "c/img_align_celeba/Thumbs.db").write_bytes(b"no picture")
    for root in "abcde":
        clips = load(tmp_path / root)
        assert np.array_equal(clips.frames, expected), root
        assert (clips.clips["length"] == 1).all() and clips.clips["take"].tolist() == [0, 1, 2, 3]
        assert set(clips.clips["class"]) == {""} and clips.factors == {}


def test_pictures_are_read_one_at_a_time(tmp_path: Path) -> None:
    make_zip(tmp_path / ARCHIVE, {f"img_align_celeba/{n:06d}.jpg": picture(seed=n % 3) for n in range(300)})
    tracemalloc.start()
    try:
        clips = load(tmp_path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(clips) == 300 and peak < 1.5e6, f"{peak / 1e6:.1f} MB for frames of {clips.frames.nbytes / 1e6:.1f} MB"


def test_single_pictures_are_no_clips_to_play(tmp_path: Path, members: dict[str, bytes]) -> None:
    make_zip(tmp_path / ARCHIVE, members)
    clips = load(tmp_path)
    with pytest.raises(ValueError, match=r"^No clip is longer than 8 frames, so no two frames are 8 apart\.$"):
        animlab.metrics.real_influence(clips.frames, clips.clips)
    assert animlab.plots.show_frames(clips.frames, "four faces").data
    train, test = clips.split(held_out=0.25)
    assert (len(train), len(test)) == (3, 1)
    assert not (train.frames == test.frames[0]).all(axis=(1, 2, 3)).any()


GOOD = picture()
PNG = picture(kind="PNG")


def huge_header(width: int, height: int) -> bytes:
    """A PNG file that promises this many pixels."""
    header = b"IHDR" + width.to_bytes(4, "big") + height.to_bytes(4, "big") + PNG[24:29]
    return PNG[:12] + header + zlib.crc32(header).to_bytes(4, "big") + PNG[33:]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", r"is not a readable portrait: empty \(0 bytes\); get it again, or remove it\.$"),
        (b"no picture at all", "is not a readable portrait: no picture, or damaged at its beginning; get"),
        (b"GIF89a" + bytes(100), "is not a readable portrait: no picture, or damaged at its beginning; get"),
        (GOOD[: len(GOOD) // 2], "is not a readable portrait: damaged or cut short; get"),
        (PNG[:300] + bytes(200) + PNG[500:], "is not a readable portrait: damaged or cut short; get"),
        (picture(1, 1), "is not a readable portrait: 1x1 pixels, smaller than 8x8; get"),
        (huge_header(10_000, 10_000), "is not a readable portrait: more than 80 million pixels; get"),
        (huge_header(20_000, 20_000), "is not a readable portrait: more than 80 million pixels; get"),
        (bytes(MAX_PORTRAIT_BYTES + 1), "(unpacks to more than|has more than) 16 MB"),
    ],
)
def test_a_damaged_picture_is_named(tmp_path: Path, content: bytes, says: str) -> None:
    names = ["img_align_celeba/000001.jpg", "img_align_celeba/000002.jpg"]
    make_zip(tmp_path / "zipped" / ARCHIVE, dict(zip(names, (GOOD, content))))
    (tmp_path / "folder/img_align_celeba").mkdir(parents=True)
    for name, part in zip(names, (GOOD, content)):
        (tmp_path / "folder" / name).write_bytes(part)
    for root, where in (("zipped", f"{ARCHIVE}: {names[1]}"), ("folder", str(tmp_path / "folder" / names[1]))):
        with pytest.raises(ValueError, match=rf"^{where} {says}") as caught:
            load(tmp_path / root)
        assert "\n" not in str(caught.value)
    assert not list((tmp_path / "cache").glob("*celeba*")), "a failed preparation leaves nothing behind"


def test_a_damaged_archive_is_named(tmp_path: Path, members: dict[str, bytes]) -> None:
    path = tmp_path / ARCHIVE
    make_zip(path, members)
    whole = path.read_bytes()
    for content in (b"", whole[:3000], b"<html>not found</html>"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=rf"{ARCHIVE} is not a complete zip archive \({len(content)} bytes\): get"):
            load(tmp_path)
    path.write_bytes(whole[:500] + bytes([whole[500] ^ 255]) + whole[501:])
    with pytest.raises(
        ValueError, match=rf"^{ARCHIVE}: img_align_celeba/000003.jpg is damaged inside the archive: get"
    ):
        load(tmp_path)
    make_zip(path, {"readme.txt": b"", "img_align_celeba/": b"", "../000001.jpg": GOOD})
    with pytest.raises(ValueError, match=rf"{ARCHIVE} holds no pictures called img_align_celeba/000001.jpg"):
        load(tmp_path)


def test_real_celeba(tmp_path: Path) -> None:
    if not (REAL / ARCHIVE).is_file():
        pytest.skip(f"needs {ARCHIVE}: set ANIMLAB_DATA to the folder that holds it")
    source = REGISTRY["celeba"].find(REAL)
    with zipfile.ZipFile(REAL / ARCHIVE) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))
        contents = [archive.read(name) for name in names[:100]]
    assert source is not None and source.count == len(names)
    for content, clip in zip(contents, islice(source.read(), 100)):
        width, height = Image.open(io.BytesIO(content)).size
        top = (height - width) // 2
        check_crop(content, (0, top, width, top + width))
        assert np.array_equal(clip.frames[0], crop_face(content, "x"))


# --- painted portraits ----------------------------------------------------------------------------------------------


def paint(look: Look, background: float = 128) -> np.ndarray:
    """Portraits on grey, (N, 64, 64, 3)."""
    frames = np.full((look.yaw.shape[0], 64, 64, 3), background, np.float32)
    paint_portraits(frames, look)
    return frames


def looks(count: int = 40, seed: int = 0, **fixed: float) -> Look:
    """Random looks, some values set to the same for all."""
    look, _ = draw_looks(np.random.default_rng(seed), count)
    return replace(look, **{name: np.full_like(look.yaw, value) for name, value in fixed.items()})


def only(look: Look, index: int) -> Look:
    return Look(*(getattr(look, name)[index : index + 1] for name in Look.__dataclass_fields__))


def test_painting_follows_its_seed_and_not_the_number_of_portraits() -> None:
    one, more, other = (
        np.concatenate([c.frames for c in render_celeba(n, seed)]) for n, seed in ((5, 0), (30, 0), (5, 1))
    )
    assert np.array_equal(one, more[:5]) and not np.array_equal(one, other)
    assert len(np.unique(more.reshape(30, -1), axis=0)) == 30


def test_many_are_painted_as_one_by_one() -> None:
    look = looks(12)
    together = paint(look)
    for index in range(12):
        assert np.allclose(together[index], paint(only(look, index))[0], atol=1e-2)


def test_a_mirrored_look_is_a_mirrored_picture() -> None:
    look = looks(12, style=BALD, eye_x=31.5)
    turned = replace(look, **{name: -getattr(look, name) for name in ("yaw", "tilt", "gaze", "light_x", "parting")})
    assert np.abs(paint(look)[:, :, ::-1] - paint(turned)).max() < 0.5


def test_what_changes_where() -> None:
    """Each part of a face moves where that part is, and nothing else does."""
    straight = {"yaw": 0, "pitch": 0, "tilt": 0, "glasses": 0, "beard": 0, "eye_x": 31.5, "eye_y": 33, "scale": 22}
    rows = {
        "mouth_open": (0.0, 1.0, slice(42, 54)),
        "smile": (-0.3, 1.0, slice(34, 54)),  # cheeks and eyes smile, too
        "gaze": (-1.0, 1.0, slice(28, 38)),
        "eyes_open": (0.6, 1.0, slice(26, 38)),
        "brow": (-1.0, 1.0, slice(22, 33)),
    }
    for name, (low, high, where) in rows.items():
        changed = np.abs(paint(looks(**straight, **{name: low})) - paint(looks(**straight, **{name: high}))).max(axis=3)
        inside = changed[:, where].mean(axis=(1, 2))
        changed[:, where] = 0
        assert (inside > 0.2).all(), f"{name} is seen in every face"
        assert changed[:, :24].max() < 3 if name == "smile" else changed.max() < 3, f"{name} is seen nowhere else"


def test_the_eyes_are_where_their_factor_says() -> None:
    """As in the aligned set: what opening the eyes changes is around eye_x, eye_y, whatever way the head is turned."""
    y, x = np.mgrid[:64, :64]
    for yaw in (-0.4, 0.0, 0.4):
        fixed = {"yaw": yaw, "tilt": 0, "pitch": 0, "style": BALD, "glasses": 0, "light_x": 0, "gaze": 0, "smile": 0}
        shut, wide = looks(30, 1, eyes_open=0.7, **fixed), looks(30, 1, eyes_open=1.0, **fixed)
        changed = np.abs(paint(wide) - paint(shut)).sum(axis=3)
        total = changed.sum(axis=(1, 2))
        off_x = ((changed * x).sum(axis=(1, 2)) / total - wide.eye_x.ravel()) / wide.scale.ravel()
        off_y = ((changed * y).sum(axis=(1, 2)) / total - wide.eye_y.ravel()) / wide.scale.ravel()
        # In heads: a pixel is 0.04, an eye 0.3 aside; of a turned face, the nearer eye is larger.
        assert np.abs(off_x).max() < (0.15 if yaw else 0.04)
        assert np.abs(off_y).max() < 0.1, "lids open upwards"


def test_heads_turn_the_way_their_factors_say() -> None:
    """The eyes stay where they are, so a head that turns to the right moves to the left behind them."""
    y, x = np.mgrid[:64, :64]
    still = {"yaw": 0, "pitch": 0, "tilt": 0, "style": BALD, "beard": 0}

    def middle(above: int, **turned: float) -> tuple[np.ndarray, np.ndarray]:
        look = looks(20, 2, **(still | turned))
        mask = np.abs(paint(look, 0) - paint(look, 255)).max(axis=3) < 128  # all but the background
        mask[:, above:] = False
        total = mask.sum(axis=(1, 2))
        return (mask * x).sum(axis=(1, 2)) / total, (mask * y).sum(axis=(1, 2)) / total

    crown, face = 24, 44  # rows: shoulders stay out of it
    assert (middle(face, yaw=0.4)[0] < middle(face)[0] - 2).all(), "yaw: to the right"
    assert (middle(crown, tilt=0.3)[0] > middle(crown)[0] + 1).all(), "tilt: clockwise"
    assert (middle(face, pitch=0.2)[1] > middle(face)[1] + 1).all(), "pitch: up"


def test_light_comes_from_where_its_factor_says() -> None:
    fixed = {"yaw": 0, "tilt": 0, "style": BALD, "beard": 0, "ambient": 0.5, "light_y": -0.2, "light_z": 0.77}
    left, right = (paint(looks(20, light_x=x, **fixed)).mean(axis=3) for x in (-0.6, 0.6))
    assert (left[:, 25:45, 16:28].mean(axis=(1, 2)) > right[:, 25:45, 16:28].mean(axis=(1, 2)) + 10).all()
    assert (right[:, 25:45, 36:48].mean(axis=(1, 2)) > left[:, 25:45, 36:48].mean(axis=(1, 2)) + 10).all()


def test_factors_can_be_read_off_the_pictures() -> None:
    """A linear model on small pictures predicts, for portraits it has not seen, what the factors say."""
    clips = list(render_celeba(1000, seed=7))
    frames = np.concatenate([clip.frames for clip in clips]).astype(np.float32)
    small = frames.reshape(1000, 16, 4, 16, 4, 3).mean(axis=(2, 4)).reshape(1000, -1)
    for name, least in {"yaw": 0.75, "tilt": 0.75, "skin": 0.75, "light_x": 0.7}.items():
        values = np.concatenate([clip.factors[name] for clip in clips])
        model = Ridge(1e5).fit(small[:800], values[:800])
        assert model.score(small[800:], values[800:]) > least, name


def test_the_stand_in_loads_like_the_real_set() -> None:
    source = REGISTRY["celeba"].synthetic
    assert source is not None and source().count == 4000
    clips = list(islice(source().read(), 100))
    assert all(clip.frames.shape == (1, 64, 64, 3) and clip.frames.dtype == np.uint8 for clip in clips)
    assert {name: values.shape for name, values in clips[0].factors.items()} == dict.fromkeys(clips[0].factors, (1,))
    assert all(np.isfinite(clip.factors[name]).all() for clip in clips for name in clip.factors)
    look, _ = draw_looks(np.random.default_rng(0), 1000)
    assert np.allclose(look.light_x**2 + look.light_y**2 + look.light_z**2, 1, atol=1e-5) and look.light_z.min() > 0.2
    assert {int(clip.factors["style"][0]) for clip in clips} == set(range(len(STYLES)))
