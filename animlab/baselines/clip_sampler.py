"""Random clips and single frames of a data set, read from its memory map."""

from __future__ import annotations

import numpy as np
import torch

from ..datasets import Clips


class ClipSampler:
    """Draws training clips from the clips of a data set that are long enough.

    Attributes:
        categories: number of classes in the data set, at least 1.

    Args:
        clips: the data set.
        length: frames in a training clip.
        stride: a training clip takes every `stride`-th frame, from clips of at least `length` · `stride` frames.

    Raises:
        ValueError: No clip is long enough.
    """

    def __init__(self, clips: Clips, length: int, stride: int) -> None:
        kept = clips.clips[clips.clips["length"] >= length * stride]
        if len(kept) == 0:
            longest = max(clips.clips["length"], default=0)
            raise ValueError(
                f"{length} frames, every {stride}. of a clip, need clips of at least {length * stride} frames; "
                f"the longest of {clips.name!r} has {longest}."
            )
        self.frames, self.length, self.stride = clips.frames, length, stride
        self.starts, self.lengths = kept["start"], kept["length"]
        names, self.classes = np.unique(kept["class"], return_inverse=True)
        self.categories = len(names)
        self.rows = np.concatenate([np.arange(row["start"], row["start"] + row["length"]) for row in kept])

    def draw(self, n: int, rng: torch.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Draws windows of clips, first the clip, then the offset in it.

        Args:
            n: number of windows.
            rng: source of randomness.

        Returns:
            The windows, (n, length, 64, 64, C) uint8, and the index of each one's class, (n,).
        """
        chosen = _integers(len(self.starts), n, rng)
        offsets = self.lengths[chosen] - self.stride * (self.length - 1)  # how many places a window can begin at
        begin = self.starts[chosen] + (_uniform(n, rng) * offsets).astype(int)
        return self.frames[begin[:, None] + self.stride * np.arange(self.length)], self.classes[chosen]

    def draw_frames(self, n: int, rng: torch.Generator) -> np.ndarray:
        """Draws single frames of these clips.

        Args:
            n: number of frames.
            rng: source of randomness.

        Returns:
            (n, 64, 64, C) uint8.
        """
        return self.frames[self.rows[_integers(len(self.rows), n, rng)]]


def _integers(high: int, n: int, rng: torch.Generator) -> np.ndarray:
    return torch.randint(high, (n,), generator=rng, device=rng.device).cpu().numpy()


def _uniform(n: int, rng: torch.Generator) -> np.ndarray:
    return torch.rand(n, generator=rng, device=rng.device, dtype=torch.float64).cpu().numpy()
