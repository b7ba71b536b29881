"""A trained model: labels in, pictures out, and labels read back off pictures."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from .checks import check_frames, instance
from .frames import to_tensor, to_uint8
from .labels import Labels, LabelSpace
from .networks import Network

BATCH = 256  # pictures drawn or read at once: bounds memory, costs no speed


@dataclass
class Model:
    """A generator, the discriminator that reads its labels (where it was kept), and what is known about them.

    card: the checkpoint's header: "dataset", "preset", "steps", "seed", "version", … as far as known.
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
        """Each c's name for a reader: "c3 · lowers both arms" where the card says what is seen, else "c3"."""
        seen = self.card.get("seen")
        said = seen if isinstance(seen, dict) else {}
        return [f"c{j} · {said[f'c{j}']}" if f"c{j}" in said else f"c{j}" for j in range(self.space.n_c)]

    def liveliest_c(self) -> int:
        """The c to show first: that of most strength times focus as the card has them, 0 where it does not.

        What changes most is more often a colour than a movement, so strength alone will not do.
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
        """The pictures of N labels: uint8 (N, 64, 64, C).

        Raises TypeError for what are no Labels, ValueError for labels of another space, not finite, or none.
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
        batches = [labels[i : i + BATCH].to(device) for i in range(0, len(labels), BATCH)]
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
        """An animation: one c of clip d goes from `start` to `stop`.

        >>> model.animate(d=2, along=0)                 # one clip, one c
        >>> model.animate(d=2, along=[0, 3], frames=8)  # c0 goes all the way, then c3 does: 16 frames
        >>> model.animate(d=[0, 1, 2], along=0)         # three clips in a row: 48 frames
        >>> model.animate(labels=animlab.invert(model, picture).labels, along=0)    # from a picture of yours

        d: which clip, or several; 0 to n_d - 1.
        along: which c moves, or several in turn; 0 to n_c - 1. The others stay at 0.5.
        frames: how many for each d and c, at least 1.
        seed: draws z.
        start, stop: the ends of the way; training saw 0 to 1.
        labels: one row to take z, d and the c that do not move from; d and seed have no effect then.
        c: what `along` was called up to version 0.1; it still works, with a FutureWarning.

        Gives uint8 (frames · number of d · number of c, 64, 64, C). For any other way through the labels, dissolves
        among them, see LabelSpace.path. Raises ValueError for a d or c that the model does not have, for frames and
        ends that are no numbers of their kind, and for labels of more than one row or of another space.
        """
        if c is not None:
            warnings.warn("animate(c=…) is called animate(along=…) now.", FutureWarning, stacklevel=2)
            along = c
        ds, js = np.atleast_1d(d).tolist(), np.atleast_1d(along).tolist()
        if not ds or not js:
            raise ValueError(f"An animation needs at least one d and one c, got d={d}, along={along}.")
        space, legs = self.space, []
        for j in js:
            space.check_c(j)
        if labels is not None:
            instance("animate(labels=…) takes Labels, such as animlab.invert finds", labels, Labels)
            if len(labels) != 1:
                raise ValueError(f"An animation sets out from one row of labels, got {len(labels)}.")
        for at in [space.still(one_d, seed=seed) for one_d in ds] if labels is None else [labels]:
            for j in js:
                at = space.sweep(at, j, 1, start)
            for j in js:
                legs.append(space.sweep(at, j, frames, start, stop))
                at = legs[-1][-1:]
        return np.concatenate([self.frames(leg) for leg in legs])

    @torch.inference_mode()
    def read(self, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What D sees in N frames (uint8, (N, 64, 64, C)): P(real) (N,), P(d) (N, n_d), c (N, n_c), all float32.

        It reads as it will once trained, also while training goes on: a frame's reading depends on no other frame.
        Raises ValueError where the model was saved without its discriminator, and for frames of another kind.
        """
        if self.discriminator is None:
            raise ValueError("This model was saved without its discriminator, so it cannot read labels off frames.")
        channels = self.discriminator.channels
        check_frames("What this model reads", frames, size=(64, 64), channels=(channels,))
        device = next(self.discriminator.parameters()).device
        training, parts = self.discriminator.training, []
        self.discriminator.eval()
        try:
            for i in range(0, len(frames), BATCH):
                logit, d_logits, c = self.discriminator(to_tensor(frames[i : i + BATCH], device))
                parts.append((logit.sigmoid()[:, 0], d_logits.softmax(dim=1), c))
        finally:
            self.discriminator.train(training)
        real, d, c = (torch.cat(part).float().cpu().numpy() for part in zip(*parts, strict=True))
        return real, d, c
