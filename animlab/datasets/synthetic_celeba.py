"""The synthetic `celeba`: painted portraits over varied backgrounds, with all true values known."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .backdrops import KINDS, backdrop
from .heads import BALD, BOB, CROPPED, CURLY, FRINGE, LONG, PARTED, UPDO, Look
from .portraits import paint_portraits
from .source import Clip, Source

PORTRAITS = 4_000
BATCH = 25  # painted at once: what they need stays in the processor's cache

# Colours, 0 to 255, from light to dark.
SKIN = np.array([(242, 211, 189), (236, 192, 160), (224, 172, 132), (194, 136, 96), (140, 90, 60), (88, 56, 40)])
HAIR = {
    "white": (205, 200, 195), "blond": (200, 166, 112), "ginger": (148, 80, 46), "brown": (95, 62, 40),
    "dark brown": (55, 36, 27), "black": (28, 24, 25),
}  # fmt: skip
IRIS = np.array([(95, 130, 160), (90, 120, 80), (110, 80, 45), (60, 38, 24)])


def celeba_stand_in() -> Source:
    """The synthetic version: 4,000 painted portraits, always the same ones."""
    names = ("synthetic_celeba.py", "portraits.py", "heads.py", "backdrops.py", "drawing.py")
    return Source(tuple(Path(__file__).with_name(name) for name in names), PORTRAITS, render_celeba)


def render_celeba(portraits: int = PORTRAITS, seed: int = 0) -> Iterator[Clip]:
    """Paints portraits.

    Args:
        portraits: number of portraits.
        seed: the same seed gives the same portraits.

    Yields:
        Clips of one frame, uint8 (1, 64, 64, 3), with factors, each (1,) float32. These are yaw, pitch, tilt (the head
        turned to the picture's right, up, clockwise, degrees); smile (-1 to 1), mouth_open, eyes_open (0 to 1), brow
        (-1 frowning to 1 raised), gaze (-1 to 1, to the picture's right); skin (0 light to 1 dark), hair (index into
        HAIR), style (index into STYLES), beard (0 to 1), glasses (0 or 1); light_x, light_y (direction to the light, 0
        to 1 long, right and down), background (index into KINDS), eye_x, eye_y (between the eyes, pixels), scale (half
        the head's height, pixels).
    """
    for first in range(0, portraits, BATCH):
        rng = np.random.default_rng([seed, first])
        look, factors = draw_looks(rng, BATCH)
        frames = np.stack([backdrop(rng, int(kind)) for kind in factors["background"]])
        paint_portraits(frames, look)
        # Cameras differ in exposure and white balance.
        frames *= rng.uniform(0.85, 1.08, (BATCH, 1, 1, 1)) * rng.uniform(0.95, 1.05, (BATCH, 1, 1, 3))
        pictures = np.rint(np.clip(frames, 0, 255)).astype(np.uint8)
        for index in range(min(BATCH, portraits - first)):
            own = {name: values[index : index + 1].astype(np.float32) for name, values in factors.items()}
            yield Clip(pictures[index : index + 1], factors=own)


def draw_looks(rng: np.random.Generator, count: int) -> tuple[Look, dict[str, np.ndarray]]:
    """Draws random looks.

    Args:
        rng: source of randomness.
        count: number of portraits.

    Returns:
        The looks, and the factors of `render_celeba`, name -> (count,).
    """

    def uniform(low: float, high: float) -> np.ndarray:
        return rng.uniform(low, high, count)

    def chance(share: float | np.ndarray) -> np.ndarray:
        return rng.random(count) < share

    bearded = chance(0.25)
    with_beard = rng.choice([CROPPED, PARTED, FRINGE, CURLY, BALD], count, p=[0.4, 0.2, 0.1, 0.1, 0.2])
    shares = {CROPPED: 0.12, PARTED: 0.14, FRINGE: 0.12, BOB: 0.16, LONG: 0.27, UPDO: 0.1, CURLY: 0.09}
    style = np.where(bearded, with_beard, rng.choice(list(shares), count, p=list(shares.values())))
    skin = uniform(0, 1)
    # Light hair goes with light skin, as it mostly does.
    hair = np.clip(np.rint(rng.normal(2.6 + 2.2 * skin, 1.3)), 0, len(HAIR) - 1).astype(int)
    smile = uniform(-0.35, 1)
    light = np.stack([uniform(-0.8, 0.8), uniform(-0.75, 0.1)])
    light *= np.minimum(1, 0.97 / np.linalg.norm(light, axis=0))  # never from behind
    factors = {
        "yaw": np.clip(rng.normal(0, 16, count), -35, 35),
        "pitch": np.clip(rng.normal(0, 6, count), -14, 14),
        "tilt": np.clip(rng.normal(0, 5, count), -12, 12),
        "smile": smile,
        "mouth_open": np.where(chance(0.2 + 0.5 * np.clip(smile, 0, 1)), uniform(0.15, 1) ** 1.3, 0),
        "eyes_open": uniform(0.65, 1),
        "brow": uniform(-1, 1),
        "gaze": np.clip(rng.normal(0, 0.4, count), -1, 1),
        "skin": skin,
        "hair": hair,
        "style": style,
        "beard": np.where(bearded, uniform(0.25, 0.9), 0),
        "glasses": chance(0.1),
        "light_x": light[0],
        "light_y": light[1],
        "background": rng.integers(len(KINDS), size=count),
        "eye_x": rng.normal(31.5, 0.6, count),
        "eye_y": rng.normal(33, 0.6, count),
        "scale": uniform(21.5, 25),
    }
    tone = skin * (len(SKIN) - 1)
    colour = np.stack([np.interp(tone, range(len(SKIN)), channel) for channel in SKIN.T], axis=1)
    colour = colour * rng.uniform(0.96, 1.04, (count, 3))
    natural = colour * np.array([0.86, 0.58, 0.56])
    lipstick = np.array([178.0, 40, 58]) * rng.uniform(0.8, 1.15, (count, 3))
    painted = (~bearded & chance(0.4))[:, None] * rng.uniform(0.3, 0.9, (count, 1))
    hair_colour = np.array(list(HAIR.values()))[hair] * rng.uniform(0.8, 1.25, (count, 1))
    hair_colour = hair_colour + rng.normal(0, 4, (count, 3))
    grey = rng.uniform(15, 240, (count, 1))
    values = factors | {
        "width": uniform(0.69, 0.76) + 0.02 * bearded,
        "jaw": uniform(0.22, 0.38) - 0.06 * bearded,
        "nose": uniform(0.75, 1.2),
        "lips": uniform(0.75, 1.15),
        "parting": uniform(-1, 1),
        "strands": uniform(0, 2 * np.pi),
        "volume": uniform(0.05, 0.16) + 0.22 * (style == CURLY) - 0.04 * (style == CROPPED),
        "light_z": np.sqrt(1 - (light**2).sum(axis=0)),
        "ambient": uniform(0.4, 0.75),
        "neckline": uniform(0, 1),
        "skin": colour,
        "lip": natural + painted * (lipstick - natural),
        "iris": IRIS[np.minimum(rng.integers(len(IRIS), size=count) + (skin > 0.5) * 2, len(IRIS) - 1)],
        "hair": np.clip(hair_colour, 8, 245),
        "cloth": np.clip(grey + rng.normal(0, 30, (count, 3)), 8, 248),
    }
    for name in ("yaw", "pitch", "tilt"):
        values[name] = np.radians(factors[name])
    shaped = {
        name: np.asarray(value, np.float32).reshape(count, 1, 1, *np.shape(value)[1:]) for name, value in values.items()
    }
    shaped.pop("background")
    return Look(**shaped), factors
