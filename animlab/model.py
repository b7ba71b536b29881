"""A trained model: draws pictures from labels, and reads labels off pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from .checks import check_frames, instance, shown
from .frames import to_tensor, to_uint8
from .labels import Labels, LabelSpace, under_new_name
from .networks import Network
from .networks.common import AT_ONCE


@dataclass
class Model:
    """A generator, its discriminator where that was kept, and what is known about them.

    Args:
        generator: G; drawn with in evaluation mode.
        discriminator: D, which reads labels; None where it was not saved.
        card: what the checkpoint's header knows of the model, such as "dataset", "preset", "steps" and "seed".
    """

    generator: Network
    discriminator: Network | None = None
    card: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.generator.eval()
        if self.discriminator is not None:
            self.discriminator.eval()

    @property
    def space(self) -> LabelSpace:
        """The LabelSpace that the model was trained with."""
        return self.generator.space

    def names_of_c(self) -> list[str]:
        """Names of the continuous labels for a reader.

        Returns:
            n_c names such as "c3 · lowers both arms", or just "c3" where the card has no description of what is seen.
        """
        seen = self.card.get("seen")
        said = seen if isinstance(seen, dict) else {}
        return [f"c{j} · {said[f'c{j}']}" if f"c{j}" in said else f"c{j}" for j in range(self.space.n_c)]

    def liveliest_c(self) -> int:
        """The index of the continuous label to show first.

        Strength alone is no good measure, because what changes most is more often a colour than a movement.

        Returns:
            The c with the largest product of strength and focus on the card; 0 where the card has none.
        """
        influence = self.card.get("influence")
        known = influence if isinstance(influence, dict) else {}

        def liveliness(j: int) -> float:
            found = known.get(f"c{j}")
            strength, focus = (found.get("strength"), found.get("focus")) if isinstance(found, dict) else (None, None)
            return strength * focus if isinstance(strength, float) and isinstance(focus, float) else 0.0

        return max(range(self.space.n_c), key=liveliness, default=0)

    @torch.inference_mode()
    def frames(self, labels: Labels) -> np.ndarray:
        """Draws the pictures of labels.

        Args:
            labels: N labels, N at least 1.

        Returns:
            (N, 64, 64, C) uint8.

        Raises:
            TypeError: These are not Labels.
            ValueError: There are no labels, they belong to another space, or they are not finite.
        """
        instance("Model.frames takes Labels, such as model.space.still gives", labels, Labels)
        if not len(labels):
            raise ValueError("Model.frames needs at least one row of labels, got none.")
        if not len(labels.z) == len(labels.d) == len(labels.c):
            counts = f"{len(labels.z)}, {len(labels.d)} and {len(labels.c)}"
            raise ValueError(f"z, d and c of labels need as many rows each, got {counts}.")
        if not all(part.isfinite().all() for part in (labels.z, labels.d, labels.c)):
            raise ValueError("Model.frames takes labels that are finite numbers, got some that are not.")
        sizes = tuple(part.shape[1] for part in (labels.z, labels.d, labels.c))
        if sizes != (self.space.n_z, self.space.n_d, self.space.n_c):
            raise ValueError(f"This model draws labels of {self.space}, got (n_z, n_d, n_c) = {sizes}.")
        device = next(self.generator.parameters()).device
        batches = [labels[i : i + AT_ONCE].to(device) for i in range(0, len(labels), AT_ONCE)]
        return np.concatenate([to_uint8(self.generator(batch)) for batch in batches])

    def animate(
        self,
        d: int | Sequence[int] = 0,
        along: int | Sequence[int] = 0,
        frames: int = 16,
        seed: int = 0,
        start: float = 0.0,
        stop: float = 1.0,
        *,
        labels: Labels | None = None,
        c: int | Sequence[int] | None = None,
    ) -> np.ndarray:
        """Draws an animation in which one c goes from `start` to `stop`.

        For any other path through the labels, and for dissolves, see LabelSpace.path.

        Example:
            >>> model.animate(d=2, along=0)                 # one clip, one c
            >>> model.animate(d=2, along=[0, 3], frames=8)  # c0 goes from 0 to 1, then c3 does: 16 frames
            >>> model.animate(d=[0, 1, 2], along=0)         # three clips in a row: 48 frames
            >>> model.animate(labels=animlab.invert(model, picture).labels, along=0)  # starts from a given picture

        Args:
            d: which clip, or several in turn, 0 to n_d - 1.
            along: index of the c that moves, or several in turn, 0 to n_c - 1. The others stay at 0.5.
            frames: frames for each d and c, at least 1.
            seed: seed from which z is drawn.
            start: value of the moving c in its first frame; training saw 0 to 1.
            stop: value of the moving c in its last frame.
            labels: one row that gives z, d and the c that do not move; d and seed have no effect then.
            c: the former name of `along`, up to version 0.1; it still works, with a FutureWarning.

        Returns:
            (frames · number of d · number of c, 64, 64, C) uint8; the number of d is 1 where `labels` are given.

        Raises:
            ValueError: The model has no such d or c, `frames`, `start` or `stop` is out of range, or `labels` have
                several rows or belong to another space.
            TypeError: `labels` are not Labels.
        """
        along = under_new_name("animate", along, c)
        ds, js = _several("d", d), _several("along", along)
        if not ds or not js:
            raise ValueError(f"An animation needs at least one d and one c, got d={d}, along={along}.")
        space, legs = self.space, []
        for j in js:
            space.check_along(j)
        if labels is not None:
            space.check_row("labels", labels)
        for at in [space.still(one_d, seed=seed) for one_d in ds] if labels is None else [labels]:
            for j in js:
                at = space.sweep(at, j, 1, start)
            for j in js:
                legs.append(space.sweep(at, j, frames, start, stop))
                at = legs[-1][-1:]
        return np.concatenate([self.frames(leg) for leg in legs])

    @torch.inference_mode()
    def read(self, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Reads labels off frames with the discriminator.

        D runs in evaluation mode, also while training goes on, so that the result for a frame does not depend on the
        others.

        Args:
            frames: (N, 64, 64, C) uint8, C as the model draws.

        Returns:
            P(real) (N,), P(d) (N, n_d) and c (N, n_c), all float32. The first two are from 0 to 1; c is not clipped.

        Raises:
            ValueError: The model was saved without its discriminator, or the frames are of another shape or dtype.
        """
        if self.discriminator is None:
            raise ValueError("This model was saved without its discriminator, so it cannot read labels off frames.")
        channels = self.discriminator.channels
        check_frames("What this model reads", frames, size=(64, 64), channels=(channels,))
        device = next(self.discriminator.parameters()).device
        training, parts = self.discriminator.training, []
        self.discriminator.eval()
        try:
            for i in range(0, len(frames), AT_ONCE):
                logit, d_logits, c = self.discriminator(to_tensor(frames[i : i + AT_ONCE], device))
                parts.append((logit.sigmoid()[:, 0], d_logits.softmax(dim=1), c))
        finally:
            self.discriminator.train(training)
        real, d, c = (torch.cat(part).float().cpu().numpy() for part in zip(*parts, strict=True))
        return real, d, c


def _several(name: str, value: Any) -> list[Any]:
    """One value or several as a list; ValueError for lists within a list."""
    try:
        return list(np.atleast_1d(value).tolist())
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{name} must be a whole number or a list of them, got {shown(value)}.") from error
