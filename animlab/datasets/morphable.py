"""`MorphableModel`: faces as a mean plus weighted directions, and a coarser mesh of the same faces.

Blanz and Vetter, "A Morphable Model for the Synthesis of 3D Faces", SIGGRAPH 1999.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse


@dataclass(frozen=True, eq=False)
class MorphableModel:
    """A mesh whose shape and colours are linear in a few weights; the face looks along +z, y is up.

    Example:
        >>> face = model.identity_shape(weights) + model.expression_offset(smile)      # (V, 3)

    Args:
        mean: (V, 3) float32, the neutral mean face, in any unit: renderers scale by `radius`.
        identity: (K, V, 3), directions of one standard deviation each.
        expression: (E, V, 3), displacement by each expression at weight 1.
        expressions: their E names.
        colour: (V, 3), mean red, green and blue, 0 to 255.
        tint: (A, V, 3), directions of colour, of one standard deviation each.
        gloss: (V,), strength of the highlight, 0 to 255.
        follows: (V,), how far a vertex follows a turn of the head: 1 on the head, less down the neck, 0 on the chest.
        triangles: (F, 3) int64, counter-clockwise when seen from outside.
        centre: (3,), the middle of the head, around which it turns.
        radius: from there to the crown or the chin.
        expression_low: smallest weight of an expression: 0 for a blend shape, -1 for a component with two sides.
    """

    mean: np.ndarray
    identity: np.ndarray
    expression: np.ndarray
    expressions: tuple[str, ...]
    colour: np.ndarray
    tint: np.ndarray
    gloss: np.ndarray
    follows: np.ndarray
    triangles: np.ndarray
    centre: np.ndarray
    radius: float
    expression_low: float = 0.0

    def identity_shape(self, weights: np.ndarray) -> np.ndarray:
        """The neutral face of a person.

        Args:
            weights: (K,) identity weights, in standard deviations.

        Returns:
            (V, 3).
        """
        return self.mean + np.tensordot(weights.astype(np.float32), self.identity, 1)

    def expression_offset(self, weights: np.ndarray) -> np.ndarray:
        """The displacement of a face by expressions.

        Args:
            weights: (E,) expression weights.

        Returns:
            (V, 3).
        """
        return np.tensordot(weights.astype(np.float32), self.expression, 1)

    def tinted(self, weights: np.ndarray) -> np.ndarray:
        """The colours of a person.

        Args:
            weights: (A,) tint weights, in standard deviations.

        Returns:
            (V, 3), 0 to 255.
        """
        return np.clip(self.colour + np.tensordot(weights.astype(np.float32), self.tint, 1), 0, 255)

    def reduced(self, fixed: np.ndarray) -> MorphableModel:
        """The same faces on a coarser mesh: each vertex that is not `fixed` is merged with its free neighbours.

        Vertices are merged along edges only, so lips that touch stay two lips; vertices of no triangle are dropped. A
        merged vertex is the mean of its parts, in the mean face and in every direction alike, so the model stays
        linear.

        Args:
            fixed: (V,) bool.
        """
        group = _neighbourhoods(self.triangles, fixed)
        triangles = group[self.triangles]
        a, b, c = triangles.T
        triangles = triangles[(a != b) & (b != c) & (c != a)]
        used, triangles = np.unique(triangles, return_inverse=True)
        member = np.flatnonzero(np.isin(group, used))
        share = 1 / np.bincount(group).astype(np.float32)
        row = np.searchsorted(used, group[member])
        mean_of_group = sparse.csr_matrix((share[group[member]], (row, member)), (len(used), len(group)))

        def merge(values: np.ndarray) -> np.ndarray:
            flat = np.moveaxis(values, -2, 0).reshape(len(group), -1)
            merged = (mean_of_group @ flat).reshape(len(used), *values.shape[:-2], 3)
            return np.ascontiguousarray(np.moveaxis(merged, 0, -2), np.float32)

        return replace(
            self,
            mean=merge(self.mean),
            identity=merge(self.identity),
            expression=merge(self.expression),
            colour=merge(self.colour),
            tint=merge(self.tint),
            gloss=mean_of_group @ self.gloss,
            follows=mean_of_group @ self.follows,
            triangles=triangles.reshape(-1, 3),
        )


def outward(triangles: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    """Triangles whose corners run counter-clockwise when seen from outside.

    Args:
        triangles: (F, 3), all of one orientation.
        vertices: (V, 3) of a face that looks along +z.

    Returns:
        (F, 3), reversed where necessary.
    """
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    return triangles if np.cross(b - a, c - a)[:, 2].sum() > 0 else triangles[:, ::-1]


def smooth_step(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """A smooth step.

    Args:
        values: of any shape.
        low: where it is 0, and below.
        high: where it is 1, and above.
    """
    t = np.clip((values - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def mix(below: np.ndarray, above: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Blends colours.

    Args:
        below: (V, 3).
        above: (3,) or (V, 3).
        share: (V,), the fraction of `above`, 0 to 1.
    """
    return below + share[:, None] * (np.asarray(above) - below)


def _neighbourhoods(triangles: np.ndarray, fixed: np.ndarray) -> np.ndarray:
    """The group of each vertex, (V,) int: a vertex and its free neighbours that belong to no other group yet."""
    ends = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    ends = ends[~fixed[ends].any(axis=1)]
    edges = sparse.csr_matrix(
        (np.ones(2 * len(ends), bool), np.concatenate([ends, ends[:, ::-1]]).T), (len(fixed),) * 2
    )
    group = np.full(len(fixed), -1)
    count = 0
    for vertex in range(len(fixed)):
        if group[vertex] < 0:
            around = edges.indices[edges.indptr[vertex] : edges.indptr[vertex + 1]]
            group[around[group[around] < 0]] = count
            group[vertex] = count
            count += 1
    return group
