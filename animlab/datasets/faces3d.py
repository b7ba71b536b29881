"""3-D faces: 40,000 renderings of a morphable model, 1,250 clips of 32 frames, as many as in the paper.

The paper renders the Basel Face Model, which requires registration; ICT-FaceKit is free to all and has named
expressions. Either is drawn by our own renderer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from . import basel, ict_facekit
from .face_motion import render_faces
from .morphable import MorphableModel
from .source import Clip, DataSet, Source
from .synthetic_faces3d import faces3d_stand_in

CLIPS, LENGTH = 1250, 32


def find_faces3d(root: Path) -> Source | None:
    """Finds a face model in a folder.

    Args:
        root: holds the Basel model of 2009 or 2017, or ICT-FaceKit as a zip or a folder; the first of these is taken.

    Returns:
        The clips to render, or None if there is no model.
    """
    found = basel.find_basel(root)
    if found is not None:
        path = found
        return _source((path,), lambda: basel.read_basel(path))
    files = ict_facekit.ict_files(root)
    return _source(files, lambda: ict_facekit.read_ict(root)) if files else None


def _source(files: tuple[Path, ...], read_model: Callable[[], MorphableModel]) -> Source:
    def read() -> Iterator[Clip]:
        yield from render_faces(read_model(), CLIPS, LENGTH)

    return Source(files, CLIPS, read)


DATA_SET = DataSet(
    expects="ict_facekit.zip, a folder FaceXModel/, or a Basel Face Model such as 01_MorphableModel.mat",
    find=find_faces3d,
    synthetic=faces3d_stand_in,
    fetch=ict_facekit.fetch_ict,
)
