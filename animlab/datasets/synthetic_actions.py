"""The synthetic `actions`: a jointed figure that waves, does jumping jacks and bends, with known angles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .drawing import X, Y, capsule, coverage, paint, smooth_noise, window
from .source import SIZE, Clip, Source

CLASSES = ("wave one hand", "wave two hands", "jumping jack", "bend")
CLIPS = 64

# Lengths and radii of the body in pixels, for a figure of size 1.
TORSO, NECK, HEAD = 14.0, 5.6, 3.5
SHOULDER, HIP = 4.0, 2.4  # half the distance between the joints, seen from the front
ARM, FOREARM, LEG = 7.2, 6.8, 17.0
ARM_RADIUS, LEG_RADIUS, TORSO_RADIUS = 1.7, 2.2, 3.7


@dataclass(frozen=True)
class Pose:
    """A clip's joint angles in degrees and positions in pixels, each a (T,) array.

    Attributes:
        phase: 0 to 1 through a cycle.
        left_arm: of the arm on the picture's left: 0 hangs down, 90 points sideways (forward, on a figure seen from the
            side), 180 points up.
        right_arm: of the arm on the picture's right, likewise.
        leg: of either leg, away from the vertical.
        bend: of the trunk, positive to the right.
        x: column of the middle of the hips.
        y: row of the middle of the hips.
    """

    phase: np.ndarray
    left_arm: np.ndarray
    right_arm: np.ndarray
    leg: np.ndarray
    bend: np.ndarray
    x: np.ndarray
    y: np.ndarray


def actions_stand_in() -> Source:
    """The synthetic version: 64 rendered clips of 32 frames, always the same ones."""
    return Source((Path(__file__), Path(__file__).with_name("drawing.py")), CLIPS, render_actions)


def render_actions(clips: int = CLIPS, length: int = 32, seed: int = 0) -> Iterator[Clip]:
    """Renders clips of an acting figure; the classes alternate.

    Figure, clothes, wall, position and pace are random for each clip.

    Args:
        clips: number of clips.
        length: frames in a clip.
        seed: the same seed gives the same clips.

    Yields:
        Clips, uint8 (length, 64, 64, 3), with factors, each (length,) float32, class (index into CLASSES), size (1 is
        40 pixels tall) and the fields of `Pose`.
    """
    for index in range(clips):
        rng = np.random.default_rng([seed, index])
        action = index % len(CLASSES)
        size = rng.uniform(0.92, 1.08)
        floor = rng.uniform(55, 59)
        pose = _move(rng, CLASSES[action], length, size, floor)
        frames = np.repeat(_room(rng, floor)[None], length, axis=0)
        _draw_figure(rng, frames, pose, size, floor, CLASSES[action])
        factors = {"class": np.full(length, action, np.float32), "size": np.full(length, size, np.float32)}
        yield Clip(np.rint(np.clip(frames, 0, 255)).astype(np.uint8), CLASSES[action], factors=factors | vars(pose))


def _move(rng: np.random.Generator, action: str, length: int, size: float, floor: float) -> Pose:
    """The pose over a clip: everything swings, with 0 at the start of a cycle and 1 in its middle."""
    period = rng.uniform(28, 36) if action == "bend" else rng.uniform(12, 20)
    phase = (rng.uniform() + np.arange(length) / period) % 1
    swing = (1 - np.cos(2 * np.pi * phase)) / 2
    rest = np.full(length, rng.uniform(4, 10))
    still = np.zeros(length)
    left_arm, right_arm, leg, bend, lift = rest, rest, np.full(length, 3.0), still, still
    if action == "wave one hand":
        wave = rng.uniform(75, 90) + swing * rng.uniform(65, 75)
        left_arm, right_arm = (wave, rest) if rng.integers(2) else (rest, wave)
    elif action == "wave two hands":
        left_arm = right_arm = rng.uniform(75, 90) + swing * rng.uniform(65, 75)
    elif action == "jumping jack":
        left_arm = right_arm = 10 + swing * rng.uniform(150, 160)
        leg = 3 + swing * rng.uniform(18, 24)
        lift = 3 * np.sin(2 * np.pi * phase) ** 2  # off the ground between standing and straddling
    else:
        bend = (5 + swing * rng.uniform(85, 105)) * rng.choice([-1, 1])
        left_arm = right_arm = 5 + swing * rng.uniform(5, 15)
    x = SIZE / 2 + rng.uniform(-5, 5) - 3 * np.sin(np.radians(bend))  # the hips go back as the head goes forward
    y = floor - lift - size * LEG * np.cos(np.radians(leg))  # feet on the floor
    joined = phase, left_arm, right_arm, leg, bend, x, y
    return Pose(*(values.astype(np.float32) for values in joined))


def _draw_figure(
    rng: np.random.Generator, frames: np.ndarray, pose: Pose, size: float, floor: float, action: str
) -> None:
    """Draws the figure into `frames`, (T, 64, 64, 3) floats, from back to front."""
    skin = np.array([205.0, 160, 135]) * rng.uniform(0.5, 1.1)
    hair = np.array([70.0, 50, 40]) * rng.uniform(0.4, 1.3)
    shirt = rng.uniform(20, 70) + rng.uniform(0, 90, 3)
    trousers = rng.uniform(20, 60) + np.array([0, 10, 35]) * rng.uniform(0, 2)
    shoes = np.full(3, 35.0)

    def limb(start: np.ndarray, end: np.ndarray, radius: float, colour: np.ndarray) -> None:
        rows, columns = window(np.stack([start, end]), radius * size + 1)
        distance = capsule(start, end, radius * size, (rows, columns))
        light = 0.75 + 0.25 * np.clip(-distance / (radius * size), 0, 1)  # darker towards the edge, as if round
        paint(frames[:, rows, columns], coverage(distance), light[..., None] * colour)

    facing = int(np.sign(pose.bend[0]))  # 0 to the front, -1 or 1 for a figure seen from the side
    breadth = 0.3 if facing else 1.0
    hips = np.stack([pose.x, pose.y], axis=1)
    neck = hips + size * TORSO * _direction(180 - pose.bend)
    head = neck + size * NECK * _direction(180 - 1.15 * pose.bend)
    across = breadth * size * _direction(90 - pose.bend)

    def arm(side: int) -> None:
        angle, forward = (pose.left_arm if side < 0 else pose.right_arm), facing or side
        # A waving hand passes over the head: the higher the arm, the more the elbow bends.
        elbow = (15 if action == "jumping jack" else 60) * np.clip((angle - 105) / 45, 0, 1)
        shoulder = neck + side * SHOULDER * across
        elbow_at = shoulder + size * ARM * _direction(forward * angle)
        hand = elbow_at + size * FOREARM * _direction(forward * (angle + elbow))
        limb(elbow_at, hand, ARM_RADIUS * 0.85, shirt)
        limb(hand, hand, ARM_RADIUS * 0.95, skin)
        limb(shoulder, elbow_at, ARM_RADIUS, shirt)

    stride = 4 + size * LEG * np.sin(np.radians(pose.leg))
    left, right = (np.stack([pose.x + dx, np.full_like(dx, floor + 1)], axis=1) for dx in (-stride, stride))
    paint(frames, 0.3 * coverage(capsule(left, right, 1.5)), np.zeros(3))  # the shadow
    if facing:
        arm(-1)  # seen from the side, one arm is behind the body
    for side in (-1, 1):
        hip = hips + np.array([side * breadth * HIP * size, 0])
        foot = hip + size * (LEG - 1) * _direction(side * pose.leg)
        limb(foot, foot + np.array([2.2 * size * (facing or side * 0.5), 0]), 1.3, shoes)
        limb(hip, foot - np.array([0, 1.5 * size]), LEG_RADIUS, trousers)
    limb(hips - HIP * across * 0.5, hips + HIP * across * 0.5, TORSO_RADIUS * 0.85, trousers)
    limb(neck + (hips - neck) * 0.1, neck + (hips - neck) * 0.8, TORSO_RADIUS, shirt)
    limb(neck - SHOULDER * 0.8 * across, neck + SHOULDER * 0.8 * across, 2.2, shirt)
    limb(neck, head, 1.3, skin)
    limb(head, head, HEAD, skin)
    crown = head + size * 1.3 * _direction(180 - 1.15 * pose.bend) - 1.5 * facing * across
    limb(crown - 0.6 * across, crown + 0.6 * across, HEAD * 0.7, hair)
    for side in (-1, 1):
        if not (facing and side < 0):
            arm(side)


def _direction(angle: np.ndarray) -> np.ndarray:
    """Unit vectors, (T, 2), at an angle in degrees from straight down: 90 is the picture's right, -90 its left."""
    radians = np.radians(angle)
    return np.stack([np.sin(radians), np.cos(radians)], axis=1)


def _room(rng: np.random.Generator, floor: float) -> np.ndarray:
    """An empty room, (64, 64, 3) floats: a pale wall of bricks, planks or plaster, and a floor."""
    tint = np.array([165.0, 155, 150]) + rng.uniform(-16, 16, 3)
    texture = (_bricks, _planks, _plaster)[rng.integers(3)](rng)
    wall = tint * (1 + texture + 0.04 * smooth_noise(rng, 32, 32))[..., None]
    ground = tint * rng.uniform(0.55, 0.75) * (1 + 0.06 * smooth_noise(rng, 64, 10))[..., None]
    on_floor = np.clip(Y - (floor - 3.5), 0, 1)[..., None]
    return ((1 - on_floor) * wall + on_floor * ground).astype(np.float32)


def _bricks(rng: np.random.Generator) -> np.ndarray:
    """Relative brightness, (64, 64), of rows of bricks with light joints."""
    height, width = rng.integers(5, 8), rng.integers(10, 15)
    row = (Y // height).astype(int)
    along = X + (row % 2) * (width // 2)
    tone = rng.uniform(-0.12, 0.06, (SIZE, SIZE))[row, (along // width).astype(int)]
    return np.where((Y % height < 1) | (along % width < 1), 0.1, tone)


def _planks(rng: np.random.Generator) -> np.ndarray:
    """Relative brightness, (64, 64), of upright planks with dark gaps and a grain."""
    width = rng.integers(6, 12)
    tone = rng.uniform(-0.1, 0.06, SIZE)[(X // width).astype(int)] + 0.06 * smooth_noise(rng, 6, 48)
    return np.where(X % width < 1, -0.22, tone)


def _plaster(rng: np.random.Generator) -> np.ndarray:
    """Relative brightness, (64, 64), of streaky plaster, darker below as on the wall of the real set."""
    return 0.07 * smooth_noise(rng, 5, 16) + 0.05 * smooth_noise(rng, 14, 24) - 0.15 / (1 + np.exp((34 - Y) / 2))
