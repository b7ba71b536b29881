"""Reads meshes from Wavefront .obj files, as far as a morphable model needs them: vertices and faces."""

from __future__ import annotations

import re

import numpy as np


def read_obj(content: bytes, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Reads a Wavefront .obj file.

    Polygons become fans of triangles. Texture and normal indices, groups and materials are ignored; negative indices
    count back from the last vertex.

    Args:
        content: the bytes of the file.
        where: the file's name, for the message.

    Returns:
        Vertices (V, 3) float32 and triangles (F, 3) int64, in the file's order.

    Raises:
        ValueError: The file is damaged or incomplete.
    """
    rows = content.splitlines()
    points = [row.split()[1:4] for row in rows if row.startswith(b"v ")]  # after these, some programs write colours
    polygons = [re.sub(rb"/\S*", b"", row[2:]).split() for row in rows if row.startswith(b"f ")]
    try:
        vertices = np.array(points, np.float64).reshape(len(points), 3).astype(np.float32)
        corners = np.array([corner for polygon in polygons for corner in polygon], np.int64)
    except ValueError as error:
        raise ValueError(f"{where} is not a readable .obj file ({error}): get it again.") from error
    counts = np.array([len(each) for each in polygons], np.int64)
    corners = np.where(corners < 0, corners + len(vertices), corners - 1)
    good = len(vertices) and len(counts) and np.isfinite(vertices).all() and (counts > 2).all()
    if not good or corners.min() < 0 or corners.max() >= len(vertices):
        raise ValueError(
            f"{where} is not a complete .obj file ({len(vertices)} vertices, {len(counts)} faces, some of them "
            "broken or missing): get it again."
        )
    first = np.cumsum(counts) - counts
    fans = counts - 2
    start = np.repeat(first, fans)
    nth = np.arange(fans.sum()) - np.repeat(np.cumsum(fans) - fans, fans)
    return vertices, np.stack([corners[start], corners[start + nth + 1], corners[start + nth + 2]], axis=1)
