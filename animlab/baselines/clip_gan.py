"""What MoCoGAN and TGAN have in common: they are trained on clips and draw clips."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from ..metrics.inversion import SEARCH, TRIES, Reconstruction, check_task, descend
from ..networks.common import checked
from .clip_sampler import ClipSampler

BATCH = 16  # clips drawn at once: bounds memory


class ClipGAN(nn.Module, ABC):
    """A generator of clips and its discriminators; a subclass is one paper.

    length, stride: a training clip is `length` frames of the data set, every `stride`-th.
    zero, scale: a level of 0 to 255 is the value (level - zero) / scale in the networks.
    frames_per_step: real frames that one step looks at. categories: kinds of clips that it was told of, 0 for none.
    limits: names of the parts of its noise that are numbers, and how large they get (of N(0, 1), 997 in 1,000 draws).
    config: what the networks are built from. card: data set, seed, steps, …, as far as known.
    """

    length: ClassVar[int] = 16
    stride: ClassVar[int]
    zero: ClassVar[float]
    scale: ClassVar[float]
    limits: ClassVar[dict[str, float]]
    frames_per_step: int
    categories: int = 0

    def __init__(self, **config: Any) -> None:
        super().__init__()
        self.config = checked(config)
        self.card: dict[str, Any] = {}
        self.bf16 = False

    @abstractmethod
    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Fresh optimisers by name, as published."""

    @abstractmethod
    def train_step(
        self, sampler: ClipSampler, optimizers: dict[str, torch.optim.Optimizer], rng: torch.Generator
    ) -> dict[str, Tensor]:
        """One step on clips that `sampler` draws; the losses as detached scalars."""

    @abstractmethod
    def noise(self, n: int, frames: int, rng: torch.Generator, d: int | None) -> dict[str, Tensor]:
        """The random numbers that n clips are made from, by name; d: their category, None for a random one each."""

    @abstractmethod
    def paint(self, noise: dict[str, Tensor], frames: int) -> Tensor:
        """The clips of this noise, (n, C, frames, 64, 64) in [-1, 1]; nothing else is random."""

    def draw(self, n: int, frames: int, rng: torch.Generator, d: int | None) -> Tensor:
        """n random clips (n, C, frames, 64, 64) in [-1, 1]; d: their category, None for a random one each."""
        return self.paint(self.noise(n, frames, rng, d), frames)

    def autocast(self) -> AbstractContextManager[Any]:
        """bf16 where the model is trained in it."""
        device = next(self.parameters()).device
        return torch.autocast(device.type, torch.bfloat16) if self.bf16 else nullcontext()

    def to_values(self, frames: np.ndarray) -> Tensor:
        """uint8 (…, 64, 64, C) → float32 (…, C, 64, 64) as the networks know it, on their device."""
        levels = torch.from_numpy(np.require(frames, requirements="W")).to(next(self.parameters()).device)
        return levels.movedim(-1, -3).float().sub_(self.zero).div_(self.scale)

    def to_levels(self, clips: Tensor) -> np.ndarray:
        """The networks' clips (n, C, T, 64, 64) as uint8 (n, T, 64, 64, C)."""
        levels = clips.detach().float().mul(self.scale).add(self.zero).round().clamp(0, 255)
        return levels.permute(0, 2, 3, 4, 1).to("cpu", torch.uint8).numpy()

    @torch.inference_mode()
    def sample(self, n: int, frames: int = 16, seed: int = 0, d: int | None = None) -> np.ndarray:
        """n clips, uint8 (n, frames, 64, 64, C). d: the category of all, where the model has any; None draws one each.

        Raises ValueError for fewer than one clip or frame, and for a category or a length that the model does not have.
        """
        if n < 1 or frames < 1:
            raise ValueError(f"A sample needs at least one clip and one frame, got n={n}, frames={frames}.")
        self.eval()
        rng = torch.Generator(next(self.parameters()).device).manual_seed(seed)
        parts = []
        for i in range(0, n, BATCH):
            parts.append(self.to_levels(self.draw(min(BATCH, n - i), frames, rng, d)))
        return np.concatenate(parts)

    def invert(self, clip: np.ndarray, steps: int = 60, seed: int = 0) -> Reconstruction:
        """The model's own clip that comes nearest to a given one, uint8 (T, 64, 64, C), found through its noise.

        As metrics.invert finds labels: Adam on the mean squared error, within the bounds of `limits`, from the best of
        64 random clips of each category; after three tenths of the steps the best category goes on alone. The same seed
        gives the same answer. Raises ValueError for clips that the model cannot draw.
        """
        check_task(clip, self.config["channels"], steps)
        self.eval()
        frames, target = len(clip), self.to_values(clip).transpose(0, 1)  # (C, T, 64, 64)

        def errors(noise: dict[str, Tensor]) -> Tensor:
            return (self.paint(noise, frames) - target).square().flatten(1).mean(dim=1)

        def moved_errors(*moved: Tensor, fixed: dict[str, Tensor]) -> Tensor:
            return errors(fixed | dict(zip(self.limits, moved)))

        starts = []
        for d in range(self.categories) if self.categories else [None]:
            rng = torch.Generator(target.device).manual_seed(seed)
            with torch.no_grad():
                tries = self.noise(TRIES, frames, rng, d)
                best = errors(tries).argmin()
            starts.append({name: value[best] for name, value in tries.items()})
        noise = {name: torch.stack([start[name] for start in starts]) for name in starts[0]}  # a row a category
        searched = max(1, round(SEARCH * steps))
        for go_on in (searched, steps - searched):
            fixed = {name: value for name, value in noise.items() if name not in self.limits}
            bounds = [(noise[name], -limit, limit) for name, limit in self.limits.items()]
            moved, found = descend(bounds, partial(moved_errors, fixed=fixed), self, go_on)
            best = found.argmin()
            noise = {name: value[best, None] for name, value in (fixed | dict(zip(self.limits, moved))).items()}
        with torch.no_grad():
            return Reconstruction.of(self.to_levels(self.paint(noise, frames))[0], clip)

    def animate(self, frames: int = 16, seed: int = 0, d: int | None = None) -> np.ndarray:
        """One clip, uint8 (frames, 64, 64, C): what `sample` gives, for one."""
        return self.sample(1, frames, seed, d)[0]
