"""Moving MNIST: two handwritten digits that cross a 64x64 frame in straight lines and bounce off its walls.

Srivastava, Mansimov and Salakhutdinov, "Unsupervised Learning of Video Representations using LSTMs", ICML 2015. Read
from the file that they published (`mnist_test_seq.npy`, which torchvision.datasets.MovingMNIST downloads), or made from
MNIST's digits by the rule of their generator:

- a position is a point (x, y) of the unit square, which maps to the 36 x 36 corners where a digit of 28 still fits in;
- it starts anywhere in the square and heads anywhere, both uniformly, by a tenth of the square's side per frame;
- the first frame shows it one step after the start;
- a step that ends on or beyond a wall ends on the wall instead, and the velocity across that wall changes its sign;
- corners are rounded down to whole pixels, and where digits overlap the brighter pixel is seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .digits import DIGIT_SIZE, fetch_digits, find_digits, read_digits
from .files import check_file, is_file
from .source import SIZE, Clip, DataSet, Source
from .strokes import synthetic_digits

CLIPS, STAND_IN_CLIPS = 10_000, 600
LENGTH = 20
DIGITS = 2
STEP = 0.1  # of the square's side, a frame: 3.6 pixels
ROOM = SIZE - DIGIT_SIZE  # pixels that a digit's corner may move in
PUBLISHED = ("mnist_test_seq.npy", "MovingMNIST/mnist_test_seq.npy")  # as downloaded; where torchvision puts it
BLOCK = 250  # clips of the published file that are mapped into memory at once, 20 MB


def find_moving_mnist(root: Path) -> Source | None:
    """Finds the published clips in a folder, else MNIST's digits to make 10,000 clips from.

    Args:
        root: the folder.

    Returns:
        The clips, or None if there is neither.
    """
    published = next((root / name for name in PUBLISHED if is_file(root / name)), None)
    if published:
        return Source((published,), _open_published(published).shape[1], lambda: _read_published(published))
    pairs = find_digits(root)
    if not pairs:
        return None
    files = tuple(file for pair in pairs for file in pair)
    return Source(files, CLIPS, lambda: render_moving_digits(*read_digits(pairs)))


def moving_mnist_stand_in() -> Source:
    """The synthetic version: 600 clips of 20 frames of digits drawn by the library, always the same ones."""
    files = tuple(Path(__file__).with_name(name) for name in ("moving_mnist.py", "strokes.py", "drawing.py"))
    return Source(files, STAND_IN_CLIPS, lambda: render_moving_digits(*synthetic_digits(2_000), STAND_IN_CLIPS))


def render_moving_digits(
    images: np.ndarray, labels: np.ndarray, clips: int = CLIPS, length: int = LENGTH, seed: int = 0
) -> Iterator[Clip]:
    """Moves two digits by the published rule, which the top of this module states.

    Args:
        images: (N, 28, 28) uint8, digits to draw from, as `load_digits` gives them.
        labels: (N,) int64, 0 to 9.
        clips: number of clips.
        length: frames in a clip.
        seed: the same seed gives the same clips.

    Yields:
        Clips, uint8 (length, 64, 64, 1), whose class is the two digits, the smaller one first ("3 7"). Their factors,
        each (length,) float32, are for j = 1 and 2 digit_j (0 to 9), x_j and y_j (centre of the digit's 28x28 square,
        pixels), vx_j and vy_j (its velocity after the frame, pixels per frame).
    """
    for index in range(clips):
        rng = np.random.default_rng([seed, index])
        chosen = rng.integers(len(images), size=DIGITS)
        places, velocities = bounce(rng, DIGITS, length)
        corners = (places * ROOM).astype(int)
        frames = np.zeros((length, SIZE, SIZE), np.uint8)
        for image, way in zip(images[chosen], corners):
            for frame, (left, top) in zip(frames, way):
                under = frame[top : top + DIGIT_SIZE, left : left + DIGIT_SIZE]
                np.maximum(under, image, out=under)

        factors: dict[str, np.ndarray] = {}
        for j, digit in enumerate(labels[chosen]):
            x, y = corners[j].T + (DIGIT_SIZE - 1) / 2
            vx, vy = velocities[j].T * ROOM
            of_digit = {"digit": np.full(length, digit), "x": x, "y": y, "vx": vx, "vy": vy}
            factors |= {f"{name}_{j + 1}": values.astype(np.float32) for name, values in of_digit.items()}
        yield Clip(frames[..., None], " ".join(map(str, sorted(labels[chosen]))), factors=factors)


def bounce(rng: np.random.Generator, count: int, length: int = LENGTH) -> tuple[np.ndarray, np.ndarray]:
    """Moves points through the unit square by the published rule.

    Args:
        rng: source of randomness.
        count: number of points.
        length: number of frames.

    Returns:
        Positions, 0 to 1, and velocities after each frame, in sides of the square per frame; (count, length, 2) each, x
        before y.
    """
    place = rng.random((count, 2))
    angle = 2 * np.pi * rng.random(count)
    velocity = STEP * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    places, velocities = np.empty((2, count, length, 2))
    for t in range(length):
        place = place + velocity
        velocity = np.where((place <= 0) | (place >= 1), -velocity, velocity)
        place = np.clip(place, 0, 1)
        places[:, t], velocities[:, t] = place, velocity
    return places, velocities


def _read_published(path: Path) -> Iterator[Clip]:
    """The clips of the published file, whose first axis is time; it does not say which digits they show."""
    count = _open_published(path).shape[1]
    for start in range(0, count, BLOCK):
        clips = _open_published(path)  # opened again for each block, which frees the pages read so far
        for index in range(start, min(start + BLOCK, count)):
            yield Clip(clips[:, index, ..., None])


def _open_published(path: Path) -> np.ndarray:
    """Maps the published file into memory, uint8 (T, N, 64, 64); ValueError if it is another."""
    check_file(path)
    size = path.stat().st_size
    try:
        clips = np.lib.format.open_memmap(path, mode="r")
    except Exception as error:  # NumPy lets through whatever Python's tokenizer and parser say of a header
        raise ValueError(f"{path} is not a complete .npy file ({size} bytes): get it again.") from error
    if clips.dtype != np.uint8 or clips.ndim != 4 or clips.shape[2:] != (SIZE, SIZE) or not clips.size:
        raise ValueError(
            f"{path} holds {clips.dtype} {clips.shape}, but Moving MNIST is uint8 (20, 10000, {SIZE}, {SIZE}), frames "
            "before clips: get it again."
        )
    return clips


DATA_SET = DataSet(
    expects="mnist_test_seq.npy, or MNIST's digits to make it from (t10k-images-idx3-ubyte.gz and its labels)",
    find=find_moving_mnist,
    synthetic=moving_mnist_stand_in,
    fetch=fetch_digits,  # the published clips are 820 MB: get them by hand
)
