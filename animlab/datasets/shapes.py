"""2D shapes: a circle or a square of one colour that moves over black, 8,000 clips of 32 frames.

Tulyakov et al., "MoCoGAN: Decomposing Motion and Content for Video Generation", CVPR 2018, published as `shapes.zip`.
The two class folders hold two kinds of motion, and both contain circles and squares.
"""

from __future__ import annotations

from pathlib import Path

from .source import DataSet, Source
from .strips import fetch_strips, find_strips
from .synthetic_shapes import shapes_stand_in

STRIP_CLASSES = {"0": "up", "1": "left"}


def find_shapes(root: Path) -> Source | None:
    """Finds the strips in a folder.

    Args:
        root: holds `shapes.zip` or a folder `shapes/`.

    Returns:
        The clips, or None if there are none.
    """
    return find_strips(root, "shapes", STRIP_CLASSES)


DATA_SET = DataSet(
    expects="shapes.zip or a folder shapes/ of strips",
    find=find_shapes,
    synthetic=shapes_stand_in,
    fetch=fetch_strips,
)
