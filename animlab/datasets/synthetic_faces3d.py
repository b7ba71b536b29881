"""The synthetic `faces3d`: a head made of formulas, a morphable model like the real ones.

The skin is one sheet from the crown down the neck: its cross-sections are ellipses, with bumps and hollows for a face.
It is wound around the head in columns (an angle, 0 in front) and rows (a height). Lengths are in half heads: the crown
is at y = 1, the chin at -1. Eyeballs and ears are separate spheres.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy.interpolate import PchipInterpolator

from . import face_motion, morphable, renderer
from .face_motion import render_faces
from .morphable import MorphableModel, mix, smooth_step
from .renderer import Normals
from .source import Clip, Source

CLIPS, LENGTH = 800, 16
CODE = tuple(Path(str(module.__file__)) for module in (face_motion, morphable, renderer))

# Half width, front and back of the head at some heights; smooth curves go through them.
HEIGHTS = (1.0, 0.97, 0.9, 0.75, 0.5, 0.25, 0, -0.25, -0.5, -0.7, -0.86, -0.96, -1.04, -1.12, -1.3, -1.6)
WIDTH = (0, 0.17, 0.32, 0.48, 0.61, 0.66, 0.66, 0.64, 0.60, 0.545, 0.47, 0.41, 0.385, 0.38, 0.385, 0.47)
FRONT = (0, 0.2, 0.37, 0.56, 0.70, 0.745, 0.74, 0.75, 0.75, 0.74, 0.72, 0.62, 0.38, 0.22, 0.17, 0.19)
BACK = (0, 0.22, 0.42, 0.66, 0.86, 0.93, 0.9, 0.8, 0.66, 0.56, 0.5, 0.48, 0.47, 0.46, 0.45, 0.48)

EYE, EYE_WIDTH, EYE_HEIGHT, BALL = np.array([0.265, 0.13]), 0.128, 0.047, 0.17
BROW, MOUTH, MOUTH_WIDTH = np.array([0.255, 0.325]), -0.48, 0.22
SLIT = np.linspace(0, 1, 6)  # rows inside the mouth, from the upper lip (0) to the lower one (1), shut at rest
EXPRESSIONS = ("smile", "open_mouth", "raise_brows", "blink", "pucker", "frown")

SKIN_TONE, LIP_TONE, HAIR_TONE = np.array([194.0, 144, 119]), np.array([170.0, 90, 86]), np.array([62.0, 44, 34])
EYE_WHITE, IRIS_TONE = np.array([232.0, 228, 222]), np.array([88.0, 98, 96])
TOOTH_TONE, DARK = np.array([226.0, 218, 204]), np.array([42.0, 14, 14])


def faces3d_stand_in() -> Source:
    """The synthetic version: 800 rendered clips of 16 frames, always the same ones."""
    return Source((Path(__file__), *CODE), CLIPS, render_parametric_heads)


def render_parametric_heads(clips: int = CLIPS, length: int = LENGTH, seed: int = 0) -> Iterator[Clip]:
    """Renders clips of the head made of formulas, as `face_motion.render_faces` does, with the same factors.

    Args:
        clips: number of clips.
        length: frames in a clip.
        seed: the same seed gives the same clips.
    """
    yield from render_faces(parametric_head(), clips, length, seed)


def parametric_head() -> MorphableModel:
    """Builds the head: 12 directions of identity, 6 expressions, 5 directions of colour."""
    sheet = _Sheet()
    skin, triangles = sheet.points, sheet.triangles
    parts = [_ball(side) for side in (-1, 1)] + [_ear(side) for side in (-1, 1)]
    mean = np.concatenate([skin, *(points for points, _ in parts)])
    start = len(skin)
    for points, faces in parts:
        triangles = np.concatenate([triangles, faces + start])
        start += len(points)
    balls = slice(len(skin), len(skin) + 2 * len(parts[0][0]))
    kind = np.zeros(len(mean), int)  # 0 skin, 1 eyeball, 2 ear
    kind[balls], kind[balls.stop :] = 1, 2

    hair = np.where(kind == 0, _hair(mean), 0)
    normals = Normals(triangles, len(mean))(mean.astype(np.float32))
    identity = _identity(mean, kind, hair, normals)
    expression = _expression(mean, kind, sheet)
    colour, tint, gloss = _paint(mean, kind, hair, sheet)
    return MorphableModel(
        mean=(mean + 0.07 * hair[:, None] * normals).astype(np.float32),
        identity=identity.astype(np.float32),
        expression=expression.astype(np.float32),
        expressions=EXPRESSIONS,
        colour=colour.astype(np.float32),
        tint=tint.astype(np.float32),
        gloss=gloss.astype(np.float32),
        follows=np.interp(mean[:, 1], (-1.6, -0.95), (0, 1)).astype(np.float32),
        triangles=triangles,
        centre=np.array([0, -0.06, -0.05], np.float32),
        radius=1.04,
    )


class _Sheet:
    """The skin: points (V, 3), triangles, and each point's place in the mouth: 0 upper lip to 1 lower lip, else NaN."""

    def __init__(self) -> None:
        face = np.concatenate([np.arange(0.42, -0.40, -0.0175), np.arange(-0.40, MOUTH - 0.001, -0.0125)])
        below = np.concatenate([np.arange(MOUTH - 0.02, -0.57, -0.0125), np.arange(-0.57, -0.9, -0.025)])
        top = np.concatenate([1 - 0.25 * np.linspace(0, 1, 14) ** 2, np.arange(0.72, 0.43, -0.03)])
        neck = np.concatenate([np.arange(-0.9, -1.16, -0.02), np.linspace(-1.18, -1.6, 8)])
        height = np.concatenate([top, face, np.full(len(SLIT), MOUTH), below, neck])
        inside = np.full(len(height), np.nan)
        inside[len(top) + len(face) :][: len(SLIT)] = SLIT
        front = np.radians(np.arange(-78, 78.1, 1.5))
        angle = np.concatenate([front, np.linspace(front[-1], 2 * np.pi + front[0], 30)[1:-1]])

        y, phi = (grid.ravel() for grid in np.meshgrid(height, angle, indexing="ij"))
        self.inside = np.repeat(inside, len(angle))
        # The rows of the mouth lie together between its corners, where they can open, and apart elsewhere.
        across = np.interp(MOUTH, HEIGHTS[::-1], WIDTH[::-1]) * np.sin(phi)
        y -= np.nan_to_num(self.inside) * np.where(np.cos(phi) > 0, 0.012 - 0.01 * _slit(across), 0.012)
        width, ahead, behind = (PchipInterpolator(HEIGHTS[::-1], values[::-1])(y) for values in (WIDTH, FRONT, BACK))
        x, z = width * np.sin(phi), np.where(np.cos(phi) > 0, ahead, behind) * np.cos(phi)
        in_front = smooth_step(z, 0.05, 0.3)
        z = z + in_front * (_features(x, y) - 0.07 * _slit(x) * np.nan_to_num(np.sin(np.pi * self.inside)))
        z = z + in_front * _lids(x, y, z)
        self.points = np.stack([x, y, z], axis=1)
        self.triangles = _wound(len(height), len(angle))


def _features(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """How far the face stands out over the smooth head, at places (x, y) of its front."""
    ax = np.abs(x)
    lips = np.exp(-((x / (0.85 * MOUTH_WIDTH)) ** 4))
    upper, lower = (_bump(y, at, size) for at, size in ((MOUTH + 0.033, 0.026), (MOUTH - 0.04, 0.033)))
    return (
        _nose(x, y)
        + 0.045 * _bump(ax, BROW[0], 0.2) * _bump(y, BROW[1] - 0.02, 0.08)
        - 0.03 * _bump(ax, EYE[0] - 0.03, 0.13) * _bump(y, EYE[1], 0.12)
        + 0.045 * _bump(ax, 0.4, 0.16) * _bump(y, -0.08, 0.14)
        + lips * (0.045 * upper + 0.055 * lower + 0.03 * _bump(y, MOUTH, 0.1))
        - 0.025 * _bump(x, 0, 0.2) * _bump(y, MOUTH - 0.13, 0.05)
        + 0.075 * _bump(x, 0, 0.17) * _bump(y, -0.82, 0.11)
    )


def _nose(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    ridge = PchipInterpolator(
        (-0.31, -0.265, -0.225, -0.17, -0.05, 0.1, 0.22, 0.36), (0, 0.04, 0.17, 0.215, 0.15, 0.085, 0.04, 0)
    )
    wide = np.interp(y, (-0.2, 0.2), (0.085, 0.06))
    height = np.where((y > -0.31) & (y < 0.36), ridge(np.clip(y, -0.31, 0.36)), 0)
    return height * np.exp(-((x / wide) ** 2)) + 0.075 * _bump(np.abs(x), 0.095, 0.045) * _bump(y, -0.2, 0.05)


def _slit(x: np.ndarray) -> np.ndarray:
    """1 in the middle of the mouth, 0 from its corners on."""
    return np.clip(1 - (x / MOUTH_WIDTH) ** 2, 0, 1)


def _almond(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """How far a place lies from the rim of the nearer eye, in half heights of the eye: negative inside."""
    along = (np.abs(x) - EYE[0]) / EYE_WIDTH
    middle = EYE[1] + 0.012 * along  # the outer corner is a little higher
    half = EYE_HEIGHT * np.sqrt(np.clip(1 - along**2, 0.02, 1))
    return np.maximum((np.abs(y - middle) - half) / EYE_HEIGHT, (np.abs(along) - 1) * EYE_WIDTH / EYE_HEIGHT)


def _ball_centre(side: int) -> np.ndarray:
    return np.array([side * EYE[0], EYE[1] - 0.005, 0.475])


def _lids(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """What to add to z so that the skin lies on the eyeball as lids, and behind it where the eye is open."""
    centre = _ball_centre(1)
    off = np.hypot(np.abs(x) - centre[0], y - centre[1])
    ball = centre[2] + np.sqrt(np.maximum(BALL**2 - off**2, 0.2 * BALL**2))
    # The lower a place in the open eye, the deeper it lies: a blink, which lifts all alike, closes it from above.
    low = np.clip((EYE[1] + EYE_HEIGHT - y) / (2 * EYE_HEIGHT), 0, 1)
    open_eye = smooth_step(-_almond(x, y), -0.12, 0.12)
    lid = ball + 0.012 - open_eye * (0.036 + 0.05 * low)
    near = smooth_step(-off, -0.2, -0.1)
    return near * (lid - z)


def _bump(values: np.ndarray, at: float, size: float) -> np.ndarray:
    return np.exp(-(((values - at) / size) ** 2))


def _plateau(points: np.ndarray, at: np.ndarray, size: tuple[float, float]) -> np.ndarray:
    """1 around a place (x, y) on either side of the face, 0 away from it and behind."""
    x, y, z = points.T
    r = ((np.abs(x) - at[0]) / size[0]) ** 2 + ((y - at[1]) / size[1]) ** 2
    return np.exp(-(r**2)) * (z > 0.1)


def _sphere(rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """A unit sphere whose poles lie on the z axis: points (V, 3), triangles (F, 3)."""
    polar, around = np.meshgrid(np.linspace(0, np.pi, rows), np.arange(columns) * 2 * np.pi / columns, indexing="ij")
    points = np.stack([np.sin(polar) * np.cos(around), np.sin(polar) * np.sin(around), np.cos(polar)], axis=-1)
    return points.reshape(-1, 3), _wound(rows, columns)


def _wound(rows: int, columns: int) -> np.ndarray:
    """Triangles (F, 3) between the rows of points that are wound around something, from its top to its bottom."""
    row, column = np.meshgrid(np.arange(rows - 1), np.arange(columns), indexing="ij")
    here, right = row * columns + column, row * columns + (column + 1) % columns
    triangles = np.stack([here, here + columns, right + columns, here, right + columns, right], axis=-1)
    return triangles.reshape(-1, 3)


def _ball(side: int) -> tuple[np.ndarray, np.ndarray]:
    points, triangles = _sphere(24, 28)
    return _ball_centre(side) + BALL * points, triangles


def _ear(side: int) -> tuple[np.ndarray, np.ndarray]:
    points, triangles = _sphere(14, 18)
    hollow = 0.45 * _bump(points[:, 0] * side, 1, 0.55)  # dented on the outer side
    points = points * (0.075, 0.2, 0.115) - (side * 0.075 * hollow[:, None]) * (1, 0, 0)
    points[:, 2] -= 0.3 * points[:, 1]  # the upper end leans back
    points[:, 0] += side * -0.25 * points[:, 2]  # the rear edge stands off
    return points + np.array([side * 0.665, 0.03, -0.08]), triangles


def _hair(points: np.ndarray) -> np.ndarray:
    """How much hair grows, 0 to 1: above a line over the forehead, before and behind the ears, down to the nape."""
    y, z = points.T[1:]
    line = np.interp(
        z,
        (-0.95, -0.35, -0.27, -0.2, 0.08, 0.12, 0.2, 0.3, 0.5, 0.65),
        (-0.65, -0.6, -0.3, 0.2, 0.2, -0.02, 0.0, 0.38, 0.56, 0.62),
    )
    return smooth_step(y - line, -0.03, 0.06) * (y > -0.75)


def _anchors(mean: np.ndarray, kind: np.ndarray) -> np.ndarray:
    """Where each vertex feels the fields that move the face, (V, 3): eyeballs and ears go along as one piece."""
    side = np.sign(mean[:, :1])
    anchors = np.where((kind == 1)[:, None], _ball_centre(1), mean)
    anchors = np.where((kind == 2)[:, None], (0.62, 0.03, -0.05), anchors)
    anchors[kind > 0, 0] *= side[kind > 0, 0]
    return anchors


def _identity(mean: np.ndarray, kind: np.ndarray, hair: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Twelve ways in which heads differ, (12, V, 3), one standard deviation each."""
    at = _anchors(mean, kind)
    x, y, z = at.T
    side, front = np.sign(x), smooth_step(z, 0.05, 0.3)
    head = smooth_step(y, -1.5, -1.1)
    zero = np.zeros(len(mean))

    def along(dx: np.ndarray, dy: np.ndarray, dz: np.ndarray) -> np.ndarray:
        return np.stack([dx, dy, dz], axis=1)

    mouth = _plateau(at, np.array([0, MOUTH]), (0.3, 0.12))
    jaw = smooth_step(-y, 0.0, 0.6) * smooth_step(y, -1.15, -0.95)
    return np.stack(
        [
            along(0.05 * x * head, zero, zero),  # a wider head
            along(zero, 0.07 * np.minimum(y - 0.05, 0) * head, zero),  # a longer face
            along(zero, zero, 0.28 * _nose(x, y) * front),  # a nose that stands out
            along(0.28 * x * _bump(x, 0, 0.2) * _bump(y, -0.16, 0.12) * front, zero, zero),  # a broader nose
            along(0.02 * side * _plateau(at, EYE + np.array([0, 0.07]), (0.2, 0.24)), zero, zero),  # eyes further apart
            along(zero, 0.022 * _plateau(at, BROW, (0.24, 0.07)), zero),  # higher brows
            along(zero, 0.012 * np.sign(y - MOUTH) * mouth * _slit(x), 0.025 * mouth),  # fuller lips
            along(0.14 * x * mouth, zero, zero),  # a wider mouth
            along(0.1 * x * jaw, zero, zero),  # a broader jaw
            along(
                zero,
                -0.03 * _bump(x, 0, 0.25) * _bump(y, -0.85, 0.15),
                0.05 * _bump(x, 0, 0.25) * _bump(y, -0.82, 0.15),
            )
            * front[:, None],  # a chin
            0.045 * normals * (_bump(np.abs(x), 0.42, 0.2) * _bump(y, -0.25, 0.25) * front)[:, None],  # rounder cheeks
            0.05 * normals * hair[:, None],  # more hair
        ]
    )


def _expression(mean: np.ndarray, kind: np.ndarray, sheet: _Sheet) -> np.ndarray:
    """The displacements (6, V, 3) of `EXPRESSIONS`."""
    at = _anchors(mean, kind)
    x, y, z = at.T
    ax, side, front = np.abs(x), np.sign(x), smooth_step(z, 0.05, 0.3) * (kind == 0)
    move = {name: np.zeros((len(mean), 3)) for name in EXPRESSIONS}
    corner = _bump(ax, 0.2, 0.11) * _bump(y, MOUTH, 0.1) * front
    mouth = _plateau(at, np.array([0, MOUTH]), (0.3, 0.12)) * front
    cheek = _bump(ax, 0.36, 0.14) * _bump(y, -0.2, 0.14) * front

    move["smile"][:, 0] = 0.16 * x * mouth + 0.03 * side * corner
    move["smile"][:, 1] = 0.1 * corner + 0.03 * cheek
    move["smile"][:, 2] = -0.035 * mouth + 0.05 * cheek

    # The jaw: below the slit everything goes down; the corners of the mouth stay, the chin goes as one piece.
    below = np.clip((MOUTH - y) / 0.3, 0, 1)
    spread = np.clip(1 - (ax / (MOUTH_WIDTH + 0.8 * below)) ** 2, 0, 1)
    jaw = spread ** (1 + below) * (y < MOUTH) * smooth_step(y, -1.16, -0.98)
    inside = np.full(len(mean), np.nan)
    inside[: len(sheet.inside)] = sheet.inside
    jaw = np.where(np.isnan(inside), jaw, np.nan_to_num(inside) * _slit(x)) * front
    hollow = np.nan_to_num(np.sin(np.pi * inside)) * _slit(x)
    move["open_mouth"][:, 1] = -0.27 * jaw
    move["open_mouth"][:, 2] = -0.06 * jaw - 0.14 * hollow

    brow = _plateau(at, BROW, (0.26, 0.09)) * front
    move["raise_brows"][:, 1] = 0.075 * brow + 0.03 * _plateau(at, BROW + np.array([0, 0.12]), (0.3, 0.12)) * front
    move["blink"][:, 2] = 0.1 * smooth_step(-_almond(x, y), -0.12, 0.12) * (kind == 0) * front
    move["pucker"][:, 0] = -0.42 * x * mouth
    move["pucker"][:, 1] = 0.25 * (y - MOUTH) * mouth
    move["pucker"][:, 2] = 0.07 * _plateau(at, np.array([0, MOUTH]), (0.16, 0.09)) * front
    inner = _bump(ax, 0.12, 0.1) * _bump(y, BROW[1], 0.1) * front
    move["frown"][:, 0] = -0.03 * side * inner
    move["frown"][:, 1] = -0.075 * corner - 0.055 * inner - 0.02 * brow
    return np.stack([move[name] for name in EXPRESSIONS])


def _paint(
    mean: np.ndarray, kind: np.ndarray, hair: np.ndarray, sheet: _Sheet
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Colours (V, 3), directions of tint (5, V, 3) and gloss (V,)."""
    x, y, z = mean.T
    ax, front = np.abs(x), smooth_step(z, 0.05, 0.3)
    sheet_only = kind == 0
    upper, lower = MOUTH + 0.06 * (1 - (x / 0.215) ** 2), MOUTH - 0.085 * (1 - (x / 0.215) ** 2)
    lips = (
        sheet_only
        * front
        * (ax < 0.215)
        * smooth_step(upper - y, -0.008, 0.008)
        * smooth_step(y - lower, -0.008, 0.008)
    )
    tilt = BROW[1] + 0.02 - 0.5 * (ax - 0.2) ** 2
    brows = (
        sheet_only
        * front
        * smooth_step(0.03 - np.abs(y - tilt), -0.008, 0.012)
        * smooth_step(0.17 - np.abs(ax - 0.255), -0.01, 0.05)
    )
    rims = sheet_only * front * smooth_step(0.32 - np.abs(_almond(x, y) - 0.08), 0, 0.2) * (y > EYE[1] - 0.02)
    lashes = smooth_step(-_almond(x, y), -0.15, 0.1) * smooth_step(EYE[1] - y, 0.1 * EYE_HEIGHT, 0.6 * EYE_HEIGHT)
    rims = np.maximum(rims, sheet_only * front * lashes)  # on the lids: they show where the eye is shut
    blush = sheet_only * front * _bump(ax, 0.4, 0.15) * _bump(y, -0.15, 0.13)

    colour = np.full((len(mean), 3), SKIN_TONE)
    growth = np.maximum(hair, 0.85 * brows)
    for tone, share in (
        (SKIN_TONE * (1, 0.87, 0.85), 0.8 * blush),
        (LIP_TONE, 0.85 * lips),
        (HAIR_TONE * 0.8, 0.7 * rims),
        (HAIR_TONE, growth),
    ):
        colour = mix(colour, tone, share)
    inside = np.full(len(mean), np.nan)
    inside[: len(sheet.inside)] = sheet.inside
    hidden = (np.nan_to_num(np.sin(np.pi * inside)) > 0.1) * np.minimum(3 * _slit(x), 1) * front
    colour = mix(colour, np.where((np.nan_to_num(inside) < 0.3)[:, None], TOOTH_TONE, DARK), hidden)
    colour[kind == 2] *= (1, 0.93, 0.91)

    off = np.hypot(ax - EYE[0], y - EYE[1]) / BALL
    iris, pupil = smooth_step(-off, -0.43, -0.37), smooth_step(-off, -0.22, -0.16)
    ball = mix(mix(np.full((len(mean), 3), EYE_WHITE), IRIS_TONE, iris), DARK * 0.4, pupil)
    colour[kind == 1] = ball[kind == 1]

    flesh = (kind != 1) * (1 - np.maximum.reduce([growth, 0.7 * rims, hidden, 0.5 * lips]))
    growth = np.maximum(growth, 0.4 * rims)
    tints = (
        (flesh, (-25, -27, -25)),  # complexion
        (flesh, (3, -2, -6)),  # warmth
        (growth, (28, 21, 12)),  # fair hair
        (growth, (12, 0, -5)),  # red hair
        ((kind == 1) * iris * (1 - pupil), (-16, -2, 16)),  # blue eyes
    )
    tint = np.stack([share[:, None] * np.array(change) for share, change in tints])
    gloss = np.where(kind == 1, 60, 22 * flesh + 25 * lips)
    return colour, tint, gloss
