"""Clips of a morphable face that turns, nods, smiles or is lit from another side, with all true values known."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .morphable import MorphableModel
from .renderer import Camera, Normals, render, rotation
from .source import SIZE, Clip

SAMPLES = 2  # per pixel, along either axis
DISTANCE = 6.0  # of the camera, in radii of the head: as in a portrait, near enough for a nose to look nearer
FOCAL = 2.4  # at that distance, a head is four fifths of the picture high
POSES = {
    "turn": ("yaw", 28, 42),
    "nod": ("pitch", 14, 22),
    "tilt": ("roll", 14, 24),
    "light": ("light_azimuth", 55, 80),
}
REST = {"yaw": 12, "pitch": 6, "roll": 5, "light_azimuth": 45}  # how far from straight ahead a still angle may be


def motions(model: MorphableModel) -> tuple[str, ...]:
    """The classes of clips of a model: four motions of head and lamp, one for each expression, and a mixture.

    Args:
        model: the faces.
    """
    return (*POSES, *(name.replace("_", " ") for name in model.expressions), "mixed")


def render_faces(model: MorphableModel, clips: int, length: int, seed: int = 0) -> Iterator[Clip]:
    """Renders clips of faces; the classes, `motions(model)`, alternate.

    A clip shows one person in front of one background. What its class names moves from one end to the other, slowing
    down at both; everything else stands still ("mixed": several things move at once). Person, background and whatever
    stands still are drawn at random for each clip.

    Args:
        model: the faces.
        clips: number of clips.
        length: frames in a clip.
        seed: the same seed gives the same clips.

    Yields:
        Clips, uint8 (length, 64, 64, 3), with factors, each (length,) float32. These are class (index into the
        classes); phase (0 to 1, eased); yaw, pitch, roll (degrees, as in `renderer.rotation`); light_azimuth,
        light_elevation (degrees; 0, 0 is the camera's position, positive is right of it and above); the weight of every
        expression; identity_0 to identity_3, tint_0 and tint_1 (the person's first weights, in standard deviations).
    """
    artist = _Artist(model)
    for index in range(clips):
        yield artist.clip(index, length, seed)


class _Artist:
    """Draws clips of one model; what depends on the mesh alone is computed once."""

    def __init__(self, model: MorphableModel) -> None:
        self.model = model
        self.normals = Normals(model.triangles, len(model.mean))
        self.camera = Camera(DISTANCE, FOCAL, SIZE * SAMPLES)

    def clip(self, index: int, length: int, seed: int) -> Clip:
        model = self.model
        rng = np.random.default_rng([seed, index])
        kind = index % len(motions(model))
        identity, tint = (np.clip(rng.normal(size=len(basis)), -2, 2) for basis in (model.identity, model.tint))
        course = _course(rng, model, motions(model)[kind], length)
        background = _background(rng)

        neutral = model.identity_shape(identity)
        surface = np.concatenate([model.tinted(tint), model.gloss[:, None]], axis=1).astype(np.float32)
        turns = rotation(course["yaw"], course["pitch"], course["roll"]).astype(np.float32)
        lights = _toward(course["light_azimuth"], course["light_elevation"])
        weights = np.stack([course[name] for name in model.expressions], axis=1) if model.expressions else None
        frames = np.empty((length, SIZE, SIZE, 3), np.uint8)
        for t in range(length):
            shape = neutral if weights is None else neutral + model.expression_offset(weights[t])
            points, normals = self._pose(shape, turns[t])
            frames[t] = render(
                self.camera.project(points), model.triangles, normals, surface, lights[t], background, SAMPLES
            )

        constant = {"class": kind} | {f"identity_{k}": identity[k] for k in range(min(4, len(identity)))}
        constant |= {f"tint_{k}": tint[k] for k in range(min(2, len(tint)))}
        factors = {name: np.full(length, value, np.float32) for name, value in constant.items()}
        factors |= {name: values.astype(np.float32) for name, values in course.items()}
        return Clip(frames, motions(model)[kind], factors=factors)

    def _pose(self, shape: np.ndarray, turn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Turns a head by a rotation (3, 3): points in radii of the head, and normals, (V, 3) each; the neck bends."""
        model = self.model
        points = (shape - model.centre) / np.float32(model.radius)
        normals = self.normals(shape)
        if model.follows.min() == 1:
            return points @ turn.T, normals @ turn.T
        share = model.follows[:, None]
        return points + share * (points @ turn.T - points), normals + share * (normals @ turn.T - normals)


def _course(rng: np.random.Generator, model: MorphableModel, motion: str, length: int) -> dict[str, np.ndarray]:
    """What varies over a clip, name -> (length,): phase, angles of head and lamp, expressions."""
    phase = (1 - np.cos(np.pi * np.linspace(0, 1, length))) / 2
    low = model.expression_low
    still = {name: rng.uniform(-limit, limit) for name, limit in REST.items()}
    still["light_elevation"] = rng.uniform(5, 45)
    still |= {name: np.clip(rng.normal(0, 0.12), low, 1) for name in model.expressions}
    course = {"phase": phase} | {name: np.full(length, value) for name, value in still.items()}

    def move(name: str, start: float, end: float) -> None:
        if rng.integers(2):
            start, end = end, start
        course[name] = start + (end - start) * phase

    if motion == "mixed":
        for name, least, most in POSES.values():
            far = rng.uniform(0.2 * least, 0.7 * most)
            move(name, -far, far)
        if model.expressions:
            move(str(rng.choice(model.expressions)), low, rng.uniform(0.6, 1))
    elif motion in POSES:
        name, least, most = POSES[motion]
        far = rng.uniform(least, most)
        move(name, -far, far)
    else:
        move(motion.replace(" ", "_"), low, rng.uniform(0.9, 1.2))  # a little overdone, to show in 64 pixels
    return course


def _toward(azimuth: np.ndarray, elevation: np.ndarray) -> np.ndarray:
    """Unit vectors (T, 3) toward a lamp at these angles in degrees."""
    a, e = np.radians(azimuth), np.radians(elevation)
    return np.stack([np.sin(a) * np.cos(e), np.sin(e), np.cos(a) * np.cos(e)], axis=1)


def _background(rng: np.random.Generator) -> np.ndarray:
    """A soft gradient between two muted colours, (64, 64, 3) floats."""
    one = rng.uniform(40, 180) + rng.uniform(-18, 18, 3)
    two = one * rng.uniform(0.6, 1.4) + rng.uniform(-10, 10, 3)
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[-1 : 1 : SIZE * 1j, -1 : 1 : SIZE * 1j]
    share = (1 + (x * np.cos(angle) + y * np.sin(angle)) / np.sqrt(2)) / 2
    return np.clip(one + share[..., None] * (two - one), 0, 255)
