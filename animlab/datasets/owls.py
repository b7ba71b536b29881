"""Owls: two clay owls that turn their heads and lift their wings, simple enough to be learned in minutes.

There are no files: `load_dataset("owls")` draws the frames. Owls are made of balls, each a stack of discs that become
lighter towards the lamp; lengths are in halves of the picture's height, from its middle.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from .media import to_frame
from .source import Clip, DataSet, Source

COLOURS = {"coral": (235, 110, 95), "teal": (70, 165, 170)}
STARTS = (0.0, 0.5)  # where in the movement each film begins
LENGTH = 120

WALL, TABLE, SHADE = (214, 205, 190), (150, 132, 118), (112, 98, 88)
WHITE, BLACK, BEAK = (240, 236, 226), (40, 36, 44), (245, 170, 60)
CHAIN = np.linspace(0, 1, 10)  # limbs are rows of balls

# What puts a ball into a picture: x, y, radius, colour, height over width.
Put = Callable[..., None]


def film(colour: tuple[int, int, int], start: float = 0.0, frames: int = LENGTH) -> np.ndarray:
    """Draws a film with three turns of the head and five strokes of the wings, so that all their poses are combined.

    Example:
        >>> animlab.save_animation(owls.film(owls.COLOURS["coral"]), "owl.mp4", fps=24)

    Args:
        colour: red, green and blue, 0 to 255.
        start: phase of the first frame, in radians.
        frames: number of frames.

    Returns:
        (frames, 240, 320, 3) uint8.
    """
    turn, wings = _movement(start, frames)
    return np.stack([owl(turn[k], wings[k], colour) for k in range(frames)])


def owl(turn: float, wings: float, colour: tuple[int, int, int]) -> np.ndarray:
    """Draws one picture.

    Args:
        turn: of the head, -1 (left) to 1 (right).
        wings: 0 (down) to 1 (up).
        colour: red, green and blue, 0 to 255.

    Returns:
        (240, 320, 3) uint8.
    """
    image = Image.new("RGB", (640, 480), WALL)
    draw, tone = ImageDraw.Draw(image), np.array(colour)
    draw.rectangle((0, 400, 640, 480), fill=TABLE)
    draw.ellipse((188, 408, 452, 452), fill=SHADE)

    def put(x: float, y: float, r: float, tone: np.ndarray, squash: float = 1.0) -> None:
        _ball(draw, np.array([320 + 240 * x, 240 + 240 * y]), 240 * r, tone, squash)

    _body(put, wings, tone)
    _head(put, turn, tone)
    return np.asarray(image.resize((320, 240), Image.Resampling.LANCZOS))


def _movement(start: float, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """turn and wings over a film, (frames,) each."""
    t = np.linspace(0, 2 * np.pi, frames, endpoint=False) + start
    return np.sin(3 * t), (1 - np.cos(5 * t)) / 2


def _ball(draw: ImageDraw.ImageDraw, place: np.ndarray, r: float, colour: np.ndarray, squash: float) -> None:
    """Draws smaller and smaller discs, each lighter and nearer to the lamp. place, r: pixels."""
    for k in np.linspace(0, 1, 12):
        size = r * (1 - k) ** 0.6
        centre, half = place - 0.4 * (r - size), np.array([size, size * squash])
        tone = np.clip((0.62 + 0.5 * k) * np.array(colour), 0, 255).astype(int)
        draw.ellipse((*(centre - half), *(centre + half)), fill=tuple(tone))


def _body(put: Put, wings: float, colour: np.ndarray) -> None:
    for side in (-1, 1):
        put(0.2 * side, 0.76, 0.13, BEAK, 0.6)
        angle = np.radians(20 + 115 * wings)  # from straight down
        for t in CHAIN:
            x, y = 0.36 + 0.5 * t * np.sin(angle), 0.12 + 0.5 * t * np.cos(angle)
            put(side * x, y, 0.17 - 0.07 * t, 0.8 * colour)
    put(0, 0.35, 0.46, colour)
    put(0, 0.45, 0.3, 0.6 * colour + 110)


def _head(put: Put, turn: float, colour: np.ndarray) -> None:
    def on(angle: float, height: float, out: float, r: float, tone: np.ndarray | tuple[int, int, int]) -> None:
        """A ball on the head: angle and height from the middle of the face, radians; out: 1 is the head's surface."""
        angle += 0.84 * turn
        put(0.08 * turn + 0.44 * out * np.sin(angle) * np.cos(height), -0.33 - 0.44 * out * np.sin(height), r, tone)

    for side in (-1, 1):
        for t in CHAIN:
            on(0.75 * side, 0.85, 1 + 0.3 * t, 0.11 - 0.07 * t, 0.85 * colour)
    put(0.08 * turn, -0.33, 0.44, colour)
    for side in (-1, 1):
        on(0.5 * side, 0.08, 0.86, 0.17, WHITE)
        on(0.47 * side, 0.08, 1.02, 0.085, BLACK)
    for t in CHAIN:
        on(0, -0.25 - 0.12 * t, 0.98 + 0.18 * t, 0.085 - 0.05 * t, BEAK)


def render_owls(frames: int = LENGTH) -> Iterator[Clip]:
    """Draws a film of each owl, cropped to its middle square; always the same ones.

    Args:
        frames: frames in a film.

    Yields:
        Clips, uint8 (frames, 64, 64, 3), with factors, each (frames,) float32, class (index into COLOURS), turn (-1 to
        1) and wings (0 to 1).
    """
    for index, ((name, colour), start) in enumerate(zip(COLOURS.items(), STARTS)):
        turn, wings = _movement(start, frames)
        pictures = [to_frame(Image.fromarray(picture)) for picture in film(colour, start, frames)]
        factors = {"class": np.full(frames, index), "turn": turn, "wings": wings}
        yield Clip(np.stack(pictures), name, factors={key: value.astype(np.float32) for key, value in factors.items()})


def owls() -> Source:
    """The two films as a source of clips."""
    return Source((Path(__file__),), len(COLOURS), render_owls)


# Always drawn, so the set is its own synthetic version.
DATA_SET = DataSet(expects="nothing", find=lambda root: owls(), synthetic=owls)
