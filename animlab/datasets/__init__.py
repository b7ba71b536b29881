"""Data sets by name: `load_dataset("actions")`.

Each set has a loader for the real files and a stand-in that the project renders itself, so every notebook runs
without a download. To add a set, write a module with a `DATA_SET` (see `source.py`) and name it in `REGISTRY`.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path

from . import actions, moving_mnist, shapes
from .cache import data_folder, prepared
from .clips import Clips
from .fetch import FetchError
from .source import Clip, DataSet, Source

__all__ = ["REGISTRY", "Clip", "Clips", "DataSet", "Source", "StandInWarning", "load_dataset"]

REGISTRY: dict[str, DataSet] = {
    "actions": actions.DATA_SET,
    "shapes": shapes.DATA_SET,
    "moving-mnist": moving_mnist.DATA_SET,
}
SYNTHETIC = "-synthetic"


class StandInWarning(UserWarning):
    """Rendered frames were loaded because the real ones are not there."""


def load_dataset(name: str, root: str | os.PathLike[str] | None = None, progress: bool = True) -> Clips:
    """Load a data set by name; prepare it on first use, which takes seconds, or a minute for the largest.

    >>> clips = load_dataset("actions")
    >>> train, test = clips.split(held_out=0.1)

    name: a name in `REGISTRY` ("actions", "shapes"), or the same with "-synthetic" for the stand-in, which needs no
        files. A plain name falls back to its stand-in, with a `StandInWarning`, where no real files are found.
    root: the folder with the real files. None looks in `$ANIMLAB_DATA`, then in `data/`; then "actions" and "shapes"
        are downloaded, once, unless `ANIMLAB_OFFLINE=1`. A stand-in reads no files and takes no notice of root.
    progress: show a progress bar while the set is prepared.

    Raises ValueError for an unknown name and for damaged files, FileNotFoundError where `root` holds no such data.
    """
    plain = name.removesuffix(SYNTHETIC)
    if plain not in REGISTRY:
        known = ", ".join(f"{each!r}, {each + SYNTHETIC!r}" for each in REGISTRY)
        raise ValueError(f"there is no data set {name!r}; choose one of {known}")
    entry = REGISTRY[plain]
    source = None if name.endswith(SYNTHETIC) else _find_real(name, entry, root, progress)
    if source is None:
        name, source = plain + SYNTHETIC, entry.synthetic()
    frames, table, factors = prepared(name, source, progress)
    return Clips(frames, table, name, factors)


def _find_real(name: str, entry: DataSet, root: str | os.PathLike[str] | None, progress: bool) -> Source | None:
    """The real files of a set, or None after a warning; an explicit `root` without them is an error."""
    if root is not None:
        source = entry.find(Path(root).expanduser())
        if source is None:
            raise FileNotFoundError(
                f"no {name!r} data in {os.fspath(root)!r}, which should hold {entry.expects}: data/README.md says "
                f"where to get them, and load_dataset({name + SYNTHETIC!r}) needs no files"
            )
        return source
    chosen = os.environ.get("ANIMLAB_DATA")
    folders = ([Path(chosen).expanduser()] if chosen else []) + [data_folder()]
    for folder in folders:
        source = entry.find(folder)
        if source is not None:
            return source
    reason = ""
    if entry.fetch is not None:
        try:
            return entry.find(entry.fetch(progress))
        except FetchError as error:
            reason = f" and none could be fetched ({error})"
    warnings.warn(
        f"no {name!r} data in {' or '.join(map(str, folders))} ({entry.expects}){reason}, so this is the rendered "
        f"stand-in {name + SYNTHETIC!r}; data/README.md says how to get the real files",
        StandInWarning,
        stacklevel=3,
    )
    return None
