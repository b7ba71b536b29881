"""`Clips`: the frames of a data set and the table that says which frames belong to which clip."""

from __future__ import annotations

from dataclasses import dataclass, field
from numbers import Real

import numpy as np

from ..checks import check_frames, seed_of, shown
from .cache import copy_frames
from .source import Skipped


@dataclass(frozen=True, eq=False, repr=False)
class Clips:
    """The frames of many clips, one after the other, and a table with a row for each clip.

    Example:
        >>> first = clips.clips[0]
        >>> clips.frames[first["start"] : first["start"] + first["length"]]      # the first clip, (T, 64, 64, C) uint8

    Args:
        frames: (N, 64, 64, C) uint8, values 0 to 255. From `load_dataset` a read-only memory map: index it, and only
            the frames asked for are read from disk.
        clips: structured array with a row for each clip: `start` and `length` (int64, in frames), `class` (str, "" if
            unknown) and `take` (int64); clips with the same take show the same recording.
        name: the registered name, such as "actions" or "actions-synthetic".
        factors: true values for each frame, name -> (N,) array, if the frames were rendered; {} for real data.
        skipped: the files that were left out of your own folder, as (name, reason) pairs.
    """

    frames: np.ndarray
    clips: np.ndarray
    name: str
    factors: dict[str, np.ndarray] = field(default_factory=dict)
    skipped: tuple[Skipped, ...] = ()

    @classmethod
    def single(cls, frames: np.ndarray) -> Clips:
        """Makes a data set of frames that are one clip, of no class.

        Example:
            >>> clips = Clips.single(model.animate())

        Args:
            frames: (N, 64, 64, C) uint8, values 0 to 255, C 1 or 3. They are not copied.

        Returns:
            The frames and a table of one row; the set's name is "single".

        Raises:
            ValueError: The frames have another shape or dtype, or there are none.
        """
        check_frames("frames", frames, size=(64, 64))
        row = [(0, len(frames), "", 0)]
        table = np.array(row, [("start", "i8"), ("length", "i8"), ("class", "U1"), ("take", "i8")])
        return cls(frames, table, "single")

    def __len__(self) -> int:
        """The number of frames."""
        return len(self.frames)

    def __repr__(self) -> str:
        height, width, channels = self.frames.shape[1:]
        return f"Clips({self.name!r}: {len(self.clips)} clips, {len(self)} frames of {height}x{width}x{channels})"

    def split(self, held_out: float = 0.1, seed: int = 0) -> tuple[Clips, Clips]:
        """Splits the clips into a training and a test part by recording, evenly over the classes.

        Neighbouring frames are near-duplicates, and so are the clips of one take, so whole takes are held out: a split
        by frame would test on pictures that are almost in the training part. Both parts are copies, on disk (together
        as large as the set), so that their frames are contiguous from 0 on.

        Args:
            held_out: fraction of the takes to hold out, between 0 and 1; at least one take is in either part.
            seed: the same seed gives the same split.

        Returns:
            The training part and the test part.

        Raises:
            ValueError: held_out is out of range, or there are fewer than two takes.
        """
        seed = seed_of(seed)
        if not isinstance(held_out, Real) or not 0 < held_out < 1:
            raise ValueError(
                f"held_out must lie between 0 and 1 (the share of clips to test on), got {shown(held_out)}."
            )
        takes, first = np.unique(self.clips["take"], return_index=True)
        if len(takes) < 2:
            raise ValueError(f"{self!r} cannot be split: it needs two clips or more that are not copies of each other.")
        shuffled = np.random.default_rng(seed).permutation(len(takes))
        by_class = shuffled[np.argsort(self.clips["class"][first[shuffled]], kind="stable")]
        count = min(max(1, round(held_out * len(takes))), len(takes) - 1)
        # Evenly spaced picks from a list that is sorted by class take the same share of every class.
        picks = ((np.arange(count) + 0.5) * len(takes) / count).astype(int)
        test = np.isin(self.clips["take"], takes[by_class[picks]])
        return self.only(~test), self.only(test)

    def only(self, keep: np.ndarray) -> Clips:
        """Selects some of the clips; their frames are copied, on disk.

        Example:
            >>> bends = clips.only(clips.clips["class"] == "bend")

        Args:
            keep: (number of clips,) bool.

        Raises:
            ValueError: `keep` has another shape or dtype, or selects no clip.
        """
        keep = np.asarray(keep)
        if keep.dtype != bool or keep.shape != self.clips.shape or not keep.any():
            raise ValueError(
                f"only takes a true or false for each of the {len(self.clips)} clips, at least one of them true, "
                f"got {keep.dtype} of shape {keep.shape}, {np.count_nonzero(keep)} of them true."
            )
        table = self.clips[keep]
        spans = [slice(start, start + length) for start, length in zip(table["start"], table["length"])]
        table["start"] = np.cumsum(table["length"]) - table["length"]
        factors = {name: np.concatenate([values[span] for span in spans]) for name, values in self.factors.items()}
        return Clips(copy_frames(self.frames, spans), table, self.name, factors)
