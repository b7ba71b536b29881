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

BATCH = 16  # clips drawn at once, to bound memory


class ClipGAN(nn.Module, ABC):
    """A generator of clips and its discriminators; each subclass implements one paper.

    Attributes:
        length: frames in a training clip.
        stride: a training clip takes every `stride`-th frame of the data set.
        zero: the grey level, 0 to 255, that is 0 in the networks.
        scale: grey levels per unit in the networks, whose values are (level - zero) / scale.
        limits: the continuous parts of the noise, by name, with their largest magnitude (of N(0, 1), 997 in 1,000 draws
            are below it).
        frames_per_step: real frames in one step.
        categories: classes of clips that the model is given, 0 for none.
        config: the constructor's arguments, for the header of a checkpoint.
        card: data set, seed, steps, and so on, as far as known.
        bf16: whether the networks run in bf16.

    Args:
        **config: the arguments of the subclass's networks.
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
        """New optimisers by name, with the published settings."""

    @abstractmethod
    def train_step(
        self, sampler: ClipSampler, optimizers: dict[str, torch.optim.Optimizer], rng: torch.Generator
    ) -> dict[str, Tensor]:
        """Makes one training step.

        Args:
            sampler: draws the real clips.
            optimizers: as `optimizers` gives them.
            rng: source of all randomness, on the networks' device.

        Returns:
            The losses by name, as detached scalars.
        """

    @abstractmethod
    def noise(self, n: int, frames: int, rng: torch.Generator, d: int | None) -> dict[str, Tensor]:
        """Draws the noise from which clips are generated.

        Args:
            n: number of clips.
            frames: frames in a clip.
            rng: source of randomness, on the networks' device.
            d: the category of all clips; None draws one for each.

        Returns:
            The parts of the noise by name, each with n rows.
        """

    @abstractmethod
    def paint(self, noise: dict[str, Tensor], frames: int) -> Tensor:
        """Generates clips from noise; nothing else is random.

        Args:
            noise: as `noise` gives it, with n rows.
            frames: frames in a clip.

        Returns:
            (n, C, frames, 64, 64) in [-1, 1].
        """

    def draw(self, n: int, frames: int, rng: torch.Generator, d: int | None) -> Tensor:
        """Generates random clips.

        Args:
            n: number of clips.
            frames: frames in a clip.
            rng: source of randomness, on the networks' device.
            d: the category of all clips; None draws one for each.

        Returns:
            (n, C, frames, 64, 64) in [-1, 1].
        """
        return self.paint(self.noise(n, frames, rng, d), frames)

    def autocast(self) -> AbstractContextManager[Any]:
        """The context that the networks run in: autocast to bf16 if the model is trained in it, else nothing."""
        device = next(self.parameters()).device
        return torch.autocast(device.type, torch.bfloat16) if self.bf16 else nullcontext()

    def to_values(self, frames: np.ndarray) -> Tensor:
        """Converts frames to what the networks take, on their device.

        Args:
            frames: (…, 64, 64, C) uint8.

        Returns:
            (…, C, 64, 64) float32.
        """
        levels = torch.from_numpy(np.require(frames, requirements=["C", "W"])).to(next(self.parameters()).device)
        return levels.movedim(-1, -3).float().sub_(self.zero).div_(self.scale)

    def to_levels(self, clips: Tensor) -> np.ndarray:
        """Converts the networks' clips to frames.

        Args:
            clips: (n, C, T, 64, 64); values out of range are clipped.

        Returns:
            (n, T, 64, 64, C) uint8, rounded to the nearest level.
        """
        levels = clips.detach().float().mul(self.scale).add(self.zero).round().clamp(0, 255)
        return levels.permute(0, 2, 3, 4, 1).to("cpu", torch.uint8).numpy()

    @torch.inference_mode()
    def sample(self, n: int, frames: int = 16, seed: int = 0, d: int | None = None) -> np.ndarray:
        """Draws clips.

        Args:
            n: number of clips, at least 1.
            frames: frames in a clip, at least 1; at most 16 for TGAN.
            seed: seed of the noise.
            d: the category of all clips, if the model has categories; None draws one for each.

        Returns:
            (n, frames, 64, 64, C) uint8.

        Raises:
            ValueError: n or frames is out of range, or the model has no such category.
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
        """Finds the clip that the model can draw nearest to a given one, by gradient descent on its noise.

        As metrics.invert does with labels: Adam on the mean squared error, within the bounds of `limits`, from the best
        of 64 random clips of each category; after three tenths of the steps only the best category continues.

        Args:
            clip: (T, 64, 64, C) uint8.
            steps: steps of Adam, at least 2.
            seed: seed of the random starts; the same seed gives the same result.

        Raises:
            ValueError: The model cannot draw such a clip, or `steps` is too small.
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
        """Draws one clip.

        Args:
            frames: frames in the clip, at least 1; at most 16 for TGAN.
            seed: seed of the noise.
            d: the clip's category, if the model has categories; None draws one.

        Returns:
            (frames, 64, 64, C) uint8.

        Raises:
            ValueError: `frames` is out of range, or the model has no such category.
        """
        return self.sample(1, frames, seed, d)[0]
