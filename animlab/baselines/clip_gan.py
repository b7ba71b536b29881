"""What MoCoGAN and TGAN have in common: they are trained on clips and draw clips."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from .windows import Windows

BATCH = 16  # clips drawn at once: bounds memory


class ClipGAN(nn.Module, ABC):
    """A generator of clips and its discriminators; a subclass is one paper.

    length, stride: a training clip is `length` frames of the data set, every `stride`-th.
    zero, scale: a level of 0 to 255 is the value (level - zero) / scale in the networks.
    frames_per_step: real frames that one step looks at.
    config: what the networks are built from. card: data set, seed, steps, …, as far as known.
    """

    length: ClassVar[int] = 16
    stride: ClassVar[int]
    zero: ClassVar[float]
    scale: ClassVar[float]
    frames_per_step: int

    def __init__(self, **config: Any) -> None:
        super().__init__()
        self.config = config
        self.card: dict[str, Any] = {}
        self.bf16 = False

    @abstractmethod
    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Fresh optimisers by name, as published."""

    @abstractmethod
    def train_step(
        self, windows: Windows, optimizers: dict[str, torch.optim.Optimizer], rng: torch.Generator
    ) -> dict[str, Tensor]:
        """One step on clips that `windows` draws; the losses as detached scalars."""

    @abstractmethod
    def draw(self, n: int, frames: int, rng: torch.Generator, d: int | None) -> Tensor:
        """n clips (n, C, frames, 64, 64) in [-1, 1]; d: their category, None for a random one each."""

    def autocast(self) -> AbstractContextManager[Any]:
        """bf16 where the model is trained in it."""
        device = next(self.parameters()).device
        return torch.autocast(device.type, torch.bfloat16) if self.bf16 else nullcontext()

    def to_values(self, frames: np.ndarray) -> Tensor:
        """uint8 (…, 64, 64, C) → float32 (…, C, 64, 64) as the networks know it, on their device."""
        levels = torch.from_numpy(np.require(frames, requirements="W")).to(next(self.parameters()).device)
        return levels.movedim(-1, -3).float().sub_(self.zero).div_(self.scale)

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
            clips = self.draw(min(BATCH, n - i), frames, rng, d).float()  # (n, C, T, 64, 64)
            levels = clips.mul(self.scale).add(self.zero).round().clamp(0, 255)
            parts.append(levels.permute(0, 2, 3, 4, 1).to("cpu", torch.uint8).numpy())
        return np.concatenate(parts)

    def animate(self, frames: int = 16, seed: int = 0, d: int | None = None) -> np.ndarray:
        """One clip, uint8 (frames, 64, 64, C): what `sample` gives, for one."""
        return self.sample(1, frames, seed, d)[0]
