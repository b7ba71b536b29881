"""Data sets by name: `load_dataset("actions")`.

Each set has a loader for the real files and a synthetic version that the project renders itself, so that every notebook
runs without a download; "owls" is always rendered, and "folder" reads your own pictures and videos. To add a set, write
a module with a `DATA_SET` (see `source.py`) and add its name to `REGISTRY`.
"""

from __future__ import annotations

import os
import warnings
from collections import UserDict
from importlib import import_module
from pathlib import Path

from .cache import data_folder, prepared
from .clips import Clips
from .fetch import FetchError
from .source import Clip, DataSet, Source

__all__ = ["REGISTRY", "Clip", "Clips", "DataSet", "SkippedWarning", "Source", "StandInWarning", "load_dataset"]


class Registry(UserDict[str, DataSet]):
    """Data sets by name. A set's module is imported on first use, because some take SciPy along.

    Args:
        *names: the names; that of the module with a - for each _.
    """

    def __init__(self, *names: str) -> None:
        super().__init__()
        self.data = dict.fromkeys(names)  # type: ignore[assignment]

    def __getitem__(self, name: str) -> DataSet:
        if self.data[name] is None:
            self.data[name] = import_module(f".{name.replace('-', '_')}", __name__).DATA_SET
        return self.data[name]


REGISTRY = Registry("actions", "shapes", "moving-mnist", "faces3d", "celeba", "owls", "folder")
SYNTHETIC = "-synthetic"


class StandInWarning(UserWarning):
    """Synthetic frames were loaded because the real ones were not found."""


class SkippedWarning(UserWarning):
    """Some of your own files could not be read, or not completely."""


def load_dataset(
    name: str, root: str | os.PathLike[str] | None = None, progress: bool = True, *, crop: bool = False
) -> Clips:
    """Loads a data set by name. On first use it is prepared, which takes seconds, or minutes for the largest.

    Example:
        >>> clips = load_dataset("actions")
        >>> train, test = clips.split(held_out=0.1)
        >>> mine = load_dataset("folder", root="holiday.zip")       # your own pictures and videos: see `folder.py`

    Args:
        name: a name in `REGISTRY`, or the same with "-synthetic" for the synthetic version, which needs no files. A
            plain name falls back to the synthetic version, with a `StandInWarning`, if no real files are found.
            "folder" reads what is in `root`, has no synthetic version, and leaves out what it cannot read, with a
            `SkippedWarning`.
        root: the folder with the real files. None looks in `$ANIMLAB_DATA`, then in `data/`; after that "actions",
            "shapes" and "faces3d", and the digits of "moving-mnist", are downloaded, once, unless `ANIMLAB_OFFLINE=1`.
            A synthetic version reads no files and ignores root.
        progress: whether to show a progress bar while the set is prepared.
        crop: whether to crop the Weizmann videos of "actions" to the person, instead of squeezing the whole picture
            into a square.

    Returns:
        Frames and the table of clips.

    Raises:
        ValueError: The name is unknown, or a file is damaged or not a regular file.
        FileNotFoundError: `root` holds no such data.
        OSError: The disk is full or fails.
        MemoryError: There is not enough memory.
        RuntimeError: A video needs an ffmpeg that is missing or too old.
    """
    plain = name.removesuffix(SYNTHETIC) if isinstance(name, str) else ""
    entry = REGISTRY.get(plain)
    if entry is None or (entry.synthetic is None and name != plain):
        endings = {each: ("", SYNTHETIC) if one.synthetic else ("",) for each, one in REGISTRY.items()}
        known = ", ".join(repr(each + ending) for each in REGISTRY for ending in endings[each])
        raise ValueError(f"There is no data set {name!r}: choose one of {known}.")
    if crop and (entry.find_cropped is None or name != plain):
        croppable = ", ".join(repr(each) for each, one in REGISTRY.items() if one.find_cropped is not None)
        raise ValueError(f"crop=True cuts videos to the person in them, which only {croppable} has, not {name!r}.")
    if name != plain:
        source = None
    elif root is not None:
        source = _find_in(Path(root).expanduser(), name, entry, crop)
    else:
        source = _find_anywhere(name, entry, crop, progress)
    if source is None:
        assert entry.synthetic is not None, "what has no stand-in was found or has raised an error"
        name, source = plain + SYNTHETIC, entry.synthetic()
    frames, table, factors, skipped = prepared(name, source, progress)
    if skipped:
        from .folder import describe  # which has read the files

        count = f"{len(skipped):,} file{'s were' if len(skipped) > 1 else ' was'}"
        warnings.warn(
            f"{count} left out, wholly or in part: {describe(skipped)}; clips.skipped lists all.",
            SkippedWarning,
            stacklevel=2,
        )
    return Clips(frames, table, name, factors, skipped)


def _find_in(root: Path, name: str, entry: DataSet, crop: bool) -> Source:
    """The real files of a set in a folder that the caller named; FileNotFoundError if there are none."""
    source = entry.find_cropped(root) if crop and entry.find_cropped else entry.find(root)
    if source is None:
        what = "videos to crop" if crop else f"{name!r} data"
        raise FileNotFoundError(
            f"No {what} in {os.fspath(root)!r}, which should hold {entry.expects}: data/README.md says "
            f"where to get them, and load_dataset({name + SYNTHETIC!r}) needs no files."
        )
    return source


def _find_anywhere(name: str, entry: DataSet, crop: bool, progress: bool) -> Source | None:
    """The real files of a set from the usual folders, else downloaded, else None after a warning."""
    if entry.synthetic is None:
        raise ValueError(f"load_dataset({name!r}) needs root=…, the path of {entry.expects}.")
    chosen = os.environ.get("ANIMLAB_DATA")
    folders = ([Path(chosen).expanduser()] if chosen else []) + [data_folder()]
    for place in folders:
        source = entry.find_cropped(place) if crop and entry.find_cropped else entry.find(place)
        if source is not None:
            return source
    places = " or ".join(map(str, folders))
    if crop:  # strips, downloaded or rendered, do not show the whole person
        raise FileNotFoundError(f"No videos to crop in {places}: data/README.md says where to get {name!r} as videos.")
    reason = ""
    if entry.fetch is not None:
        try:
            return entry.find(entry.fetch(progress))
        except FetchError as error:
            reason = f", and none could be downloaded ({error})"
    warnings.warn(
        f"No {name!r} data in {places} ({entry.expects}){reason}. The synthetic data set {name + SYNTHETIC!r} is "
        "used instead; data/README.md says how to get the real files.",
        StandInWarning,
        stacklevel=3,
    )
    return None
