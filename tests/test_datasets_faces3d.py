"""faces3d: models read from every published layout, damaged ones named, and clips that show what their factors say."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import threading
import zipfile
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io

from animlab.datasets import REGISTRY, Clips, face_motion, faces3d, fetch, ict_facekit, limits, load_dataset
from animlab.datasets.basel import COMPONENTS, EXPRESSION_STEP, read_basel
from animlab.datasets.face_motion import motions, render_faces
from animlab.datasets.ict_facekit import FOLDER, HASHES, LANDMARKS, NEUTRAL, read_ict
from animlab.datasets.morphable import MorphableModel, outward
from animlab.datasets.source import Clip, Source
from animlab.datasets.synthetic_faces3d import faces3d_stand_in, parametric_head, render_parametric_heads
from animlab.datasets.wavefront import read_obj

PROJECT = Path(__file__).resolve().parents[1]
REAL = Path(os.environ.get("ANIMLAB_DATA", PROJECT.parent / "shared" / "data"))
CLASSES = (
    "turn", "nod", "tilt", "light", "smile", "open mouth", "raise brows", "blink", "pucker", "frown", "mixed",
)  # fmt: skip


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has its own cache and home, and no data but what it makes."""
    monkeypatch.setenv("ANIMLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("ANIMLAB_DATA", str(tmp_path / "nothing"))
    monkeypatch.setenv("ANIMLAB_OFFLINE", "1")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr("animlab.datasets.data_folder", lambda: tmp_path / "nothing")


def load(root: Path) -> Clips:
    return load_dataset("faces3d", root, progress=False)


@pytest.fixture(scope="module")
def head() -> MorphableModel:
    return parametric_head()


@pytest.fixture(scope="module")
def archive() -> Path:
    if not (REAL / "ict_facekit.zip").is_file():
        pytest.skip("needs ict_facekit.zip: set ANIMLAB_DATA to the folder that holds it")
    return REAL / "ict_facekit.zip"


@pytest.fixture(scope="module")
def ict(archive: Path) -> MorphableModel:
    return read_ict(archive.parent)


# --- Wavefront files ------------------------------------------------------------------------------------------------

PYRAMID = b"""# a comment
mtllib x.mtl
o pyramid
v 0 0 0
v 1 0 0
v 1 1 0 1.0 0.5 0.5
v 0 1 0
v 0.5 0.5 1e0
vt 0 0
vn 0 0 1
usemtl skin
s off
f 4/1 3/1 2/1 1/1
f 1//1 2//1 5//1
f 2/1/1 3/1/1 5/1/1
f -3 -2 -1
f 4 1 5
"""


def test_faces_of_every_spelling_become_triangles() -> None:
    expected = [[3, 2, 1], [3, 1, 0], [0, 1, 4], [1, 2, 4], [2, 3, 4], [3, 0, 4]]
    for text in (PYRAMID, PYRAMID.replace(b"\n", b"\r\n"), PYRAMID.rstrip() + b"  "):
        vertices, triangles = read_obj(text, "x")
        assert vertices.tolist() == [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0.5, 0.5, 1]]
        assert triangles.tolist() == expected and vertices.dtype == np.float32


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", r"not a complete .obj file .0 vertices, 0 faces"),
        (b"\x89PNG\r\n\x1a\n\0\0", r"not a complete .obj file .0 vertices"),
        (PYRAMID.replace(b"1e0", b"one"), r"not a readable .obj file .could not convert string to float"),
        (PYRAMID.replace(b"v 0 1 0\n", b"v 0 1\n"), r"not a readable .obj file .*inhomogeneous"),
        (PYRAMID.replace(b"1e0", b"nan"), r"not a complete .obj file"),
        (PYRAMID.replace(b"f 4 1 5", b"f 4 1 6"), r"not a complete .obj file"),
        (PYRAMID.replace(b"f 4 1 5", b"f 4 0 5"), r"not a complete .obj file"),
        (PYRAMID.replace(b"f 4 1 5", b"f 4 1"), r"not a complete .obj file"),
        (PYRAMID.replace(b"f 4 1 5", b"f 4 1 x"), r"not a readable .obj file .invalid literal"),
        (PYRAMID[:88], r"not a readable .obj file .*inhomogeneous"),
        (PYRAMID[: PYRAMID.index(b"f ")], r"not a complete .obj file .5 vertices, 0 faces"),
    ],
)
def test_a_damaged_obj_is_named(content: bytes, says: str) -> None:
    with pytest.raises(ValueError, match=rf"^face.obj is {says}.*: get it again\.$") as caught:
        read_obj(content, "face.obj")
    assert "\n" not in str(caught.value)


# --- ICT-FaceKit ----------------------------------------------------------------------------------------------------


def read_slowly(text: str) -> tuple[np.ndarray, list[list[int]]]:
    """An .obj file a line at a time: vertices, polygons."""
    vertices, polygons = [], []
    for line in text.splitlines():
        word, *rest = line.split() or [""]
        if word == "v":
            vertices.append([float(number) for number in rest])
        elif word == "f":
            polygons.append([int(corner.split("/")[0]) - 1 for corner in rest])
    return np.array(vertices), polygons


def test_the_published_mesh_is_read_vertex_by_vertex(archive: Path) -> None:
    with zipfile.ZipFile(archive) as zipped:
        content = zipped.read(f"{FOLDER}/{NEUTRAL}")
    vertices, triangles = read_obj(content, NEUTRAL)
    slow, polygons = read_slowly(content.decode())
    assert np.array_equal(vertices, slow.astype(np.float32)) and vertices.shape == (26719, 3)
    assert len(polygons) == 26384 and {len(polygon) for polygon in polygons} == {3, 4}
    fans = [[p[0], p[k], p[k + 1]] for p in polygons for k in range(1, len(p) - 1)]
    assert triangles.tolist() == fans


def test_the_archive_holds_what_the_hashes_say(archive: Path) -> None:
    with zipfile.ZipFile(archive) as zipped:
        assert {name: hashlib.sha256(zipped.read(f"{FOLDER}/{name}")).hexdigest() for name in HASHES} == HASHES


def test_the_folder_reads_like_the_archive(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ict_facekit, "IDENTITIES", 1)  # reading all of it twice takes long
    monkeypatch.setattr(ict_facekit, "EXPRESSIONS", {"open_mouth": ("jawOpen",)})
    members = [f"{FOLDER}/{name}" for name in (NEUTRAL, LANDMARKS, "identity000.obj", "jawOpen.obj")]
    with zipfile.ZipFile(archive) as zipped:
        zipped.extractall(tmp_path, members)
    packed, unpacked = read_ict(archive.parent), read_ict(tmp_path)
    for part in ("mean", "identity", "expression", "colour", "tint", "gloss", "follows", "triangles"):
        assert np.array_equal(getattr(packed, part), getattr(unpacked, part)), part


def test_a_face_is_coloured_where_its_features_are(ict: MorphableModel) -> None:
    x, y, z = ict.mean.T

    def mean_colour(place: tuple[float, float, float], within: float) -> np.ndarray:
        near = np.linalg.norm(ict.mean - np.array(place), axis=1) < within
        assert near.any(), place
        return ict.colour[near].mean(axis=0)

    tip = ict.mean[np.argmax(np.where((np.abs(x) < 2) & (y < 8), z, -np.inf))]
    assert tip == pytest.approx([0, 0.1, 13.1], abs=0.3), "the nose is what stands out most"
    cheek, lip, brow = mean_colour((5, 0, 9), 1), mean_colour((0, -4.0, 11.6), 0.3), mean_colour((3.7, 5.9, 9.9), 0.4)
    crown = mean_colour((0, 15.3, 0), 1.5)
    assert lip[0] / lip[1] > 1.15 * cheek[0] / cheek[1], "lips are redder than cheeks"
    assert brow.sum() < 0.65 * cheek.sum() and crown.sum() < 0.5 * cheek.sum(), "brows and hair are darker"
    for side in (-1, 1):
        pupil = mean_colour((side * 3.15, 3.45, 9.5), 0.2)
        white = mean_colour((side * 3.95, 3.45, 9.15), 0.2)
        assert pupil.sum() < 0.5 * white.sum()


def test_expressions_move_what_they_name(ict: MorphableModel) -> None:
    x, y, z = ict.mean.T
    moved = dict(zip(ict.expressions, ict.expression))
    chin = (np.abs(x) < 2) & (np.abs(y + 7) < 1) & (z > 8)
    corners = (np.abs(np.abs(x) - 2.5) < 0.4) & (np.abs(y + 3.5) < 0.4) & (z > 9)
    brows = (np.abs(np.abs(x) - 2) < 1) & (np.abs(y - 6) < 0.6) & (z > 9)
    forehead = (y > 9) & (z > 6)
    assert moved["open_mouth"][chin, 1].mean() < -2 and moved["smile"][corners, 1].mean() > 0.5
    assert moved["frown"][corners, 1].mean() < -0.3 and moved["raise_brows"][brows, 1].mean() > 0.4
    assert all(np.abs(move[forehead]).max() < np.abs(move).max() for move in moved.values())
    assert np.allclose(moved["smile"][corners][:, 0].sum(), 0, atol=0.5), "both corners go out alike"


def test_identities_are_people_of_one_size(ict: MorphableModel) -> None:
    spread = ict.identity.std(axis=1).max(axis=1)
    assert len(spread) == 20 and (spread > 0.02).all() and (spread < 0.3).all(), "centimetres"
    assert spread[:5].min() > spread[10:].max(), "in order of what they explain"


def pack(path: Path, members: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as zipped:
        for name, content in members.items():
            zipped.writestr(f"{FOLDER}/{name}", content)


WHOLE = b"v 0.5 1 2\n" * ict_facekit.VERTICES + b"f 1 2 3\n"
MARKS = json.dumps({"idx_to_landmark_verts": list(range(68))}).encode()


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({}, r"generic_neutral_mesh.obj is missing, which the face model needs: get .*ict_facekit.zip again"),
        ({NEUTRAL: b"v 1 2 x"}, r"generic_neutral_mesh.obj is not a readable .obj file"),
        ({NEUTRAL: b"v 0 0 0\n" * 3 + b"f 1 2 3"}, r"has 3 vertices, but ICT-FaceKit has 26719: get it again"),
        ({NEUTRAL: WHOLE}, r"vertex_indices.json is missing"),
        ({NEUTRAL: WHOLE, LANDMARKS: b"{"}, r"vertex_indices.json does not list 68 landmarks: get the file again"),
        ({NEUTRAL: WHOLE, LANDMARKS: b"[]"}, r"vertex_indices.json does not list 68 landmarks"),
        ({NEUTRAL: WHOLE, LANDMARKS: MARKS.replace(b"67", b"99999")}, r"vertex_indices.json does not list 68"),
        ({NEUTRAL: WHOLE, LANDMARKS: MARKS}, r"identity000.obj is missing"),
        (
            {NEUTRAL: WHOLE, LANDMARKS: MARKS, "identity000.obj": WHOLE[10:]},
            r"identity000.obj has 26718 vertices, not 26719: get it again",
        ),
        ({NEUTRAL: b" " * (limits.MAX_SHAPE_BYTES + 1)}, r"generic_neutral_mesh.obj unpacks to more than 16 MB"),
    ],
)
def test_a_damaged_face_model_is_named(tmp_path: Path, members: dict[str, bytes], says: str) -> None:
    pack(tmp_path / "ict_facekit.zip", members)
    with pytest.raises(ValueError, match=rf"^ict_facekit.zip: {FOLDER}.*{says}") as caught:
        load(tmp_path)
    assert "\n" not in str(caught.value) and not list((tmp_path / "cache").iterdir())


def test_an_archive_that_is_cut_short_is_named(tmp_path: Path) -> None:
    pack(tmp_path / "ict_facekit.zip", {NEUTRAL: WHOLE})
    content = (tmp_path / "ict_facekit.zip").read_bytes()
    (tmp_path / "ict_facekit.zip").write_bytes(content[:-30])
    with pytest.raises(ValueError, match=r"ict_facekit.zip is not a complete zip archive"):
        load(tmp_path)
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 255
    (tmp_path / "ict_facekit.zip").write_bytes(flipped)
    with pytest.raises(ValueError, match=r"generic_neutral_mesh.obj is damaged inside the archive"):
        load(tmp_path)


def test_a_folder_with_gaps_is_named(tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / NEUTRAL).write_bytes(WHOLE)
    with pytest.raises(ValueError, match=rf"{FOLDER}/vertex_indices.json is missing, which the face model needs"):
        load(tmp_path)


# --- fetching -------------------------------------------------------------------------------------------------------


def test_the_published_files_are_fetched_where_there_is_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = {NEUTRAL: WHOLE, LANDMARKS: MARKS}
    (tmp_path / "web" / FOLDER).mkdir(parents=True)
    for name, content in published.items():
        (tmp_path / "web" / FOLDER / name).write_bytes(content)

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """The tests print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path / "web")) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setenv("ANIMLAB_OFFLINE", "0")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setattr(fetch, "_failures", {})
        monkeypatch.setattr(ict_facekit, "PUBLISHED", f"http://127.0.0.1:{server.server_port}")
        hashes = {name: hashlib.sha256(content).hexdigest() for name, content in published.items()}
        monkeypatch.setattr(ict_facekit, "HASHES", hashes)
        entry = REGISTRY["faces3d"]
        assert entry.fetch is not None
        folder = entry.fetch(False)
        server.shutdown()
        thread.join()
    assert (folder / FOLDER / NEUTRAL).read_bytes() == WHOLE
    found = entry.find(folder)
    assert found is not None and found.count == 1250


def test_the_address_names_a_commit() -> None:
    assert re.fullmatch(r"https://raw\.githubusercontent\.com/ICT-VGL/ICT-FaceKit/[0-9a-f]{40}", ict_facekit.PUBLISHED)


# --- Basel ----------------------------------------------------------------------------------------------------------

RNG = np.random.default_rng(0)
SMALL = np.array([[0, 9, 1], [-5, 0, 0], [5, 0, 0], [0, -9, 2], [0, 0, 4.0]])  # a face with a nose, looking along +z
SMALL_TRIANGLES = np.array([[0, 1, 4], [1, 3, 4], [3, 2, 4], [2, 0, 4]])
PARTS = {name: RNG.normal(size=(15, 4)) for name in ("shape", "color", "expression")}
DEVIATIONS = np.array([4.0, 3, 2, 1])


def bfm_2009(path: Path, **changes: np.ndarray | None) -> Path:
    """A file laid out like `01_MorphableModel.mat`: columns, corners from 1, micrometres, colours to 255."""
    content = {
        "shapeMU": 1e4 * SMALL.reshape(-1, 1).astype(np.float32),
        "shapePC": 1e4 * PARTS["shape"].astype(np.float32),
        "shapeEV": DEVIATIONS[:, None].astype(np.float32),
        "texMU": np.full((15, 1), 128, np.float32),
        "texPC": PARTS["color"].astype(np.float32),
        "texEV": DEVIATIONS[:, None].astype(np.float32),
        "tl": (SMALL_TRIANGLES[:, ::-1] + 1).astype(np.float64),
        "segbin": np.zeros((5, 4), np.uint8),
    }
    content |= changes
    scipy.io.savemat(path, {name: value for name, value in content.items() if value is not None})
    return path


def bfm_2017(path: Path, drop: str = "") -> Path:
    """A file laid out like `model2017-1_face12_nomouth.h5`: flat means, variances, corners (3, F), colours to 1."""
    means = {"shape": SMALL.ravel(), "color": np.full(15, 0.5), "expression": np.full(15, 0.25)}
    with h5py.File(path, "w") as file:
        for name, mean in means.items():
            file[f"{name}/model/mean"] = mean.astype(np.float32)
            file[f"{name}/model/pcaBasis"] = PARTS[name].astype(np.float32)
            file[f"{name}/model/pcaVariance"] = (DEVIATIONS**2).astype(np.float32)
            file[f"{name}/model/noiseVariance"] = np.zeros(1, np.float32)
            file[f"{name}/representer/points"] = SMALL.T.astype(np.float32)
            file[f"{name}/representer/cells"] = SMALL_TRIANGLES.T.astype(np.int32)
        if drop:
            del file[drop]
    return path


def test_the_model_of_2009_is_read_in_its_own_layout(tmp_path: Path) -> None:
    model = read_basel(bfm_2009(tmp_path / "01_MorphableModel.mat"))
    assert np.allclose(model.mean, 1e4 * SMALL) and model.expressions == () and (model.colour == 128).all()
    assert np.array_equal(np.sort(model.triangles), np.sort(SMALL_TRIANGLES))
    assert np.array_equal(outward(model.triangles, model.mean), model.triangles), "whatever the file's own winding"
    weights = np.array([1.0, -2, 0.5, 0])
    by_hand = (1e4 * (SMALL.ravel() + PARTS["shape"] @ (DEVIATIONS * weights))).reshape(-1, 3)
    assert np.allclose(model.identity_shape(weights), by_hand, rtol=1e-5)
    tinted = np.clip(128 + PARTS["color"] @ (DEVIATIONS * weights), 0, 255).reshape(-1, 3)
    assert np.allclose(model.tinted(weights), tinted, rtol=1e-5)


def test_the_model_of_2017_is_read_in_its_own_layout(tmp_path: Path) -> None:
    model = read_basel(bfm_2017(tmp_path / "model2017-1_face12_nomouth.h5"))
    assert np.allclose(model.mean, SMALL + 0.25), "the mean expression belongs to the mean face"
    assert np.array_equal(model.triangles, SMALL_TRIANGLES) and np.allclose(model.colour, 127.5)
    weights = np.array([1.0, -2, 0.5, 0])
    by_hand = SMALL.ravel() + 0.25 + PARTS["shape"] @ (DEVIATIONS * weights)
    assert np.allclose(model.identity_shape(weights), by_hand.reshape(-1, 3), rtol=1e-5)
    smile = EXPRESSION_STEP * (PARTS["expression"][:, 0] * DEVIATIONS[0]).reshape(-1, 3)
    assert np.allclose(model.expression_offset(np.array([1.0, 0, 0])), smile, rtol=1e-5)
    assert model.expressions == ("expression_0", "expression_1", "expression_2") and model.expression_low == -1


def test_only_the_first_components_are_kept(tmp_path: Path) -> None:
    many = {name: np.ones((15, 199), np.float32) for name in ("shapePC", "texPC")}
    many |= {name: np.ones((199, 1), np.float32) for name in ("shapeEV", "texEV")}
    model = read_basel(bfm_2009(tmp_path / "01_MorphableModel.mat", **many))
    assert len(model.identity) == len(model.tint) == COMPONENTS


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"tl": None}, "it has no tl"),
        ({"shapePC": None, "texEV": None}, "it has no shapePC, texEV"),
        ({"tl": SMALL_TRIANGLES + 9.0}, "its triangles name vertices 8 to 12 of 5"),
        ({"tl": SMALL_TRIANGLES.astype(float)}, "its triangles name vertices -1 to 3 of 5"),
        ({"shapeMU": np.zeros((14, 1))}, "reshape"),
        ({"texMU": np.zeros((18, 1))}, "its parts do not fit"),
        ({"shapeEV": np.ones((3, 1))}, "it has 4 components but 3 deviations"),
        ({"shapePC": np.full((15, 4), np.nan)}, "some of its values are not finite"),
    ],
)
def test_a_matlab_file_of_another_layout_is_named(tmp_path: Path, changes: dict[str, np.ndarray], says: str) -> None:
    bfm_2009(tmp_path / "01_MorphableModel.mat", **changes)
    pattern = rf"01_MorphableModel.mat is not a readable Basel Face Model \(\d+ bytes; .*{says}.*\): get it again\.$"
    with pytest.raises(ValueError, match=pattern) as caught:
        load(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("drop", ["shape/model/pcaBasis", "color", "expression/model/mean", "shape/representer/cells"])
def test_an_hdf5_file_of_another_layout_is_named(tmp_path: Path, drop: str) -> None:
    bfm_2017(tmp_path / "model2017-1_bfm_nomouth.h5", drop)
    with pytest.raises(
        ValueError, match=r"model2017-1_bfm_nomouth.h5 is not a readable Basel Face Model .*: get it again\.$"
    ):
        load(tmp_path)


@pytest.mark.parametrize("name", ["01_MorphableModel.mat", "model2017-1_face12_nomouth.h5"])
@pytest.mark.parametrize("keep", [0, 100, -200])
def test_a_model_file_that_is_cut_short_is_named(tmp_path: Path, name: str, keep: int) -> None:
    path = (bfm_2009 if name.endswith(".mat") else bfm_2017)(tmp_path / name)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=rf"{name} is not a readable Basel Face Model .*: get it again\.$") as caught:
        load(tmp_path)
    assert "\n" not in str(caught.value)
    path.write_text("<html>Please register first.</html>")
    with pytest.raises(ValueError, match=rf"{name} is not a readable Basel Face Model \(35 bytes"):
        load(tmp_path)


def test_without_h5py_the_sentence_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bfm_2017(tmp_path / "model2017-1_bfm_nomouth.h5")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(
        ModuleNotFoundError, match=r"_nomouth.h5 is an HDF5 file, and reading it needs h5py: pip install"
    ):
        load(tmp_path)


@pytest.mark.parametrize("year", [2009, 2017])
def test_a_basel_model_becomes_clips(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, head: MorphableModel, year: int
) -> None:
    monkeypatch.setattr(faces3d, "CLIPS", 5)
    monkeypatch.setattr(faces3d, "LENGTH", 4)
    basis = head.identity.reshape(12, -1).T
    flat, ones = head.mean.reshape(-1, 1), np.ones((12, 1))
    if year == 2009:
        colours = {"texMU": head.colour.reshape(-1, 1), "texPC": basis, "texEV": ones}
        shapes = {"shapeMU": flat, "shapePC": basis, "shapeEV": ones, "tl": head.triangles + 1.0}
        bfm_2009(tmp_path / "01_MorphableModel.mat", **shapes, **colours)
    else:
        with h5py.File(tmp_path / "model2017-1_bfm_nomouth.h5", "w") as file:
            for name, mean in (("shape", flat), ("color", head.colour.reshape(-1, 1) / 255), ("expression", 0 * flat)):
                file[f"{name}/model/mean"], file[f"{name}/model/pcaBasis"] = mean.ravel(), basis * (name != "color")
                file[f"{name}/model/pcaVariance"] = np.ones(12)
            file["shape/representer/cells"] = head.triangles.T
    clips = load(tmp_path)
    assert clips.frames.shape == (20, 64, 64, 3) and clips.name == "faces3d"
    assert clips.clips["class"].tolist()[:4] == ["turn", "nod", "tilt", "light"]
    assert clips.clips["class"][4] == ("mixed" if year == 2009 else "expression 0")
    assert ("expression_0" in clips.factors) == (year == 2017)


# --- the coarser mesh -----------------------------------------------------------------------------------------------


def test_a_coarser_mesh_is_linear_and_keeps_what_is_fixed(head: MorphableModel) -> None:
    fixed = head.mean[:, 1] > 0
    coarse = head.reduced(fixed)
    assert 0.4 < len(coarse.mean) / len(head.mean) < 0.8
    high = coarse.mean[coarse.mean[:, 1] > 0.05]
    assert {tuple(point) for point in high} <= {tuple(point) for point in head.mean[fixed]}
    rng = np.random.default_rng(0)
    identity, expression = rng.normal(size=12), rng.uniform(size=6)
    moved = MorphableModel(
        **(vars(head) | {"mean": head.identity_shape(identity) + head.expression_offset(expression)})
    )
    both = coarse.identity_shape(identity) + coarse.expression_offset(expression)
    assert np.allclose(moved.reduced(fixed).mean, both, atol=1e-5), "first moved or first merged: the same"
    assert coarse.triangles.max() == len(coarse.mean) - 1 and len(np.unique(coarse.triangles)) == len(coarse.mean)


def test_sheets_that_only_touch_are_not_merged() -> None:
    x, y = (grid.ravel() for grid in np.meshgrid(np.arange(8.0), np.arange(8.0)))
    sheet = np.stack([x, y, 0 * x], axis=1).astype(np.float32)
    here = (np.arange(7)[:, None] * 8 + np.arange(7)).ravel()
    triangles = np.concatenate([np.stack([here, here + 1, here + 9], 1), np.stack([here, here + 9, here + 8], 1)])
    vertices = np.concatenate([sheet, sheet])  # two lips, shut
    opening = np.concatenate([0 * sheet, sheet * 0 + np.array([0, 0, 5], np.float32)])[None]
    blank = np.zeros((128, 3), np.float32)
    model = MorphableModel(
        mean=vertices, identity=blank[None], expression=opening, expressions=("open",), colour=blank, tint=blank[None],
        gloss=blank[:, 0], follows=blank[:, 0], triangles=np.concatenate([triangles, triangles + 64]),
        centre=blank[0], radius=1.0,
    )  # fmt: skip
    coarse = model.reduced(np.zeros(128, bool))
    assert len(coarse.mean) < 50
    assert set(np.unique(coarse.expression[0][:, 2])) == {0, 5}, "each vertex belongs to one lip"


# --- clips ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def clips(head: MorphableModel) -> list[Clip]:
    return list(render_faces(head, clips=22, length=8))


def test_the_sets_are_as_large_as_the_paper_says(archive: Path) -> None:
    found = REGISTRY["faces3d"].find(archive.parent)
    assert found is not None and found.count * faces3d.LENGTH == 40_000
    assert faces3d_stand_in().count == 800


def test_rendering_follows_its_seed(head: MorphableModel) -> None:
    one, same, more, other = (list(render_faces(head, *args)) for args in [(3, 3, 0), (3, 3, 0), (4, 3, 0), (3, 3, 1)])
    for a, b, c, d in zip(one, same, more, other):
        assert np.array_equal(a.frames, b.frames) and np.array_equal(a.frames, c.frames)
        assert not np.array_equal(a.frames, d.frames)
        assert all(np.array_equal(a.factors[name], b.factors[name]) for name in a.factors)


def test_each_clip_has_one_motion_slow_and_smooth(clips: list[Clip]) -> None:
    moving = {"turn": "yaw", "nod": "pitch", "tilt": "roll", "light": "light_azimuth"}
    assert tuple(clip.label for clip in clips[:11]) == CLASSES
    names = {"class", "phase", "yaw", "pitch", "roll", "light_azimuth", "light_elevation", "identity_0", "identity_3"}
    names |= {"tint_0", "tint_1", "smile", "open_mouth", "raise_brows", "blink", "pucker", "frown"}
    for clip in clips:
        factors = clip.factors
        assert names <= set(factors) and all(v.shape == (8,) and v.dtype == np.float32 for v in factors.values())
        assert factors["phase"][[0, -1]].tolist() == [0, 1] and CLASSES[int(factors["class"][0])] == clip.label
        varying = {name for name, values in factors.items() if np.ptp(values) > 0} - {"phase"}
        if clip.label == "mixed":
            assert {"yaw", "pitch", "roll", "light_azimuth"} < varying and len(varying) == 5
        else:
            assert varying == {moving.get(clip.label, clip.label.replace(" ", "_"))}
        for name in varying:
            steps = np.diff(factors[name])
            assert (np.sign(steps) == np.sign(steps[0])).all() and np.abs(steps).max() < 0.25 * np.abs(steps).sum()
        step = np.abs(np.diff(clip.frames.astype(int), axis=0)).mean(axis=(1, 2, 3))
        assert step.min() > 0 and step.max() < 4 * np.median(step), "no jumps"


def test_left_is_left(head: MorphableModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """The head made of formulas is its own mirror image, so everything turned the other way is the mirrored picture."""
    artist = face_motion._Artist(head)
    weights = np.zeros(12)

    def picture(sign: int) -> np.ndarray:
        turn = face_motion.rotation(*(np.array(angle, float) for angle in (sign * 25, 10, sign * 8))).astype(np.float32)
        points, normals = artist._pose(head.identity_shape(weights), turn)
        surface = np.concatenate([head.colour, head.gloss[:, None]], axis=1)
        light = face_motion._toward(np.array([sign * 50.0]), np.array([20.0]))[0]
        arguments = (artist.camera.project(points), head.triangles, normals, surface, light, np.full((64, 64, 3), 90.0))
        return face_motion.render(*arguments, samples=face_motion.SAMPLES).astype(int)

    right, left = picture(1), picture(-1)
    difference = np.abs(right - left[:, ::-1]).max(axis=-1)
    assert np.quantile(difference, 0.95) <= 3 and difference.mean() < 1
    assert np.abs(right - left).mean() > 10, "a turn that shows"


def test_a_mark_on_the_nose_goes_where_the_head_turns(head: MorphableModel) -> None:
    artist = face_motion._Artist(head)
    x, y, z = head.mean.T

    def place(mark: np.ndarray, *angles: float) -> np.ndarray:
        """The mean (row, column) of what is marked."""
        surface = np.where(mark[:, None], (255.0, 0, 0, 0), (0.0, 0, 255, 0)).astype(np.float32)
        turn = face_motion.rotation(*map(np.array, angles)).astype(np.float32)
        points, normals = artist._pose(head.mean, turn)
        arguments = (artist.camera.project(points), head.triangles, normals, surface, np.array([0, 0, 1.0]))
        red = face_motion.render(*arguments, np.zeros((64, 64, 3)), face_motion.SAMPLES)[..., 0].astype(float)
        return np.array([(red * grid).sum() / red.sum() for grid in np.mgrid[:64, :64]])

    tip = (np.abs(x) < 0.05) & (np.abs(y + 0.17) < 0.05) & (z > 0.7)
    crown = (np.abs(x) < 0.1) & (y > 0.75) & (z > 0.3)
    row, column = place(tip, 0.0, 0.0, 0.0)
    assert column == pytest.approx(31.5, abs=0.5)
    assert place(tip, 25.0, 0.0, 0.0)[1] > column + 5 and place(tip, -25.0, 0.0, 0.0)[1] < column - 5
    assert place(tip, 0.0, 15.0, 0.0)[0] < row - 3 and place(tip, 0.0, -15.0, 0.0)[0] > row + 3
    assert place(crown, 0.0, 0.0, 20.0)[1] > 31.5 + 5 and place(crown, 0.0, 0.0, -20.0)[1] < 31.5 - 5
    turned, _ = artist._pose(head.mean, face_motion.rotation(*map(np.array, (30.0, 10.0, 15.0))).astype(np.float32))
    still, _ = artist._pose(head.mean, np.eye(3, dtype=np.float32))
    gone = np.linalg.norm(turned - still, axis=1)
    assert gone[y < -1.59].max() < 0.01 and gone[tip].min() > 0.3, "the head turns on its neck"


def test_pictures_show_what_the_factors_say(head: MorphableModel) -> None:
    """Drawn with one thing changed at a time, on a plain ground."""
    artist = face_motion._Artist(head)
    surface = np.concatenate([head.colour, head.gloss[:, None]], axis=1)
    still = {"yaw": 0.0, "pitch": 0.0, "roll": 0.0, "azimuth": 0.0, "elevation": 20.0}

    def picture(expression: str = "", **changed: float) -> np.ndarray:
        pose = still | changed
        turn = face_motion.rotation(*(np.array(pose[name]) for name in ("yaw", "pitch", "roll"))).astype(np.float32)
        weights = np.array([float(name == expression) for name in head.expressions])
        points, normals = artist._pose(head.mean + head.expression_offset(weights), turn)
        light = face_motion._toward(np.array([pose["azimuth"]]), np.array([pose["elevation"]]))[0]
        arguments = (
            artist.camera.project(points),
            head.triangles,
            normals,
            surface,
            light,
            np.full((64, 64, 3), 200.0),
        )
        return face_motion.render(*arguments, samples=face_motion.SAMPLES).astype(float)

    plain = picture()
    halves = [picture(azimuth=angle)[20:50] for angle in (-60, 60)]
    assert halves[0][:, 16:30].mean() > halves[0][:, 34:48].mean() + 15, "lit from the picture's left"
    assert halves[1][:, 34:48].mean() > halves[1][:, 16:30].mean() + 15
    mouth = slice(38, 54), slice(24, 40)
    assert picture("open_mouth")[mouth].min() < 60 < plain[mouth].min()
    eye = slice(26, 34), slice(18, 30)
    assert picture("blink")[eye][..., 2].max() < plain[eye][..., 2].max() - 40, "the white of the eye is covered"


def test_the_real_faces_stay_in_the_picture(ict: MorphableModel) -> None:
    assert motions(ict) == CLASSES
    for clip in render_faces(ict, clips=11, length=3):
        for frame in clip.frames.astype(int):
            background = frame[:2].mean(axis=(0, 1))
            inside = np.abs(frame - background).max(axis=-1) > 30
            assert inside[24:52, 24:40].mean() > 0.75 and not inside[:20, [0, -1]].any()


def test_the_stand_in_loads_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = faces3d_stand_in()
    assert whole.count == 800 and len(next(iter(whole.read())).frames) == 16
    short = Source(whole.files, 11, partial(render_parametric_heads, 11, 4))  # all of it takes a minute
    monkeypatch.setitem(REGISTRY, "faces3d", replace(REGISTRY["faces3d"], synthetic=lambda: short))
    clips = load_dataset("faces3d-synthetic", progress=False)
    assert clips.frames.shape == (44, 64, 64, 3) and isinstance(clips.frames, np.memmap)
    assert clips.clips["class"].tolist() == list(CLASSES)
    assert all(values.shape == (44,) and np.isfinite(values).all() for values in clips.factors.values())
