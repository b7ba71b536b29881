"""The geometry of rendered heads: which point of which face each pixel of a picture shows, and how much light it gets.

A head is an egg, whose surface point is computed for every pixel. Turned back by the head's yaw and pitch, this point
tells where on the face the pixel is, so that what is drawn on the flat face turns with the head.

Lengths are in heads: 1 is half a head's height, x to the picture's right, y down, z towards the viewer. Every number of
a `Look` is an array (N, 1, 1), every colour (N, 1, 1, 3), so that N pictures are drawn with the same arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .drawing import X, Y

SQUARE = 2.3  # exponent of the outline: 2 is an ellipse
EYE = (0.3, -0.06)  # the middle of the eye on the picture's right, on a face seen from the front
STYLES = ("cropped", "parted", "fringe", "bob", "long", "updo", "curly", "bald")
CROPPED, PARTED, FRINGE, BOB, LONG, UPDO, CURLY, BALD = range(len(STYLES))


@dataclass(frozen=True)
class Look:
    """What N faces look like.

    Args:
        yaw: how far the head is turned to the picture's right, in radians.
        pitch: how far it is turned up, in radians.
        tilt: how far it is tilted clockwise, in radians.
        eye_x: column of the point between the eyes, in pixels.
        eye_y: row of the point between the eyes, in pixels.
        scale: half the head's height, in pixels.
        width: half the head's width, in heads.
        jaw: how much narrower the chin is, 0 to 1.
        smile: -1 (corners down) to 1.
        mouth_open: 0 to 1.
        eyes_open: 0 to 1.
        brow: -1 (frown) to 1 (raised).
        gaze: -1 to 1, to the picture's right.
        nose: relative size.
        lips: relative size.
        beard: density, 0 to 1.
        glasses: 0 or 1.
        style: index into STYLES.
        parting: where the hair is parted, -1 to 1.
        strands: phase of the strands, 0 to 2π.
        volume: of the hair, in heads.
        light_x: direction to the light, with light_y and light_z of length 1.
        light_y: its part downwards.
        light_z: its part towards the viewer.
        ambient: fraction of ambient light, 0 to 1.
        skin: colour, 0 to 255.
        lip: colour, 0 to 255.
        iris: colour, 0 to 255.
        hair: colour, 0 to 255.
        cloth: colour, 0 to 255.
        neckline: 0 (round) to 1 (deep V).
    """

    yaw: np.ndarray
    pitch: np.ndarray
    tilt: np.ndarray
    eye_x: np.ndarray
    eye_y: np.ndarray
    scale: np.ndarray
    width: np.ndarray
    jaw: np.ndarray
    smile: np.ndarray
    mouth_open: np.ndarray
    eyes_open: np.ndarray
    brow: np.ndarray
    gaze: np.ndarray
    nose: np.ndarray
    lips: np.ndarray
    beard: np.ndarray
    glasses: np.ndarray
    style: np.ndarray
    parting: np.ndarray
    strands: np.ndarray
    volume: np.ndarray
    light_x: np.ndarray
    light_y: np.ndarray
    light_z: np.ndarray
    ambient: np.ndarray
    skin: np.ndarray
    lip: np.ndarray
    iris: np.ndarray
    hair: np.ndarray
    cloth: np.ndarray
    neckline: np.ndarray


@dataclass(frozen=True)
class Surface:
    """Which point of a ball each pixel of N pictures shows, (N, 64, 64) each.

    Attributes:
        outside: signed distance to the outline, in pixels.
        nx: the visible point of the unit ball, to the picture's right.
        ny: the same point, downwards.
        nz: the same point, towards the viewer.
        x: the same point on a head that looks straight ahead.
        y: its height on that head.
        z: its depth on that head; below 0 is the back.
    """

    outside: np.ndarray
    nx: np.ndarray
    ny: np.ndarray
    nz: np.ndarray
    x: np.ndarray
    y: np.ndarray
    z: np.ndarray


def head_coordinates(look: Look) -> tuple[np.ndarray, np.ndarray]:
    """The position of each pixel on the upright head.

    Args:
        look: N faces.

    Returns:
        x and y, in heads from its middle, (N, 64, 64) each.
    """
    # The point between the eyes on the turned head; the head is placed such that it lands on eye_x, eye_y.
    at_eyes = turn(look, np.zeros_like(look.yaw), np.full_like(look.yaw, EYE[1]), np.full_like(look.yaw, 0.998))
    eyes_x = at_eyes[0] * look.width * narrowing(look, at_eyes[1]) + shear(look, at_eyes[1])
    cos, sin = np.cos(look.tilt), np.sin(look.tilt)
    dx, dy = (X - look.eye_x) / look.scale, (Y - look.eye_y) / look.scale
    return dx * cos + dy * sin + eyes_x, dy * cos - dx * sin + at_eyes[1]


def surface(look: Look, x: np.ndarray, y: np.ndarray, volume: np.ndarray | float) -> Surface:
    """The head's surface.

    Args:
        look: N faces.
        x: (N, 64, 64), as `head_coordinates` gives it.
        y: (N, 64, 64), as `head_coordinates` gives it.
        volume: how much the upper half is enlarged, as by hair.
    """
    grown = 1 + volume * ramp(y, 0.45, -0.35)
    nx, ny = (x - shear(look, y)) / (look.width * narrowing(look, y)) / grown, y / grown
    # A skull is a little squarer than an egg.
    round_ = np.maximum(np.hypot(nx, ny), 1e-3)
    radius = (np.abs(nx) ** SQUARE + np.abs(ny) ** SQUARE) ** (1 / SQUARE)
    nx, ny = nx * radius / round_, ny * radius / round_
    # A ratio of lengths becomes a distance through the outline's own size in this direction.
    outside = (radius - 1) * look.scale * np.hypot(x, y) / np.maximum(radius, 1e-3)
    within = np.maximum(radius, 1)
    nx, ny = nx / within, ny / within
    nz = np.sqrt(np.maximum(1 - nx * nx - ny * ny, 0))
    cos, sin = np.cos(look.yaw), np.sin(look.yaw)
    face_x, ahead = nx * cos - nz * sin, nx * sin + nz * cos
    cos, sin = np.cos(look.pitch), np.sin(look.pitch)
    return Surface(outside, nx, ny, nz, face_x * look.width, ny * cos + ahead * sin, ahead * cos - ny * sin)


def turn(look: Look, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Turns points of the unit ball by pitch and yaw, which `surface` reverses.

    Args:
        look: N faces.
        x: of the points, of a shape that broadcasts with that of look.yaw, as are the others.
        y: downwards.
        z: towards the viewer.

    Returns:
        x, y and z of the turned points.
    """
    y, z = y * np.cos(look.pitch) - z * np.sin(look.pitch), y * np.sin(look.pitch) + z * np.cos(look.pitch)
    return x * np.cos(look.yaw) + z * np.sin(look.yaw), y, z * np.cos(look.yaw) - x * np.sin(look.yaw)


def narrowing(look: Look, y: np.ndarray) -> np.ndarray:
    """The relative width of the head at a height: temples, cheekbones, jaw.

    Args:
        look: N faces.
        y: heights below the eyes' middle, as `head_coordinates` gives them.
    """
    return 1 - look.jaw * ramp(y, 0.1, 1.1)


def shear(look: Look, y: np.ndarray) -> np.ndarray:
    """How far the head is displaced at a height: the chin of a turned head points where the face looks.

    Args:
        look: N faces.
        y: heights, as `head_coordinates` gives them.

    Returns:
        To the right, in heads.
    """
    return 0.3 * np.sin(look.yaw) * ramp(y, -0.2, 1.0)


def ramp(x: np.ndarray, start: float, end: float) -> np.ndarray:
    """A smooth step.

    Args:
        x: of any shape.
        start: where it is 0, and before it.
        end: where it is 1, and beyond; smaller than start for a step that falls with x.
    """
    t = np.clip((x - start) / (end - start), 0, 1)
    return t * t * (3 - 2 * t)


def brightness(look: Look, nx: np.ndarray, ny: np.ndarray, nz: np.ndarray) -> np.ndarray:
    """How bright surfaces with given normals are, about 0.4 to 1.12.

    Args:
        look: N faces, with their light.
        nx: the normals' part to the picture's right.
        ny: their part downwards.
        nz: their part towards the viewer.
    """
    falling = nx * look.light_x + ny * look.light_y + nz * look.light_z
    return look.ambient + (1.12 - look.ambient) * np.clip((falling + 0.25) / 1.25, 0, 1)
