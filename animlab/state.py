"""The state of a training run: what a next step depends on, saved and restored exactly."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from . import checkpoints
from .frames import to_tensor
from .labels import LabelSpace
from .model import Model
from .networks import Discriminator, Generator
from .presets import Preset
from .processes import Processes
from .step import train_step


class TrainingDiverged(RuntimeError):
    """A loss became NaN or infinite; the last checkpoint is from before."""


@dataclass
class TrainingState:
    """Everything that a next step depends on: networks, their running average, optimisers, random state, step count.

    saved: the step of the last checkpoint, 0 before the first.
    """

    generator: Generator
    discriminator: Discriminator
    average: Generator
    g_optimizer: torch.optim.Adam
    d_optimizer: torch.optim.Adam
    rng: torch.Generator
    preset: Preset
    settings: dict[str, Any]
    processes: Processes
    step: int = 0
    saved: int = 0

    @classmethod
    def start(
        cls, space: LabelSpace, channels: int, width: float, settings: dict[str, Any], processes: Processes
    ) -> TrainingState:
        """Fresh networks from the seed. The caller's random state is left alone."""
        preset = Preset(**settings["preset_values"])
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(settings["seed"])
            generator = Generator(space, channels, width, preset.centre_c)
            discriminator = Discriminator(space, channels, width, preset.centre_c, preset.norm)
        for net in (generator, discriminator):
            net.to(processes.device).to(memory_format=torch.channels_last)
        average = deepcopy(generator).requires_grad_(False).eval()
        g_optimizer = torch.optim.Adam(generator.parameters(), preset.lr_g, preset.betas, fused=True)
        d_optimizer = torch.optim.Adam(discriminator.parameters(), preset.lr_d, preset.betas, fused=True)
        processes.join((generator, g_optimizer), (discriminator, d_optimizer))
        rng = torch.Generator().manual_seed(settings["seed"])
        return cls(generator, discriminator, average, g_optimizer, d_optimizer, rng, preset, settings, processes)

    def advance(self, frames: np.ndarray) -> dict[str, float]:
        """One step on a fresh random batch of `frames`, of which this process takes its part; the losses as numbers."""
        batch, part = self.preset.batch, self.processes.rows
        rows = torch.randint(len(frames), (batch,), generator=self.rng)[part].numpy()
        real = to_tensor(frames[rows], self.processes.device)
        sample = self.generator.space.sample_pairs if self.preset.lambda_still else self.generator.space.sample
        labels = sample(batch, self.rng)[part].to(self.processes.device)
        self.generator.train()
        self.discriminator.train()
        losses = train_step(
            self.generator, self.discriminator, self.g_optimizer, self.d_optimizer,
            real, labels, self.preset, self.autocast, partial(self.processes.rand, generator=self.rng),
        )  # fmt: skip
        self.step += 1
        self._average()
        return dict(zip(losses, self.processes.mean(torch.stack(list(losses.values()))).tolist()))

    @property
    def batch(self) -> int:
        """Frames a step."""
        return self.preset.batch

    @property
    def width(self) -> float:
        """Of the networks."""
        return self.generator.width

    def autocast(self) -> AbstractContextManager[Any]:
        """bf16 where the run was begun in it."""
        bf16 = self.settings["precision"] == "bf16"
        return torch.autocast(self.processes.device.type, torch.bfloat16) if bf16 else nullcontext()

    @torch.no_grad()
    def _average(self) -> None:
        """EMA of the generator, which follows closely at first: decay min(ema, n / (n + 10))."""
        decay = min(self.preset.ema, self.step / (self.step + 10))
        torch._foreach_lerp_(list(self.average.parameters()), list(self.generator.parameters()), 1 - decay)
        for mine, new in zip(self.average.buffers(), self.generator.buffers()):
            mine.copy_(new)

    def model(self) -> Model:
        """A Model that shares the running average and D, so that it always shows the newest step."""
        return Model(self.average, self.discriminator, self.settings)

    def save(self, out: Path, keep: int = 0) -> None:
        """Writes the checkpoint: the model to play with and all that `restore` needs; `keep` older ones stay."""
        self.settings["steps"] = self.step
        tensors = checkpoints.with_prefix("generator.", self.average.state_dict())
        tensors |= checkpoints.with_prefix("discriminator.", self.discriminator.state_dict())
        tensors |= checkpoints.with_prefix("training.generator.", self.generator.state_dict())
        for name, optimizer in (("g", self.g_optimizer), ("d", self.d_optimizer)):
            tensors |= checkpoints.with_prefix(f"training.{name}_optimizer.", optimizer_tensors(optimizer))
        tensors["training.rng"] = self.rng.get_state()
        for name, tensor in tensors.items():
            if not tensor.isfinite().all():
                raise self.diverged(f"{name} is not finite")
        header = checkpoints.describe(self.average, self.discriminator, self.settings)
        if self.processes.first:
            if keep and self.saved:
                checkpoints.set_aside(out, self.saved, keep)
            checkpoints.write_checkpoint(out, tensors, header)
        self.saved = self.step

    def diverged(self, what: str) -> TrainingDiverged:
        """The error to raise where `what` went wrong."""
        return TrainingDiverged(
            f"Training diverged at step {self.step}: {what}; {self.kept()}. "
            "Try preset='stable', a lower learning rate or another seed."
        )

    def kept(self) -> str:
        """What an error leaves, in words."""
        return f"the checkpoint of step {self.saved} is intact" if self.saved else "nothing was saved"

    def restore(self, out: Path) -> None:
        """Takes up the run that was saved in `out`; ValueError where it was begun with other settings."""
        tensors, header = checkpoints.read_checkpoint(checkpoints.file_of(out))
        if "baseline" in header:
            raise ValueError(
                f"{out} holds a {header['baseline']}, which animlab.baselines.fit trains: name another place."
            )
        if "training.rng" not in tensors:
            raise ValueError(f"{out} holds a finished model without its training state, so it cannot be resumed.")
        mine = checkpoints.describe(self.average, self.discriminator, self.settings)
        check_same(out, header, mine, ("card", "space", "channels", "generator", "discriminator"))
        part = checkpoints.without_prefix
        self.average.load_state_dict(part("generator.", tensors))
        self.discriminator.load_state_dict(part("discriminator.", tensors))
        self.generator.load_state_dict(part("training.generator.", tensors))
        for name, optimizer in (("g", self.g_optimizer), ("d", self.d_optimizer)):
            restore_optimizer(optimizer, part(f"training.{name}_optimizer.", tensors))
        self.rng.set_state(tensors["training.rng"])
        self.step = self.saved = self.settings["steps"] = header["card"]["steps"]


def check_same(out: Path, was: dict[str, Any], now: dict[str, Any], keys: tuple[str, ...]) -> None:
    """ValueError where the run in `out` was begun with settings `was` that differ from `now`'s under one of `keys`."""
    for key in keys:
        before = dict(_leaves(key, was[key]))
        for name, value in _leaves(key, json.loads(json.dumps(now[key]))):
            if before.get(name) != value:
                raise ValueError(
                    f"The run in {out} was begun with {name} = {before.get(name)}, not {value}: "
                    "resume with the same or anew."
                )


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """What an optimiser with one group remembers of each weight, by the weight's number and the moment's name."""
    remembered = optimizer.state_dict()["state"]
    return {f"{i}.{name}": value for i, moments in remembered.items() for name, value in moments.items()}


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Gives back to an optimiser what `optimizer_tensors` took."""
    weights = optimizer.param_groups[0]["params"]
    state: dict[int, dict[str, Tensor]] = {i: {} for i in range(len(weights))}
    for key, value in tensors.items():
        i, moment = key.split(".")
        # Fused Adam walks weight and moments side by side in memory, so they need the same layout.
        like = weights[int(i)]
        state[int(i)][moment] = torch.empty_like(like).copy_(value) if value.shape == like.shape else value
    optimizer.load_state_dict(optimizer.state_dict() | {"state": state})


def _leaves(name: str, tree: Any) -> Iterator[tuple[str, Any]]:
    """Every value in nested dicts, with its own name."""
    if not isinstance(tree, dict):
        yield name, tree
        return
    for key, value in tree.items():
        yield from _leaves(key, value)
