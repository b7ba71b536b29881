"""ICT-FaceKit light: a head with neck, eyes and teeth, and its identities and expressions as Wavefront .obj files.

Li et al., "Learning Formation of Physically-Based Face Attributes", CVPR 2020; github.com/ICT-VGL/ICT-FaceKit, MIT
licence, (c) 2020 USC Institute for Creative Technologies. The light model is geometry only: the colours are ours, put
onto the mesh by the 68 landmarks that come with it. Lengths are in centimetres.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.path import Path as Polygon

from . import limits
from .archives import Archive, open_archive
from .fetch import fetch_files
from .files import is_file, read_file
from .morphable import MorphableModel, mix, smooth_step
from .renderer import Normals
from .wavefront import read_obj

FOLDER = "FaceXModel"
ARCHIVE = "ict_facekit.zip"
NEUTRAL, LANDMARKS = "generic_neutral_mesh.obj", "vertex_indices.json"
IDENTITIES = 20  # of the 100 published ones: the first vary most
EXPRESSIONS = {
    "smile": ("mouthSmile_L", "mouthSmile_R"),
    "open_mouth": ("jawOpen",),
    "raise_brows": ("browInnerUp_L", "browInnerUp_R"),
    "blink": ("eyeBlink_L", "eyeBlink_R"),
    "pucker": ("mouthPucker",),
    "frown": ("mouthFrown_L", "mouthFrown_R", "browDown_L", "browDown_R"),
}
PUBLISHED = "https://raw.githubusercontent.com/ICT-VGL/ICT-FaceKit/1922d84282a3faf345dbf949c4a63b09f87907bc"

# The published order of the vertices (README of ICT-FaceKit).
VERTICES = 26719
SKIN = slice(0, 11248)  # face, head and neck
MOUTH = slice(11248, 13294)
SOCKETS = slice(13294, 14062)
GUMS = slice(14062, 17039)
TEETH = slice(17039, 21451)
EYES = ((slice(21451, 22221), slice(22221, 23021)), (slice(23021, 23791), slice(23791, 24591)))  # eyeball, iris

# Colours, red green blue from 0 to 255.
SKIN_TONE = np.array([194.0, 144, 119])
LIP_TONE = np.array([170.0, 90, 86])
HAIR_TONE = np.array([64.0, 45, 34])
EYE_WHITE, IRIS_TONE, PUPIL = np.array([226.0, 220, 214]), np.array([92.0, 100, 92]), np.array([14.0, 12, 12])
MOUTH_TONE, GUM_TONE, TOOTH_TONE = (96, 32, 32), (150, 72, 70), (222, 212, 196)
# Directions of one standard deviation: what they colour, and by how much.
TINTS = {
    "complexion": ("skin", (-25, -27, -25)),
    "warmth": ("skin", (3, -2, -6)),
    "hair": ("hair", (28, 21, 12)),
    "red hair": ("hair", (12, 0, -5)),
    "iris": ("iris", (-16, -2, 16)),
}
# Lowest height of the hair (cm) at a depth z (cm), from the back of the head to the forehead.
HAIRLINE = (-9, -4.2, -3.6, -3.0, 2.2, 2.6, 4.0, 4.8, 6.5, 9.0), (-3, -3, -2, 5.8, 5.8, 3.2, 3.4, 7.6, 10.0, 11.0)

# The files that are read, and the sha256 of each as published.
HASHES = {
    "generic_neutral_mesh.obj": "eedbc2576d8e5ea57f55255b8f98263213a1efb5431d8bfceed1d7aef10271f9",
    "vertex_indices.json": "4f9b35306299980dd46bee4a6b79bb95dfae1953693b74b35a64f7febfd081a5",
    "identity000.obj": "918160cf82d541336b4c367cf93199c9827832bde02511b8fbdf9019d6f1a773",
    "identity001.obj": "325115059deb6691cb2d55da07ae38bb08ce36e4ea146982f294a17513155b3b",
    "identity002.obj": "e140e8305cd5232def3b94331d08450a13f312e525130fca8eeaa653231decc3",
    "identity003.obj": "be3481a6bed8953a6d9dd7f811a04bc6d2ab94d1bd76ecfaa6d4cae87a450f9d",
    "identity004.obj": "a2f411cc763e881cff250eb23c04fe8375b63a05a7dfa0492422e3b943e8a01d",
    "identity005.obj": "274178eb33e33c555e6024535a51a62ee50050abd4f7014bbc7a4dc90a638c65",
    "identity006.obj": "c9ae0426ab88b49065c852148f7bcff8cb09253fbee068b78955bd76c19a3e0f",
    "identity007.obj": "ba38037151277b94e2b6b9b9800275d92d2c0aa8d61057b0718c9d7b90fffc44",
    "identity008.obj": "b03543b783a15c1d28c5a384cd93657eda915227756780f682bc7370cd94ce1d",
    "identity009.obj": "0cbb5ca5db9c61fa91df8d1c04b9b383b40d797032ca3f5a28a234d495e31b54",
    "identity010.obj": "7bd1c31b76428cfb4bf29a2ac38bc2711d8c254aec25bba7ebd7a9b7dc81ebc7",
    "identity011.obj": "68684bafa7e460ce7dd69c618a260143e6ecfa1254d0d49ec40202092a4b05f3",
    "identity012.obj": "b899f17f8727b903b36f9a879ec95427c4df93d415956a211745bf44ed2be2dd",
    "identity013.obj": "57a17eb9945a21c0a869dca4401964742c8d47e512d680fef94447aff826abc3",
    "identity014.obj": "8a1a490f6e695c9116b820a95137823282415fb20bb0362725bedf0a1c2d8bd3",
    "identity015.obj": "9f3da084848efabf5b898f72d3006db7442497a560185483358a8d4aefb8ac2d",
    "identity016.obj": "184d17ffd35e7796777bf6008e0f904810e3781b46b37f37f9a550f1969c2525",
    "identity017.obj": "5b55b7a104f561d5df44a9d0249f21bcf80890dd59666d777c2db9eccd128759",
    "identity018.obj": "8ae8dd9cb5c7173f49643974420261f10f0437a7636531a50c2ae9a2badaf9a3",
    "identity019.obj": "a22d531cddb3a0aaed12e6feddf45993f73545253d35642300dc4eca6438117a",
    "mouthSmile_L.obj": "91794e73cef330f1c7d1f4541723544708536b39d5dd6ed35fd8f83f676b7af4",
    "mouthSmile_R.obj": "3fb3de3da9f8358edbb933a65ce6e44c25a2501f30dcb240daea725b68adac84",
    "jawOpen.obj": "8d84355e10f48b05550980cee385bcd426f4797090da76a20de0535bb2f99f4a",
    "browInnerUp_L.obj": "81fb1625794ea36fb13303234ce06cef798acfdbc489077e22ae195a705bc92e",
    "browInnerUp_R.obj": "5e66b46cdad89fd1237273db2b885511688cf37636cedfdde432a4844c9109e7",
    "eyeBlink_L.obj": "f5ed1c3072a400083b7d4f7f5cb3d73882b7ebb95c3232f957394db8cf7fe19e",
    "eyeBlink_R.obj": "d281ad0af03e89a70abf1214d52c295b3a279c9b35f6795938c4487f467ca003",
    "mouthPucker.obj": "9929c31025667683809f70df7dce612f72e3acfc7f9e8acb939f6636509dbc5c",
    "mouthFrown_L.obj": "1bfd720ad024e5805ac8472df170c2c96c09e817e02b66f916057d6e2d31ee9b",
    "mouthFrown_R.obj": "ae3da92fa1dc70010c6bec810338d740287c71b8730694c97876cab5af241f74",
    "browDown_L.obj": "d1dcd14fc085a9e258dec62a4bfe4a31d592cce5d8918a3892c20f480653f4c1",
    "browDown_R.obj": "66a2c72ab64999af168795f27182d011f52b90958c402d719d3ec8ff7d1c8939",
}


def ict_files(root: Path) -> tuple[Path, ...]:
    """Finds the files of the model in a folder.

    Args:
        root: holds `ict_facekit.zip` or a folder `FaceXModel/`.

    Returns:
        The files; none if there is no model.

    Raises:
        ValueError: One of the files in the folder is missing.
    """
    if is_file(root / ARCHIVE):
        return (root / ARCHIVE,)
    if is_file(root / FOLDER / NEUTRAL):
        files = tuple(root / FOLDER / name for name in HASHES)
        for file in files:
            if not is_file(file):
                raise ValueError(f"{file} is missing, which the face model needs: get the folder again.")
        return files
    return ()


def fetch_ict(progress: bool = True) -> Path:
    """Downloads the model from its public repository (84 MB) on first use.

    Args:
        progress: whether to show a progress bar.

    Returns:
        A folder that holds `FaceXModel/`.

    Raises:
        FetchError: It cannot be downloaded.
    """
    hashes = {f"{FOLDER}/{name}": sha256 for name, sha256 in HASHES.items()}
    return fetch_files("ict-facekit", PUBLISHED, hashes, progress)


def read_ict(root: Path) -> MorphableModel:
    """Reads the model; an archive is read in place, and nothing is unpacked to disk.

    Args:
        root: holds `ict_facekit.zip` or a folder `FaceXModel/`.

    Raises:
        ValueError: A file is missing, damaged or of another mesh; the message names it.
    """
    packed = root / ARCHIVE
    if not is_file(packed):
        folder = root / FOLDER
        return _build(lambda name: read_file(folder / name, limits.MAX_SHAPE_BYTES, "one shape"), str(folder))
    with open_archive(packed) as archive:
        return _build(lambda name: _read_member(archive, name), f"{ARCHIVE}: {FOLDER}")


def _read_member(archive: Archive, name: str) -> bytes:
    member = f"{FOLDER}/{name}"
    if member not in archive.members:
        raise ValueError(f"{archive.where(member)} is missing, which the face model needs: get {archive.path} again.")
    return archive.read(member, limits.MAX_SHAPE_BYTES)


def _build(read: Callable[[str], bytes], where: str) -> MorphableModel:
    """Builds the model from its files. read: name -> content. where: the folder, for error messages."""
    mean, triangles = read_obj(read(NEUTRAL), f"{where}/{NEUTRAL}")
    if len(mean) != VERTICES:
        raise ValueError(f"{where}/{NEUTRAL} has {len(mean)} vertices, but ICT-FaceKit has {VERTICES}: get it again.")
    listed = read(LANDMARKS)
    try:
        landmarks = np.array(json.loads(listed)["idx_to_landmark_verts"], np.int64)
        marks = mean[landmarks[:68]].reshape(68, 3)
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise ValueError(f"{where}/{LANDMARKS} does not list 68 landmarks: get the file again.") from error

    def offset(shape: str) -> np.ndarray:
        vertices, _ = read_obj(read(f"{shape}.obj"), f"{where}/{shape}.obj")
        if vertices.shape != mean.shape:
            raise ValueError(f"{where}/{shape}.obj has {len(vertices)} vertices, not {VERTICES}: get it again.")
        return vertices - mean

    identity = np.stack([offset(f"identity{index:03d}") for index in range(IDENTITIES)])
    expression = np.stack([sum(offset(part) for part in parts) for parts in EXPRESSIONS.values()])
    hair = _hair(mean)
    colour, tint, gloss = _paint(mean, marks, hair)
    # Hair that is only painted on looks shaven: it stands off the skin by a centimetre.
    mean = mean + hair[:, None] * Normals(triangles, VERTICES)(mean)
    for part, depth in ((TEETH, 0.3), (EYES[0][0], 0.06), (EYES[1][0], 0.06)):
        mean[part, 2] -= depth  # or they would show through closed lips and lids

    drawn = np.zeros(VERTICES, bool)
    for part in (SKIN, MOUTH, SOCKETS, GUMS, TEETH, EYES[0][0], EYES[1][0]):  # the rest is for ray tracers
        drawn[part] = True
    model = MorphableModel(
        mean=mean,
        identity=identity,
        expression=expression,
        expressions=tuple(EXPRESSIONS),
        colour=colour,
        tint=tint,
        gloss=gloss,
        follows=np.interp(mean[:, 1], (-15, -5), (0, 1)).astype(np.float32),
        triangles=triangles[drawn[triangles].all(axis=1)],
        centre=np.array([0, 2.5, 1], np.float32),
        radius=11.5,
    )
    visible = np.zeros(VERTICES, bool)  # what deserves all its vertices in a picture of 64 x 64
    visible[SKIN] = visible[EYES[0][0]] = visible[EYES[1][0]] = True
    return model.reduced(fixed=visible)


def _hair(mean: np.ndarray) -> np.ndarray:
    """How much hair grows at each vertex, (V,) 0 to 1: above a line from the forehead over the ears to the nape."""
    line = np.interp(mean[:, 2], *HAIRLINE)
    hair = smooth_step(mean[:, 1] - line, -0.3, 0.7)
    hair[SKIN.stop :] = 0
    return hair


def _paint(mean: np.ndarray, marks: np.ndarray, hair: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Colours (V, 3), directions of tint (A, V, 3) and gloss (V,). marks: the 68 landmarks of Multi-PIE, (68, 3)."""
    x, y, z = mean.T
    front = z > 4
    skin = np.zeros(VERTICES)
    skin[SKIN] = 1
    lips = skin * front * smooth_step(-_outside(mean[:, :2], marks[48:60, :2]), -0.15, 0.1)
    brows = skin * front * np.maximum(*(_brow(mean, marks[part]) for part in (slice(17, 22), slice(22, 27))))
    eye = np.minimum(*(_outside(mean[:, :2], marks[part, :2]) for part in (slice(36, 42), slice(42, 48))))
    rims = skin * front * smooth_step(-eye, -0.3, -0.05)  # the lashes' shadow, and the lids inside of it
    blush = skin * np.exp(-((np.abs(x) - 5) ** 2 + (y - 0.5) ** 2) / 5) * front

    colour = np.full((VERTICES, 3), SKIN_TONE)
    colour = mix(colour, SKIN_TONE * (1.0, 0.86, 0.84), 0.8 * blush)
    colour = mix(colour, LIP_TONE, 0.85 * lips)
    colour = mix(colour, HAIR_TONE * 0.9, 0.65 * rims)
    colour = mix(colour, HAIR_TONE, np.maximum(0.85 * brows, hair))
    flesh = 1 - np.maximum(np.maximum(brows, hair), rims)
    tint = np.zeros((len(TINTS), VERTICES, 3))
    for row, (where, change) in zip(tint, TINTS.values()):
        if where == "skin":
            row[:] = (skin * flesh * (1 - 0.5 * lips))[:, None] * change
        elif where == "hair":
            row[:] = np.maximum(np.maximum(0.85 * brows, hair), 0.4 * rims)[:, None] * change

    gloss = np.where(skin, 22 * (1 - hair) + 25 * lips, 0.0)
    inside = smooth_step(z, 3, 10)[:, None]  # light hardly reaches the back of the mouth
    for part, tone in ((MOUTH, MOUTH_TONE), (GUMS, GUM_TONE), (TEETH, TOOTH_TONE)):
        colour[part] = (inside * np.array(tone))[part]
    colour[SOCKETS] = SKIN_TONE * 0.5
    for ball, iris_part in EYES:
        iris, pupil = _iris(mean[ball], mean[iris_part])
        white = np.full((len(iris), 3), EYE_WHITE)
        colour[ball] = mix(mix(white, IRIS_TONE, iris), PUPIL, pupil)
        tint[-1, ball] = (iris * (1 - pupil))[:, None] * TINTS["iris"][1]
        gloss[ball] = 60
    return colour.astype(np.float32), tint.astype(np.float32), gloss.astype(np.float32)


def _iris(ball: np.ndarray, iris: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How much of each vertex of an eyeball (V, 3) is iris, and how much pupil: the ball hides the iris behind it."""
    centre = ball.mean(axis=0)
    axis = iris.mean(axis=0) - centre
    axis /= np.linalg.norm(axis)
    off_axis = np.linalg.norm(np.cross(ball - centre, axis), axis=1)
    in_front = (ball - centre) @ axis > 0
    return in_front * smooth_step(-off_axis, -0.68, -0.6), in_front * smooth_step(-off_axis, -0.33, -0.25)


def _outside(points: np.ndarray, polygon: np.ndarray) -> np.ndarray:
    """Signed distance, (V,), of points (V, 2) to a closed polygon (K, 2): negative inside."""
    edges = zip(polygon, np.roll(polygon, -1, axis=0))
    distance = np.min([_to_segment(points, start, end)[0] for start, end in edges], axis=0)
    return np.where(Polygon(polygon).contains_points(points), -distance, distance)


def _to_segment(points: np.ndarray, start: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance of points to a segment, and where along it the nearest place lies (0 to 1), (V,) each."""
    along = end - start
    share = np.clip((points - start) @ along / (along @ along), 0, 1)
    return np.linalg.norm(points - start - share[:, None] * along, axis=1), share


def _brow(mean: np.ndarray, marks: np.ndarray) -> np.ndarray:
    """How much of a brow grows at each vertex, (V,) 0 to 1: a band along five landmarks, thin at its outer end."""
    thickness = np.interp(np.abs(marks[:, 0]), (1, 4, 6), (0.42, 0.45, 0.12))
    cover = np.zeros(len(mean))
    for k in range(4):
        distance, share = _to_segment(mean[:, :2], marks[k, :2] - (0, 0.3), marks[k + 1, :2] - (0, 0.3))
        half = thickness[k] + share * (thickness[k + 1] - thickness[k])
        cover = np.maximum(cover, smooth_step(half - distance, -0.12, 0.12))
    return cover
