"""GAN inversion: from which labels does a model redraw a real clip, and how well? By gradient descent through G."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from ..checks import check_frames, instance, seed_of
from ..frames import to_tensor, to_uint8
from ..labels import Labels
from ..model import Model

Z_LIMIT = 3.0  # 997 of 1,000 draws from N(0, 1) lie inside
TRIES = 64  # random pictures of each d, of which the nearest is the start
RATE = 0.1
Kind = TypeVar("Kind", bound="Reconstruction")
SEARCH = 0.3  # fraction of the steps in which every d is tried; the rest is for the best one


@dataclass(frozen=True)
class Reconstruction:
    """A clip redrawn by a model.

    Attributes:
        frames: (T, H, W, C) uint8.
        mse: mean squared error against the clip, in grey levels squared, 0 to 65,025.
    """

    frames: np.ndarray
    mse: float

    @classmethod
    def of(cls: type[Kind], frames: np.ndarray, clip: np.ndarray, **more: Any) -> Kind:
        """The reconstruction of a clip by frames, with its error.

        Args:
            frames: (T, H, W, C) uint8, what the model drew.
            clip: (T, H, W, C) uint8, the original.
            **more: the other fields of a subclass.
        """
        return cls(frames, float(np.square(frames.astype(np.float64) - clip).mean()), **more)


@dataclass(frozen=True)
class Inversion(Reconstruction):
    """A clip redrawn from labels.

    Attributes:
        labels: T rows, with the same z and d in all.
    """

    labels: Labels

    @property
    def d(self) -> int:
        """The clip's discrete label, 0 to n_d - 1."""
        return int(self.labels.d[0].argmax())

    @property
    def step(self) -> float:
        """How far c moves from frame to frame: the root mean square over the c_j, averaged over the frames, 0 to 1."""
        moves = self.labels.c.diff(dim=0).square().mean(dim=1).sqrt() if self.labels.c.shape[1] else torch.zeros(1)
        return moves.mean().item() if len(moves) else 0.0


def invert(model: Model, clip: np.ndarray, steps: int = 60, seed: int = 0) -> Inversion:
    """Finds the labels from which a model redraws a clip best: one z and one d for all frames, one c for each frame.

    Minimises mean (G(z, d, c_t) - x_t)² over z in [-3, 3] and c_t in [0, 1] (the range of the training; values are
    clamped after each step of Adam), starting, for each d, from the best of 64 random pictures. After the first three
    tenths of the steps only the best d continues.

    A model that has seen only single frames may still fail here, where the best match cannot: this clip is given, not
    chosen. The result is blind to order: every frame has its own c, so that shuffled frames are redrawn just as well.
    To see whether neighbours in time are neighbours in c, compare `Inversion.step` of the clip with that of shuffled
    frames.

    Example:
        >>> found = invert(model, held_out_clip)
        >>> animlab.metrics.psnr(found.frames, held_out_clip).mean()

    Args:
        model: the model.
        clip: (T, 64, 64, C) uint8, C as the model draws.
        steps: steps of Adam, at least 2.
        seed: seed of the random starts, 0 to 2³² - 1; the same seed gives the same result.

    Raises:
        ValueError: The clip has another shape or dtype than the model draws, or `steps` or `seed` is out of range.
        TypeError: This is not a Model.
    """
    instance("invert takes a Model, such as animlab.load gives", model, Model)
    check_task(clip, model.generator.channels, steps)
    seed = seed_of(seed)
    device = next(model.generator.parameters()).device
    target = to_tensor(clip, device)
    z, c = _starts(model, target, torch.Generator().manual_seed(seed))  # (n_d, n_z), (n_d, T, n_c)
    every = torch.arange(model.space.n_d, device=device)
    searched = max(1, round(SEARCH * steps))
    z, c, error = _descend(model, target, z, c, every, searched)
    best = int(error.argmin())
    one = slice(best, best + 1)
    z, c, _ = _descend(model, target, z[one], c[one], every[one], steps - searched)
    labels = _labels(model, z, c, every[one])
    with torch.no_grad():
        frames = to_uint8(model.generator(labels))
    return Inversion.of(frames, clip, labels=labels.to("cpu"))


def check_task(clip: np.ndarray, channels: int, steps: int) -> None:
    """Raises ValueError unless a model can invert a clip.

    Args:
        clip: (T, 64, 64, C) uint8.
        channels: C of the model.
        steps: at least 2.
    """
    check_frames("A clip for this model to redraw", clip, size=(64, 64), channels=(channels,))
    if steps < 2:
        raise ValueError(f"Redrawing takes at least two steps, one to choose d and one to go on, got steps={steps}.")


@torch.no_grad()
def _starts(model: Model, target: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """For each d, where to start: z and c of the random picture that is nearest to the clip's mean frame."""
    space, device = model.space, target.device
    drawn = space.sample(TRIES, rng).to(device)
    middle = target.mean(dim=0)
    zs, cs = [], []
    for d in range(space.n_d):
        pictures = model.generator(Labels(drawn.z, space.one_hot(torch.full((TRIES,), d)).to(device), drawn.c))
        best = (pictures - middle).square().flatten(1).mean(dim=1).argmin()
        zs.append(drawn.z[best].clamp(-Z_LIMIT, Z_LIMIT))
        cs.append(drawn.c[best].expand(len(target), -1))
    return torch.stack(zs), torch.stack(cs)


def _descend(
    model: Model, target: Tensor, z: Tensor, c: Tensor, ds: Tensor, steps: int
) -> tuple[Tensor, Tensor, Tensor]:
    """`steps` of Adam for all d at once. z: (D, n_z), c: (D, T, n_c). Returns both and the error of each d, (D,)."""

    def errors(z: Tensor, c: Tensor) -> Tensor:
        pictures = model.generator(_labels(model, z, c, ds)).unflatten(0, c.shape[:2])
        return (pictures - target).square().flatten(1).mean(dim=1)

    (z, c), found = descend([(z, -Z_LIMIT, Z_LIMIT), (c, 0, 1)], errors, model.generator, steps)
    return z, c, found


def descend(
    inputs: list[tuple[Tensor, float, float]], errors: Callable[..., Tensor], network: nn.Module, steps: int
) -> tuple[list[Tensor], Tensor]:
    """Minimises errors with Adam over inputs of a network, whose weights stay fixed. Rows are independent.

    Args:
        inputs: tensors (D, …), each with its smallest and largest value, to which it is clamped after every step.
        errors: takes these tensors and returns the errors, (D,).
        network: the network that `errors` uses.
        steps: steps of Adam.

    Returns:
        The tensors after the last step, and the errors (D,) before it.
    """
    free = [tensor.clone().requires_grad_() for tensor, _, _ in inputs]
    adam = torch.optim.Adam(free, RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, max(1, steps), RATE / 20)
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    network.requires_grad_(False)
    try:
        for _ in range(steps):
            found = errors(*free)
            adam.zero_grad()
            found.sum().backward()
            adam.step()
            schedule.step()
            with torch.no_grad():
                for tensor, (_, least, greatest) in zip(free, inputs):
                    tensor.clamp_(least, greatest)
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)
    return [tensor.detach() for tensor in free], found.detach()


def _labels(model: Model, z: Tensor, c: Tensor, ds: Tensor) -> Labels:
    """z (D, n_z), c (D, T, n_c) and ds (D,) as D·T labels, the frames of one d after those of another."""
    times = c.shape[1]
    d = model.space.one_hot(ds)
    return Labels(z.repeat_interleave(times, 0), d.repeat_interleave(times, 0), c.flatten(0, 1))
