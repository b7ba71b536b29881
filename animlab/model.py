"""A trained model: labels in, pictures out, and labels read back off pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

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

    @torch.inference_mode()
    def frames(self, labels: Labels) -> np.ndarray:
        """The pictures of N labels: uint8 (N, 64, 64, C)."""
        device = next(self.generator.parameters()).device
        batches = [labels[i : i + BATCH].to(device) for i in range(0, len(labels), BATCH)]
        return np.concatenate([to_uint8(self.generator(batch)) for batch in batches])

    def animate(
        self,
        d: int | Sequence[int] = 0,
        c: int | Sequence[int] = 0,
        frames: int = 16,
        seed: int = 0,
        start: float = 0.0,
        stop: float = 1.0,
    ) -> np.ndarray:
        """An animation: clip d, its moment c_c going from `start` to `stop`; uint8 (frames, 64, 64, C).

        >>> model.animate(d=2, c=0)                 # one clip, one c
        >>> model.animate(d=2, c=[0, 3], frames=8)  # c0 goes all the way, then c3 does: 16 frames
        >>> model.animate(d=[0, 1, 2], c=0)         # three clips in a row: 48 frames

        The other c stay at 0.5; `seed` draws z; `frames` is for each d and c. For any other way through the labels,
        dissolves among them, see LabelSpace.path. Raises ValueError where d or c is not one of the model's labels.
        """
        ds, cs = np.atleast_1d(d).tolist(), np.atleast_1d(c).tolist()
        if not ds or not cs or frames < 1:
            raise ValueError(f"An animation needs a d, a c and at least one frame, got d={d}, c={c}, frames={frames}.")
        space, legs = self.space, []
        for j in cs:
            space.check_c(j)
        for one_d in ds:
            at = space.still(one_d, [start if j in cs else 0.5 for j in range(space.n_c)], seed)
            for j in cs:
                legs.append(space.sweep(at, j, frames, start, stop))
                at = legs[-1][-1:]
        return np.concatenate([self.frames(leg) for leg in legs])

    @torch.inference_mode()
    def read(self, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What D sees in N frames (uint8, (N, 64, 64, C)): P(real) (N,), P(d) (N, n_d), c (N, n_c), all float32.

        Raises ValueError where the model was saved without its discriminator.
        """
        if self.discriminator is None:
            raise ValueError("This model was saved without its discriminator, so it cannot read labels off frames.")
        device = next(self.discriminator.parameters()).device
        parts = []
        for i in range(0, len(frames), BATCH):
            score, d_logits, c = self.discriminator(to_tensor(frames[i : i + BATCH], device))
            parts.append((score.sigmoid()[:, 0], d_logits.softmax(dim=1), c))
        real, d, c = (torch.cat(part).float().cpu().numpy() for part in zip(*parts, strict=True))
        return real, d, c
