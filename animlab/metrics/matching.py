"""The related ground truth: the real window, over all clips and offsets, that is nearest to an animation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..checks import check_frames, instance, whole
from ..datasets import Clips

BLOCK = 4
ROUNDING = 1e-4  # of |x|² + |y|²: the error of a float32 dot product of up to 1,600 terms is smaller, in any order
FRAMES_AT_ONCE = 512  # real frames at a time while their block means are computed: some 30 MB


@dataclass(frozen=True)
class Match:
    """The nearest real window.

    Attributes:
        clip: the clip it lies in, a row of clips.clips.
        start: its first frame, a row of clips.frames.
        mse: mean squared error over all frames, pixels and channels, in grey levels squared (0 to 65,025).
    """

    clip: int
    start: int
    mse: float


class Matcher:
    """Finds the window of real frames with the smallest mean squared error to an animation: exactly, yet quickly.

    Every clip and every offset is considered, except windows that would reach over the end of a clip. The distance
    between two frames is at least that between their 4×4 block means and the norms of what remains (the triangle
    inequality), so a matrix product 16 times smaller bounds all distances from below. Windows are then measured in the
    order of their bounds, until the next bound exceeds the smallest error found.

    Example:
        >>> match = Matcher(clips)(animation)                                  # animation: uint8 (T, H, W, C)
        >>> related = clips.frames[match.start : match.start + len(animation)]

    Args:
        clips: the real clips; H and W are multiples of 4.

    Raises:
        TypeError: These are not Clips.
        ValueError: The sides of the frames are not multiples of 4.
    """

    def __init__(self, clips: Clips) -> None:
        instance("Matcher looks through Clips, such as load_dataset gives", clips, Clips)
        self.clips = clips
        height, width, channels = clips.frames.shape[1:]
        self.bounds = np.empty((len(clips), height * width * channels // BLOCK**2 + 1), np.float32)
        for i in range(0, len(clips), FRAMES_AT_ONCE):
            self.bounds[i : i + FRAMES_AT_ONCE] = _bounds(clips.frames[i : i + FRAMES_AT_ONCE])
        self.squares = np.einsum("np,np->n", self.bounds, self.bounds)

    def __call__(self, animation: np.ndarray, without_take: int | None = None) -> Match:
        """The nearest window of as many frames as the animation has.

        Args:
            animation: (T, H, W, C) uint8, of the size of the real frames.
            without_take: a recording whose clips are left out, None for none.

        Raises:
            ValueError: The frames are not of this size, or no clip is long enough.
        """
        height, width, channels = self.clips.frames.shape[1:]
        check_frames(f"An animation to match with {self.clips!r}", animation, 1, (height, width), (channels,))
        length = len(animation)
        starts, owners = self._windows(length, without_take)
        mine = _bounds(animation)
        squares = np.einsum("tp,tp->t", mine, mine)
        cross = mine @ self.bounds.T  # (T, N)
        floor = np.zeros(len(starts))
        for t in range(length):
            both = self.squares[starts + t] + squares[t]
            floor += both - 2 * cross[t, starts + t] - ROUNDING * both
        best, nearest = -1, np.iinfo(np.int64).max
        for k in np.argsort(floor):
            if floor[k] > nearest:
                break
            error = _squared_error(animation, self.clips.frames[starts[k] : starts[k] + length])
            if error < nearest:
                best, nearest = int(k), error
        return Match(int(owners[best]), int(starts[best]), nearest / animation.size)

    def _windows(self, length: int, without_take: int | None) -> tuple[np.ndarray, np.ndarray]:
        """First frames of all windows, and the clips they lie in."""
        table = self.clips.clips
        rows = np.flatnonzero((table["length"] >= length) & (length > 0))
        if without_take is not None:
            rows = rows[table["take"][rows] != _take(without_take)]
        if not len(rows):
            raise ValueError(f"No clip of {self.clips!r} that may be matched is {length} frames long.")
        starts = [np.arange(table["start"][k], table["start"][k] + table["length"][k] - length + 1) for k in rows]
        return np.concatenate(starts), np.repeat(rows, [len(each) for each in starts])


def best_match(animation: np.ndarray, clips: Clips, without_take: int | None = None) -> Match:
    """The nearest real window of one animation; for many animations, make one Matcher.

    Args:
        animation: (T, H, W, C) uint8, of the size of the real frames.
        clips: the real clips.
        without_take: a recording whose clips are left out, None for none.
    """
    return Matcher(clips)(animation, without_take)


def nearest_frames(
    frames: np.ndarray, clips: Clips | Matcher, takes: Sequence[int] | np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The nearest real frame of each frame.

    Args:
        frames: (N, H, W, C) uint8.
        clips: where to search, or a Matcher made for them.
        takes: for each frame, a recording to leave out; None leaves out none.

    Returns:
        Its row in clips.frames (N,), and its mean squared error (N,) in grey levels squared.

    Raises:
        ValueError: The frames are not of this size, or `takes` are not N.
    """
    check_frames("What the nearest frames are looked for", frames, channels=())
    matcher = clips if isinstance(clips, Matcher) else Matcher(clips)
    left_out = left_out_takes(takes, len(frames))
    found = [matcher(frame[None], take) for frame, take in zip(frames, left_out)]
    return np.array([match.start for match in found]), np.array([match.mse for match in found])


@dataclass(frozen=True)
class Copying:
    """Whether samples copy the training data; see `copying`.

    Attributes:
        nearer: how often a sample is nearer to the training data than a held-out real frame is (ties count half), 0 to
            1; 0.5 without copying.
        ratio: median distance of samples over median distance of held-out frames, 0 upwards; about 1 without copying.
        samples: (N,) distances of the samples, in grey levels.
        held_out: (M,) distances of the held-out frames, in grey levels.
    """

    nearer: float
    ratio: float
    samples: np.ndarray
    held_out: np.ndarray


def copying(
    samples: np.ndarray,
    train: Clips | Matcher,
    held_out: np.ndarray,
    takes: Sequence[int] | np.ndarray | None = None,
) -> Copying:
    """Are samples nearer to the training frames than new real frames are?

    The distance is the root of the mean squared error to the nearest training frame. `nearer` is the Mann-Whitney U of
    the two sets of distances, divided by the number of pairs: 0.5 without copying, towards 1 with it. Blur lowers
    distances too, so a high value is a reason to look, not a proof; a low one clears a model of copying pixels, not of
    copying ideas.

    Source: Meehan, Chaudhuri and Dasgupta, A three-sample test to detect data-copying in generative models, 2020, here
    over the whole space as one cell.

    Args:
        samples: (N, H, W, C) uint8, what the model draws.
        train: the training clips, or a Matcher made for them.
        held_out: (M, H, W, C) uint8, real frames of other takes than the training's (`Clips.split`). If a model was
            trained on all of them, take frames of the training data and give their `takes`.
        takes: for each held-out frame, the recording to leave out for it, which is the one it is from; None leaves out
            none.

    Raises:
        ValueError: The frames are not of the training's size, or `takes` are not M.
    """
    from scipy.stats import mannwhitneyu

    matcher = train if isinstance(train, Matcher) else Matcher(train)
    mine = np.sqrt(nearest_frames(samples, matcher)[1])
    real = np.sqrt(nearest_frames(held_out, matcher, takes)[1])
    nearer = mannwhitneyu(real, mine).statistic / (len(mine) * len(real))
    middle = np.median(real)
    ratio = float(np.median(mine) / middle) if middle > 0 else float("nan")
    return Copying(float(nearer), ratio, mine, real)


def windows(clips: Clips, length: int, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draws random windows of real frames; every clip that is long enough is equally likely, and every offset in it.

    Args:
        clips: the real clips.
        length: frames in a window, at least 1.
        count: number of windows, at least 1; no clip is drawn twice if there are enough.
        rng: draws clips and offsets.

    Returns:
        The windows, (count, length, H, W, C) uint8, and the take of each, (count,).

    Raises:
        ValueError: No clip is long enough, or a number is out of range.
    """
    length, count = whole("length", length, 1), whole("count", count, 1)
    table = clips.clips
    rows = np.flatnonzero(table["length"] >= length)
    if not len(rows):
        raise ValueError(f"No clip of {clips!r} is {length} frames long.")
    chosen = rng.choice(rows, count, replace=count > len(rows))
    starts = table["start"][chosen] + rng.integers(table["length"][chosen] - length + 1)
    return np.stack([clips.frames[start : start + length] for start in starts]), table["take"][chosen]


def left_out_takes(takes: Sequence[int] | np.ndarray | None, count: int) -> list[int | None]:
    """Checks which recordings are not to be searched.

    Args:
        takes: a recording's number for each animation; None to search them all.
        count: number of animations.

    Returns:
        For each animation the recording that is not searched, or None.

    Raises:
        ValueError: There are more or fewer takes than animations, or one is negative.
    """
    if takes is None:
        return [None] * count
    if len(takes) != count:
        raise ValueError(f"takes must name a recording for each of {count:,} animations or frames, got {len(takes):,}.")
    return [_take(take) for take in takes]


def _take(take: int) -> int:
    return whole("A take, the number of a recording,", take, 0)


def _bounds(frames: np.ndarray) -> np.ndarray:
    """uint8 (N, H, W, C) → float32 (N, P + 1), whose distances are never above those of the frames.

    A frame is the sum of its 4×4 block means and an orthogonal rest. The means, times 4, keep their distances; of the
    rest only the norm is kept, and norms differ by no more than the vectors do.
    """
    n, height, width, channels = frames.shape
    if height % BLOCK or width % BLOCK:
        raise ValueError(f"Frames to match have sides that are multiples of {BLOCK}, got {height}×{width}.")
    rows = frames.reshape(n, height // BLOCK, BLOCK, width * channels).sum(axis=2, dtype=np.int32)
    sums = rows.reshape(n, height // BLOCK, width // BLOCK, BLOCK, channels).sum(axis=3).reshape(n, -1)
    squares = np.square(frames, dtype=np.uint16).reshape(n, -1).sum(axis=1, dtype=np.int64)
    rest = np.sqrt(
        squares - np.square(sums, dtype=np.int64).sum(axis=1) / BLOCK**2
    )  # whole numbers so far: never below 0
    middle = 128 * BLOCK**2  # products of smaller numbers have smaller rounding errors
    return np.concatenate([(sums - middle) / BLOCK, rest[:, None]], axis=1).astype(np.float32)


def _squared_error(a: np.ndarray, b: np.ndarray) -> int:
    difference = a.astype(np.int32) - b
    return int(np.einsum("thwc,thwc->", difference, difference, dtype=np.int64))
