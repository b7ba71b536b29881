"""A small z-buffer renderer in numpy: a pinhole camera, Phong's reflection model, and no dependency.

Every front-facing triangle is split into the samples that it covers, the nearest fragment wins each sample, and only
the winners are shaded; the samples of a pixel are then averaged. Coordinates are right-handed: x to the picture's
right, y up, z towards the camera.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

# Reflectance of a surface for ambient light, and for the lamp.
AMBIENT, DIFFUSE = 0.4, 0.75
SHININESS = 24.0  # exponent of the highlight: a larger one makes it smaller and sharper
EDGE_TOLERANCE = 1e-4  # in barycentric units: rounding must not open a gap between two neighbours


@dataclass(frozen=True)
class Camera:
    """A pinhole camera on the z axis that looks at the origin.

    Args:
        distance: from the pinhole to the origin, in the units of the scene.
        focal: focal length in picture widths: something as wide as it is far away fills `focal` widths.
        size: width and height of the picture in pixels.
    """

    distance: float
    focal: float
    size: int

    def project(self, points: np.ndarray) -> np.ndarray:
        """Projects points into the picture.

        The picture's upper left corner is (0, 0), the centre of its first pixel (0.5, 0.5). A point in the plane of the
        pinhole or behind it has no image; keep the scene in front.

        Args:
            points: (…, 3), in the units of the scene.

        Returns:
            (…, 3), column and row in pixels, and 1 / depth (larger is nearer).
        """
        near = 1 / (self.distance - points[..., 2])
        scale = self.focal * self.size * near
        half = self.size / 2
        return np.stack([half + scale * points[..., 0], half - scale * points[..., 1], near], axis=-1)


class Normals:
    """Normals at the vertices of a mesh, for any number of shapes with the same triangles.

    A vertex has the mean normal of its triangles, weighted by their areas; a triangle's normal points to the side from
    which its corners run counter-clockwise.

    Example:
        >>> normals = Normals(triangles, len(vertices))(vertices)      # (V, 3), unit length, outward

    Args:
        triangles: (F, 3) indices of vertices.
        count: V, the number of vertices.
    """

    def __init__(self, triangles: np.ndarray, count: int) -> None:
        ones = np.ones(triangles.size, np.float32)
        columns = np.repeat(np.arange(len(triangles)), 3)
        self._sum_at_vertices = sparse.csr_matrix((ones, (triangles.ravel(), columns)), (count, len(triangles)))
        self._corners = [np.ascontiguousarray(column) for column in triangles.T]

    def __call__(self, vertices: np.ndarray) -> np.ndarray:
        """The normals of one shape.

        Args:
            vertices: (V, 3).

        Returns:
            (V, 3), of unit length; zero for a vertex of no triangle.
        """
        a, b, c = (vertices.take(corner, axis=0) for corner in self._corners)
        (ux, uy, uz), (vx, vy, vz) = (b - a).T, (c - a).T
        normal = self._sum_at_vertices @ np.stack([uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx], axis=1)
        return normal / np.maximum(np.sqrt(np.einsum("ij,ij->i", normal, normal)), 1e-20)[:, None]


def rotation(yaw: np.ndarray, pitch: np.ndarray, roll: np.ndarray) -> np.ndarray:
    """Rotation matrices: roll first, then pitch, then yaw.

    A face that looks along +z turns to the picture's right with positive yaw, up with positive pitch, and tilts its
    crown to the picture's right with positive roll.

    Args:
        yaw: (…) in degrees.
        pitch: (…) in degrees.
        roll: (…) in degrees.

    Returns:
        (…, 3, 3).
    """
    (sy, sp, sr), (cy, cp, cr) = ([f(np.radians(angle)) for angle in (yaw, pitch, roll)] for f in (np.sin, np.cos))
    one, zero = np.ones_like(sy), np.zeros_like(sy)

    def matrix(*entries: np.ndarray) -> np.ndarray:
        return np.stack(entries, axis=-1).reshape(*np.shape(sy), 3, 3)

    turn = matrix(cy, zero, sy, zero, one, zero, -sy, zero, cy)
    nod = matrix(one, zero, zero, zero, cp, sp, zero, -sp, cp)
    lean = matrix(cr, sr, zero, -sr, cr, zero, zero, zero, one)
    return turn @ nod @ lean


def shade(normal: np.ndarray, colour: np.ndarray, gloss: np.ndarray, light: np.ndarray) -> np.ndarray:
    """Phong's reflection of a distant lamp, seen from straight ahead.

    Lambert's cosine law for the diffuse part, Blinn's half-way vector for the highlight.

    Source: J. F. Blinn, "Models of light reflection for computer synthesized pictures", SIGGRAPH 1977.

    Args:
        normal: (P, 3) unit vectors.
        colour: (P, 3).
        gloss: (P,), strength of the white highlight in units of colour.
        light: (3,), unit vector towards the lamp.

    Returns:
        (P, 3) colours.
    """
    half_way = light + np.array([0, 0, 1], np.float32)
    half_way = half_way / max(float(np.linalg.norm(half_way)), 1e-6)
    lit = np.maximum(normal @ light, 0)
    highlight = gloss * np.maximum(normal @ half_way, 0) ** SHININESS * (lit > 0)
    return colour * (AMBIENT + DIFFUSE * lit)[:, None] + highlight[:, None]


def render(
    points: np.ndarray,
    triangles: np.ndarray,
    normals: np.ndarray,
    surface: np.ndarray,
    light: np.ndarray,
    background: np.ndarray,
    samples: int = 2,
) -> np.ndarray:
    """Draws a mesh over a background.

    Args:
        points: (V, 3) float32 from `Camera.project`, for a picture of size * samples pixels.
        triangles: (F, 3) integers, corners counter-clockwise when seen from outside; those seen from behind are not
            drawn.
        normals: (V, 3) unit vectors.
        surface: (V, 4), red, green, blue (0 to 255) and gloss, as in `shade`.
        light: (3,), unit vector towards the lamp.
        background: (size, size, 3), 0 to 255.
        samples: samples per pixel, along either axis.

    Returns:
        (size, size, 3) uint8.
    """
    size = len(background) * samples
    where, triangle, weights = _visible(points, triangles, size)
    picture = np.repeat(np.repeat(background.astype(np.float32), samples, axis=0), samples, axis=1).reshape(-1, 3)
    if len(where):
        corners = triangles[triangle]
        values = np.concatenate([normals, surface], axis=1).astype(np.float32)
        mixed = sum(weights[:, k, None] * values[corners[:, k]] for k in range(3))
        normal = mixed[:, :3] / np.maximum(np.linalg.norm(mixed[:, :3], axis=1), 1e-6)[:, None]
        picture[where] = np.clip(shade(normal, mixed[:, 3:6], mixed[:, 6], light.astype(np.float32)), 0, 255)
    blocks = picture.reshape(len(background), samples, len(background), samples, 3)
    # Many times faster than blocks.mean(axis=(1, 3)), whose inner loops are as short as there are samples.
    total = sum(blocks[:, i, :, j] for i in range(samples) for j in range(samples))
    return np.rint(total / samples**2).astype(np.uint8)


def _visible(points: np.ndarray, triangles: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The nearest triangle at each sample: index of the sample, index of the triangle, its corners' weights (P, 3)."""
    ax, ay, bx, by, cx, cy = (axis.take(triangles[:, k]) for k in range(3) for axis in points.T[:2])
    # Twice the signed area. Rows grow downward, so counter-clockwise triangles come out negative.
    area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
    front = np.flatnonzero(area < 0)
    area, ax, ay, bx, by, cx, cy = (values[front] for values in (area, ax, ay, bx, by, cx, cy))
    # Sample (i, j) is taken at (i + 0.5, j + 0.5): the first and the last one inside the triangle's bounding box.
    left, right = _samples_between(ax, bx, cx, size)
    top, bottom = _samples_between(ay, by, cy, size)
    wide, tall = right - left + 1, bottom - top + 1
    keep = np.flatnonzero((wide > 0) & (tall > 0))
    count = wide[keep] * tall[keep]

    # One row a candidate: a triangle and a sample of its bounding box.
    t = np.repeat(keep, count)
    nth = np.arange(len(t)) - np.repeat(np.cumsum(count) - count, count)
    down, across = np.divmod(nth, wide[t])
    column, row = left[t] + across, top[t] + down
    x, y = column + np.float32(0.5) - ax[t], row + np.float32(0.5) - ay[t]
    weight_b = (x * (cy - ay)[t] - y * (cx - ax)[t]) / area[t]
    weight_c = (y * (bx - ax)[t] - x * (by - ay)[t]) / area[t]
    weight_a = 1 - weight_b - weight_c
    inside = np.flatnonzero(np.minimum(np.minimum(weight_a, weight_b), weight_c) >= -EDGE_TOLERANCE)
    where, triangle = (row * size + column)[inside], front[t[inside]]
    # 1 / depth is linear across the picture of a plane, and so is any corner's value divided by its depth.
    weights = np.stack([weight[inside] for weight in (weight_a, weight_b, weight_c)], axis=1)
    weights *= points[:, 2].take(triangles[triangle])
    near = weights.sum(axis=1)

    order = np.argsort(near)  # the nearest last: of several values for one sample, the last one stays
    winner = np.full(size * size, -1)
    winner[where[order]] = order
    seen = np.flatnonzero(winner >= 0)
    winner = winner[seen]
    return seen, triangle[winner], weights[winner] / near[winner, None]


def _samples_between(a: np.ndarray, b: np.ndarray, c: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The first and the last sample between the smallest and the largest of three coordinates, within the picture."""
    first = np.ceil(np.minimum(np.minimum(a, b), c) - 0.5).astype(np.int32)
    last = np.floor(np.maximum(np.maximum(a, b), c) - 0.5).astype(np.int32)
    return np.maximum(first, 0), np.minimum(last, size - 1)
