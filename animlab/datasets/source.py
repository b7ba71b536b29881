"""What a data set has to offer: where its clips are, and how to read them one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

SIZE = 64  # every frame is 64 x 64: the size the paper's networks are drawn for


class Clip(NamedTuple):
    """One clip on its way into a prepared cache.

    frames: uint8 (T, 64, 64, C).
    label: the class name, "" where it is unknown.
    take: number of the recording that the clip comes from; clips of one take (a clip and its mirrored copy, say) stay
        together in a split. None: the clip is a take of its own.
    factors: what the renderer knows about each frame, name -> (T,) array. Every clip of a set has the same names.
    """

    frames: np.ndarray
    label: str = ""
    take: int | None = None
    factors: Mapping[str, np.ndarray] = MappingProxyType({})


class Skipped(NamedTuple):
    """A file that was left out, wholly or in part, and the reason in a few words."""

    name: str
    reason: str


class Passing(Skipped):
    """What was left out because the machine failed, not the file: frames without it are not kept for the next time."""


@dataclass(frozen=True)
class Source:
    """Clips that can be read, and the files they depend on.

    files: what the clips are made from (for a stand-in, the renderer itself); a change in any makes a new cache.
    count: number of clips that `read` will yield (for the progress bar).
    read: start reading; yields one `Clip` at a time, so that no set has to fit in memory, and a `Skipped` for what it
        could not read but the reader should know of.
    settings: what else the clips depend on; a change makes a new cache as well.
    """

    files: tuple[Path, ...]
    count: int
    read: Callable[[], Iterator[Clip | Skipped]]
    settings: str = ""


@dataclass(frozen=True)
class DataSet:
    """One entry of the registry.

    expects: what `find` looks for, in words, for error messages.
    find: the real files in a folder, or None where there are none.
    synthetic: the stand-in that the project renders itself; None where there is nothing to stand in for.
    find_cropped: as `find`, but with the pictures cut to what moves in them. None where there is nothing to cut.
    fetch: download the published files and return a folder for `find`; called with whether to show a progress bar.
        Raises FetchError. None where the reader has to get them: they are large, or ask for consent to their terms.
    """

    expects: str
    find: Callable[[Path], Source | None]
    synthetic: Callable[[], Source] | None
    find_cropped: Callable[[Path], Source | None] | None = None
    fetch: Callable[[bool], Path] | None = None
