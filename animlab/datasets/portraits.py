"""A small portrait painter in numpy: many lit faces at a time, with hair, neck and shoulders.

Eyes, mouth, brows and hairline are drawn in the coordinates of the face (see `heads`); lengths are in heads.
"""

from __future__ import annotations

import numpy as np

from .drawing import X, Y, coverage, paint
from .heads import (
    BALD,
    BOB,
    CURLY,
    EYE,
    FRINGE,
    LONG,
    PARTED,
    UPDO,
    Look,
    Surface,
    brightness,
    head_coordinates,
    narrowing,
    ramp,
    shear,
    surface,
    turn,
)

MOUTH = 0.5  # its height on the face


def paint_portraits(frames: np.ndarray, look: Look) -> None:
    """Draws portraits over their backgrounds, in place.

    Args:
        frames: (N, 64, 64, 3) float32, 0 to 255, the backgrounds.
        look: N faces.
    """
    x, y = head_coordinates(look)
    head = surface(look, x, y, 0.0)
    # Turned away, hair lies flat where the face ends: it would float beside the forehead.
    away = np.clip(2.2 * np.sin(look.yaw) * x / look.width, 0, 1)
    cap = surface(look, x, y, look.volume * (1 - away))
    _paint_back_hair(frames, look, x, y)
    _paint_body(frames, look)
    _paint_ears(frames, look, x, y)
    skin, light = _lit_skin(look, head)
    paint(frames, coverage(head.outside), skin)
    _paint_mouth(frames, look, head, light)
    _paint_eyes(frames, look, head, light)
    _paint_hair(frames, look, cap, x, y)


def _blob(x: np.ndarray, y: np.ndarray, at: tuple[float, float], wide: float, high: float) -> np.ndarray:
    """A soft spot: 1 in its middle, falling to 0."""
    return np.exp(-(((x - at[0]) / wide) ** 2) - ((y - at[1]) / high) ** 2)


def _band(look: Look, y: np.ndarray, top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    """How much of each pixel is between two heights; also correct for bands thinner than a pixel."""
    half = 0.5 / look.scale
    return np.clip((np.minimum(bottom, y + half) - np.maximum(top, y - half)) * look.scale, 0, 1)


def _lit_skin(look: Look, head: Surface) -> tuple[np.ndarray, np.ndarray]:
    """The head's skin, (N, 64, 64, 3), and the light on it, (N, 64, 64, 1)."""
    x, y, front = head.x, head.y, ramp(head.z, 0.0, 0.3)
    slope_y, slope_x = np.gradient(_relief(look, x, y) * front * look.scale, axis=(1, 2))
    nx, ny, nz = head.nx - 1.1 * slope_x, head.ny - 1.1 * slope_y, head.nz + 0.35
    length = np.sqrt(nx * nx + ny * ny + nz * nz)
    nx, ny, nz = nx / length, ny / length, nz / length
    light = (brightness(look, nx, ny, nz) * (1 - _creases(look, x, y) * front))[..., None]

    cheeks, tip = _blob(np.abs(x), y, (0.36, 0.22), 0.15, 0.13), _blob(x, y, (0, 0.27), 0.1, 0.08)
    blush = (0.16 * cheeks + 0.12 * tip) * front
    colour = look.skin * (1 - blush[..., None] * np.array([-0.05, 0.35, 0.3], np.float32))
    beard = look.beard * _bearded(x, y) * front
    colour = colour + beard[..., None] * (0.85 * look.hair - colour)
    # Highlights, after Blinn: where the surface faces midway between the light and the viewer.
    midway = nx * look.light_x + ny * look.light_y + nz * (look.light_z + 1)
    shine = (np.clip(midway, 0, None) / np.sqrt(2 + 2 * look.light_z)) ** 24 * front * (1 - beard)
    # Shadows on skin are warm: blue fades first.
    warm = light ** np.array([0.85, 1.0, 1.1], np.float32)
    return np.minimum(colour * warm + 38 * shine[..., None], 255), light


def _relief(look: Look, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """How far a face stands out from the ball, in heads."""
    sides = np.abs(x)
    ridge = np.exp(-((x / 0.075) ** 2)) * ramp(y, -0.3, 0.28) * ramp(y, 0.42, 0.3)
    tip, wings = _blob(x, y, (0, 0.27), 0.1, 0.08), _blob(sides, y, (0.1, 0.3), 0.05, 0.05)
    nose = look.nose * (0.13 * ridge + 0.07 * tip + 0.045 * wings)
    sockets, brows = _blob(sides, y, (0.27, -0.07), 0.15, 0.1), _blob(sides, y, (0.3, -0.24), 0.2, 0.08)
    cheeks = (0.05 + 0.03 * np.maximum(look.smile, 0)) * _blob(sides, y, (0.36, 0.2), 0.16, 0.15)
    chin, below_lip = _blob(x, y, (0, 0.82), 0.16, 0.11), _blob(x, y, (0, 0.66), 0.15, 0.05)
    return nose - 0.07 * sockets + 0.05 * brows + cheeks + 0.045 * chin - 0.03 * below_lip


def _creases(look: Look, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """How much darker a face is where little light reaches it, 0 to 1."""
    sides = np.abs(x)
    sockets, nostrils = _blob(sides, y, (0.25, -0.1), 0.14, 0.08), _blob(sides, y, (0.05, 0.345), 0.035, 0.025)
    below_nose, below_lip = _blob(x, y, (0, 0.37), 0.13, 0.035), _blob(x, y, (0, MOUTH + 0.13), 0.12, 0.04)
    # From nose to mouth, deeper with a smile.
    fold = np.exp(-(((sides - 0.13 - 0.45 * (y - 0.3)) / 0.03) ** 2)) * ramp(y, 0.28, 0.36) * ramp(y, 0.56, 0.46)
    fold = (0.08 + 0.2 * np.maximum(look.smile, 0)) * fold
    return 0.3 * sockets + 0.45 * nostrils + 0.22 * below_nose + 0.15 * below_lip + fold


def _bearded(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Where a beard grows, 0 to 1: jaw, chin and upper lip, but not the lips."""
    jaw = ramp(y, 0.3, 0.55) + 0.8 * ramp(np.abs(x), 0.42, 0.6) * ramp(y, -0.1, 0.25)
    moustache, lips = _blob(x, y, (0, 0.41), 0.2, 0.04), _blob(x, y, (0, MOUTH), 0.17, 0.07)
    return np.clip(np.maximum(jaw - lips, moustache), 0, 1)


def _paint_eyes(frames: np.ndarray, look: Look, head: Surface, light: np.ndarray) -> None:
    for side in (-1, 1):
        _paint_eye(frames, look, head, light, side)
        _paint_brow(frames, look, head, light, side)
        _paint_lens(frames, look, head, side)


def _paint_eye(frames: np.ndarray, look: Look, head: Surface, light: np.ndarray, side: int) -> None:
    x, y, seen = head.x - side * EYE[0], head.y - EYE[1], ramp(head.z, 0.05, 0.2)
    across = x / 0.15  # -1 to 1 from one corner to the other
    arch = np.maximum(1 - across * across, 0)
    squint = 1 - 0.35 * np.maximum(look.smile, 0)
    middle = -0.012 * side * across
    top, bottom = middle - 0.105 * look.eyes_open * arch**0.8, middle + 0.055 * look.eyes_open * squint * arch
    opening = _band(look, y, top, bottom) * (arch > 0) * seen
    white = np.array([180.0, 178, 176], np.float32) + 0.15 * look.skin
    paint(frames, opening, white * np.minimum(light + 0.1, 1))

    x_iris = x - 0.06 * look.gaze
    from_pupil, from_glint = np.hypot(x_iris, y + 0.02), np.hypot(x_iris - 0.03 * look.light_x, y + 0.045)
    paint(frames, opening * coverage((from_pupil - 0.073) * look.scale), look.iris * np.minimum(light, 1))
    paint(frames, opening * coverage((from_pupil - 0.036) * look.scale), np.array([16.0, 13, 13]))
    paint(frames, 0.8 * opening * coverage((from_glint - 0.016) * look.scale), np.full(3, 255.0))

    lashes = _band(look, y, top - 0.035, top + 0.004) * (arch > 0.02) * np.minimum(2 * arch, 1)
    paint(frames, 0.85 * lashes * seen, 0.35 * _brow_colour(look))
    paint(frames, 0.3 * _band(look, y, bottom, bottom + 0.025) * arch * seen, 0.5 * look.skin)
    crease = _band(look, y, top - 0.085, top - 0.055) * arch
    paint(frames, 0.3 * crease * seen, 0.55 * look.skin)


def _brow_colour(look: Look) -> np.ndarray:
    """The colour of brows, which are darker than the hair, and always darker than the skin."""
    return np.minimum(0.7 * look.hair, 0.5 * look.skin)


def _paint_brow(frames: np.ndarray, look: Look, head: Surface, light: np.ndarray, side: int) -> None:
    outward = side * (head.x - side * EYE[0]) / 0.19  # -1 at the nose, 1 at the temple
    curve = 0.05 * (1 - (outward - 0.1) ** 2) + 0.035 * np.minimum(look.brow, 0) * (1 - outward)
    middle = EYE[1] - 0.2 - 0.055 * look.brow - curve
    thick = 0.04 * (1 - 0.45 * np.clip(outward, -0.3, 1))
    cover = _band(look, head.y, middle - thick, middle + thick) * ramp(np.abs(outward), 1.1, 0.8)
    paint(frames, 0.85 * cover * ramp(head.z, 0.05, 0.2), _brow_colour(look) * np.minimum(light, 1.1))


def _paint_lens(frames: np.ndarray, look: Look, head: Surface, side: int) -> None:
    x, y = np.abs(head.x - side * 0.31), head.y - EYE[1]
    rim = np.abs(np.maximum(x / 1.15, np.abs(y - 0.03)) - 0.19) - 0.018
    bridge = np.maximum(np.abs(y + 0.02) - 0.016, np.abs(side * head.x - 0.045) - 0.05)
    cover = coverage(np.minimum(rim, bridge) * look.scale) * ramp(head.z, 0.05, 0.2)
    paint(frames, look.glasses * cover, np.array([28.0, 24, 26]))


def _paint_mouth(frames: np.ndarray, look: Look, head: Surface, light: np.ndarray) -> None:
    across = head.x / (0.235 + 0.06 * look.smile - 0.03 * look.mouth_open)  # -1 to 1 from corner to corner
    arch = np.maximum(1 - across * across, 0)
    seen = (arch > 0) * ramp(head.z, 0.05, 0.3)
    line = MOUTH + look.smile * (0.035 - 0.085 * np.minimum(across * across, 1.2))
    top, bottom = line - 0.035 * look.mouth_open * arch**0.7, line + 0.13 * look.mouth_open * arch**0.8
    bow = 1 - 0.3 * np.exp(-((across / 0.2) ** 2))  # the dip in the middle of the upper lip
    upper, lower = top - 0.05 * look.lips * arch**0.6 * bow, bottom + 0.07 * look.lips * arch**0.7
    lit = np.minimum(light, 1.1)
    paint(frames, 0.9 * _band(look, head.y, upper, lower) * seen, look.lip * lit)
    paint(frames, 0.25 * _band(look, head.y, upper, top) * seen, 0.6 * look.lip * lit)
    gloss = np.exp(-((across / 0.5) ** 2)) * _band(look, head.y, bottom + 0.015, bottom + 0.04)
    paint(frames, 0.25 * gloss * seen, np.full(3, 255.0))
    inside = _band(look, head.y, top, bottom) * seen
    paint(frames, inside, np.array([70.0, 20, 22]) * lit)
    teeth = _band(look, head.y, top, np.minimum(bottom - 0.01, top + 0.085)) * ramp(np.abs(across), 0.95, 0.75)
    paint(frames, teeth * seen, np.array([240.0, 236, 226]) * np.minimum(light, 1))
    closed = _band(look, head.y, line - 0.014, line + 0.014) * seen * ramp(look.mouth_open, 0.25, 0.0)
    paint(frames, 0.65 * closed, 0.35 * look.lip)


def _paint_ears(frames: np.ndarray, look: Look, x: np.ndarray, y: np.ndarray) -> None:
    for side in (-1, 1):
        at_x, _, at_z = turn(look, np.full_like(look.yaw, side), np.zeros_like(look.yaw), np.full_like(look.yaw, -0.15))
        middle = at_x * look.width * 1.02
        ear = np.hypot((x - middle) / 0.1, (y - 0.06) / 0.18) - 1
        lit = brightness(look, np.full_like(x, 0.7 * side), np.zeros_like(x), np.full_like(x, 0.7))
        inner = 1 - 0.35 * np.exp(-(((x - middle) / 0.05) ** 2) - ((y - 0.05) / 0.1) ** 2)
        paint(frames, coverage(ear * 0.13 * look.scale) * (at_z > -0.75), look.skin * (lit * inner * 0.92)[..., None])


def _paint_body(frames: np.ndarray, look: Look) -> None:
    """Paints neck, shoulders and clothes; they stay upright when the head tilts."""
    neck_x = look.eye_x - look.scale * (0.35 * np.sin(look.yaw) + 0.8 * np.sin(look.tilt))
    chin = look.eye_y + 1.06 * look.scale
    aside = (X - neck_x) / look.scale
    down = (Y - chin) / look.scale  # from the chin, in heads
    wide = 0.4 + 0.06 * look.beard + 0.14 * ramp(down, 0.0, 0.5)
    round_ = np.clip(aside / wide, -1, 1)
    lit = brightness(look, 0.8 * round_, np.zeros_like(aside), np.sqrt(1 - 0.64 * round_ * round_))
    lit = lit * (0.55 + 0.45 * ramp(down + 0.3 * aside * look.light_x, -0.05, 0.45))  # in the chin's shadow
    skin = look.skin * (lit[..., None] ** np.array([0.85, 1.0, 1.1], np.float32))
    paint(frames, coverage((np.abs(aside) - wide) * look.scale) * (down > -0.7), skin)
    slope = 0.02 + 0.24 * np.abs(aside) ** 1.7 / (1 + 0.25 * aside * aside)
    body = coverage((slope - down) * look.scale)
    opening = np.abs(aside) - 0.5 + (0.55 * look.neckline + 0.4) * np.maximum(down - 0.1, 0)
    opening = coverage(np.maximum(opening, down - 0.25 - 0.9 * look.neckline) * look.scale)
    lit = brightness(look, np.clip(0.4 * aside, -0.8, 0.8), np.full_like(aside, -0.45), np.full_like(aside, 0.6))
    seam = np.exp(-(((np.abs(aside) - 0.75) / 0.06) ** 2))  # of the sleeve
    lit = lit * (0.7 + 0.3 * ramp(down - slope, 0.0, 0.12)) * (1 - 0.12 * seam)
    paint(frames, body, skin)
    paint(frames, body * (1 - opening), look.cloth * lit[..., None])


def _strands(look: Look, along: np.ndarray, across: np.ndarray) -> np.ndarray:
    """Streaks of lighter and darker hair, about -1 to 1, along lines of constant `across`; or curls."""
    phase = look.strands
    bent = across + 0.04 * np.sin(5 * along + phase)
    fine = np.sin(19 * bent + phase) + np.sin(31 * bent + 2 * phase) + 0.8 * np.sin(11 * bent - phase)
    x, y = across + 0.08 * np.sin(9 * along + phase), along + 0.08 * np.sin(9 * across + 2 * phase)
    curls = np.sin(15 * x + 3 * phase) * np.sin(15 * y + phase) + 0.6 * np.sin(23 * x - 9 * y)
    return np.where(look.style == CURLY, curls / 1.3, fine / 2.8)


def _hair_outline(look: Look, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Signed distance, in heads, to hair that hangs down beside the face or stands off around it."""
    x = x + 0.15 * np.sin(look.yaw)
    wide = look.width + 0.7 * look.volume + 0.03 + 0.1 * ramp(y, 0.0, 1.2) + 0.02 * np.sin(6 * y + look.strands)
    top = -0.05  # above it an ellipse, below it curtains
    dome = (np.hypot(x / wide, (y - top) / (1 + look.volume)) - 1) * wide
    end = np.where(look.style == LONG, 2.6, 0.85) + 0.05 * np.sin(9 * x + look.strands)
    hanging = np.where(y < top, dome, np.maximum(np.abs(x) - wide, y - end))
    cloud = np.hypot(x / (look.width + look.volume), (y + 0.2) / (0.82 + look.volume)) - 1
    cloud = cloud + 0.03 * np.sin(14 * np.arctan2(y + 0.2, x) + look.strands)
    return np.where(look.style == CURLY, cloud, hanging)


def _paint_back_hair(frames: np.ndarray, look: Look, x: np.ndarray, y: np.ndarray) -> None:
    """Paints the hair behind the neck, where it is long enough, and the bun of an updo."""
    hangs = (look.style == LONG) | (look.style == BOB) | (look.style == CURLY)
    outside = np.where(hangs, _hair_outline(look, x, y), 9.0)
    knot = np.hypot(x + 0.6 * np.sin(look.yaw), y + 1.12) - 0.3
    outside = np.where(look.style == UPDO, knot, outside)
    lit = 0.62 + 0.12 * _strands(look, y, x)
    paint(frames, coverage(outside * look.scale), look.hair * lit[..., None])


def _hairline(look: Look, cap: Surface) -> np.ndarray:
    """How far down the skull hair grows, in heads: on the forehead, at the temples, behind the ears."""
    turned = np.arctan2(cap.x / look.width, cap.z)  # longitude: 0 at the nose, π/2 over the picture's right ear
    forehead = np.where(look.style == FRINGE, -0.33, -0.66) + 0.02 * np.sin(11 * turned + look.strands)
    # Parted hair sweeps down from the parting to either side.
    swept = (look.style == PARTED) | (look.style == UPDO) | (look.style == LONG) | (look.style == BOB)
    forehead = forehead + swept * (0.24 * np.minimum(np.abs(turned - 0.5 * look.parting), 1.1) - 0.08)
    to_temple, to_nape = ramp(np.abs(turned), 0.72, 1.25), ramp(np.abs(turned), 1.3, 1.9)
    return np.where(look.style == BALD, -3.0, forehead + (0.12 - forehead) * to_temple + 0.35 * to_nape)


def _paint_hair(frames: np.ndarray, look: Look, cap: Surface, x: np.ndarray, y: np.ndarray) -> None:
    """Paints the hair on the skull, and the locks in front of the ears."""
    hanging = (look.style == LONG) | (look.style == BOB)
    below_hairline = cap.y - _hairline(look, cap)
    cover = coverage(cap.outside) * coverage(below_hairline * 0.8 * look.scale)

    face = look.width * narrowing(look, y) * (0.93 - 0.1 * ramp(y, 0.1, 1.0)) - 0.05
    locks = np.maximum(_hair_outline(look, x, y), np.maximum(face - np.abs(x - 0.6 * shear(look, y)), -0.3 - y))
    cover = np.maximum(cover, coverage(locks * look.scale) * hanging)

    lit = brightness(look, cap.nx, cap.ny, cap.nz)
    combed = np.abs(cap.x - 0.3 * look.parting) + 0.45 * cap.y
    combed = np.where(look.style == CURLY, cap.x, np.where(y > 0, x + 0.1 * y, combed))
    streak = _strands(look, cap.y, combed)
    sheen = np.exp(-(((cap.ny + 0.62 - 0.12 * look.light_y) / 0.16) ** 2)) * np.clip(0.6 + 0.6 * streak, 0, None)
    below = 1 - 0.25 * ramp(y, 0.1, 1.2)
    colour = look.hair * (lit * (0.9 + 0.18 * streak) * below)[..., None]
    gleam = (sheen * np.clip(lit - 0.5, 0, 1))[..., None]
    colour = colour + gleam * (0.35 * look.hair + 24)
    # A shadow where the hair lies on the forehead gives it thickness.
    soft = coverage(cap.outside) * np.clip(1 - below_hairline / 0.12, 0, 1)
    paint(frames, 0.35 * soft * (1 - cover), 0.45 * look.skin)
    paint(frames, cover, np.minimum(colour, 255))
