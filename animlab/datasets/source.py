"""What a data set has to provide: where its clips are, and how to read them one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

SIZE = 64  # every frame is 64 x 64: the size the paper's networks are drawn for


class Clip(NamedTuple):
    """One clip, before it is written to a prepared cache.

    Args:
        frames: (T, 64, 64, C) uint8.
        label: the class name, "" if it is unknown.
        take: number of the recording that the clip comes from; clips of one take (a clip and its mirrored copy, say)
            stay together in a split. None: the clip has its own take.
        factors: what the renderer knows about each frame, name -> (T,) array. Every clip of a set has the same names.
    """

    frames: np.ndarray
    label: str = ""
    take: int | None = None
    factors: Mapping[str, np.ndarray] = MappingProxyType({})


class Skipped(NamedTuple):
    """A file that was left out, completely or in part.

    Args:
        name: of the file.
        reason: in a few words.
    """

    name: str
    reason: str


class Passing(Skipped):
    """A file that was left out because the machine failed, not the file; the prepared set is not kept then."""


@dataclass(frozen=True)
class Source:
    """Clips that can be read, and the files that they depend on.

    Args:
        files: what the clips are made from (for a synthetic set, the renderer itself); a change in any makes a new
            cache.
        count: number of clips that `read` will yield, for the progress bar.
        read: starts reading; yields one `Clip` at a time, so that no set has to fit in memory, and a `Skipped` for each
            file that it could not read.
        settings: what else the clips depend on; a change makes a new cache as well.
    """

    files: tuple[Path, ...]
    count: int
    read: Callable[[], Iterator[Clip | Skipped]]
    settings: str = ""


@dataclass(frozen=True)
class DataSet:
    """One entry of the registry.

    Args:
        expects: what `find` looks for, in words, for error messages.
        find: finds the real files in a folder; gives None if there are none.
        synthetic: the synthetic version that the project renders itself; None if there is none.
        find_cropped: as `find`, but with the pictures cropped to what moves in them; None if there is nothing to crop.
        fetch: downloads the published files and returns a folder for `find`; called with whether to show a progress
            bar. Raises FetchError. None if readers have to get them themselves, because they are large or require
            consent to their terms.
    """

    expects: str
    find: Callable[[Path], Source | None]
    synthetic: Callable[[], Source] | None
    find_cropped: Callable[[Path], Source | None] | None = None
    fetch: Callable[[bool], Path] | None = None
