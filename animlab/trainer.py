"""Trainers hold everything that the next training step depends on, and save and restore it exactly."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from . import checkpoints
from .backend.device import memory_errors
from .backend.distributed import Processes
from .backend.optimizers import optimizer_tensors, restore_optimizer
from .checks import check_frames, instance, whole
from .datasets import Clips
from .frames import alike, fingerprint, match, sketch


class TrainingDiverged(RuntimeError):
    """A loss or a weight became NaN or infinite; the last checkpoint is intact."""


@dataclass(frozen=True)
class Settings:
    """The settings that every run has, whatever it trains.

    Args:
        dataset: name of the data set.
        seed: seed of all random numbers of the run, a 64-bit integer.
        precision: "bf16" or "fp32".

    Raises:
        ValueError: seed is not such an integer.
    """

    dataset: str = "unnamed"
    seed: int = 0
    precision: str = "fp32"

    def __post_init__(self) -> None:
        object.__setattr__(self, "dataset", str(self.dataset))  # plain Python types, which JSON can store
        object.__setattr__(self, "seed", whole("seed", self.seed, -(2**63), 2**63 - 1))


class Trainer(ABC):
    """The state of a training run between two steps. A subclass builds the networks and makes the step.

    Attributes:
        step: steps done.
        saved: step of the last checkpoint, 0 before the first.
        real: the training frames.
        card: settings, recipe and number of steps done, which the run's model carries along.
        advice: what the message of TrainingDiverged recommends.
        must_agree: keys of a checkpoint's header that have to equal those of a run that resumes from it.

    Args:
        settings: data set, seed and precision.
        recipe: what else belongs on the card.
        frames: (N, 64, 64, C) uint8, the training frames.
        processes: the processes that train together.
        rng: generator of all random numbers of the run.
        parts: the networks, by the prefix of their tensors' names in a checkpoint.
        optimizers: the optimisers, by name; their tensors are "training.<name>.…" in a checkpoint.
    """

    advice = "Try another seed."
    must_agree: tuple[str, ...] = ("card",)  # keys of a header that have to equal those of a run that resumes from it

    def __init__(
        self,
        settings: Settings,
        recipe: dict[str, Any],
        frames: np.ndarray,
        processes: Processes,
        rng: torch.Generator,
        parts: Mapping[str, nn.Module],
        optimizers: Mapping[str, torch.optim.Optimizer],
    ) -> None:
        self.settings, self.processes, self.rng = settings, processes, rng
        self.real, self.fingerprint = frames, fingerprint(frames)
        self.parts, self.optimizers = parts, optimizers
        self.card: dict[str, Any] = asdict(settings) | recipe | {"steps": 0}
        self.step = self.saved = 0

    @cached_property
    def sketch(self) -> np.ndarray:
        """The sketch of the frames, which a run that is never written can do without."""
        return sketch(self.real)

    @property
    @abstractmethod
    def batch(self) -> int:
        """Real frames per step, of all processes together."""

    @property
    @abstractmethod
    def width(self) -> float:
        """The networks' width factor."""

    @abstractmethod
    def model(self) -> Any:
        """The model to play with; it shares its weights with this run, so that it always shows the newest step."""

    @abstractmethod
    def _update(self) -> dict[str, float] | dict[str, Tensor]:
        """Makes one step; returns its losses."""

    @abstractmethod
    def _header(self) -> dict[str, Any]:
        """The header of a checkpoint."""

    def _checked_header(self, out: Path, header: dict[str, Any]) -> dict[str, Any]:
        """A checkpoint's header in this version's form; ValueError if another kind of trainer wrote it."""
        return header

    def train_step(self) -> dict[str, float] | dict[str, Tensor]:
        """Makes one step on a new random batch.

        Returns:
            The losses by name, as numbers, or on a GPU as scalar tensors, so that Python need not wait for them.
        """
        losses = self._update()
        self.step = self.card["steps"] = self.step + 1
        return losses

    def save(self, out: Path, keep: int = 0) -> None:
        """Writes a checkpoint with the model to play with and everything that `restore` needs.

        Args:
            out: folder of the run, or a .safetensors file.
            keep: number of earlier checkpoints that stay beside it.

        Raises:
            TrainingDiverged: A tensor is not finite; nothing is written.
            OSError: The disk is full, or the folder is not writable; the checkpoint before stays.
        """
        tensors: dict[str, Tensor] = {}
        for prefix, network in self.parts.items():  # copies: networks may share weights, tensors in a file may not
            tensors |= {prefix + name: value.clone() for name, value in network.state_dict().items()}
        for name, optimizer in self.optimizers.items():
            tensors |= checkpoints.with_prefix(f"training.{name}.", optimizer_tensors(optimizer))
        tensors["training.rng"] = self.rng.get_state()
        for name, tensor in tensors.items():
            if not tensor.isfinite().all():
                raise self.diverged(f"{name} is not finite")
        if self.processes.first:
            if keep and self.saved:
                checkpoints.set_aside(out, self.saved, keep)
            tensors["training.frames"] = torch.from_numpy(self.sketch)
            checkpoints.write_checkpoint(out, tensors, self._header() | {"frames": self.fingerprint})
        self.saved = self.step

    def restore(self, out: Path) -> None:
        """Continues from the checkpoint in `out`.

        Args:
            out: folder of the run, or a .safetensors file.

        Raises:
            ValueError: The run was begun with other settings or frames, or holds a model without its training state.
            CheckpointError: The file is missing or damaged.
        """
        place = checkpoints.file_of(out)
        tensors, header = checkpoints.read_checkpoint(place)
        with checkpoints.fitting(place):
            steps = whole("steps", checkpoints.card_of(header).get("steps"), 0)
        header = self._checked_header(out, header)
        if "training.rng" not in tensors:
            raise ValueError(f"{out} holds a finished model without its training state, so it cannot be resumed.")
        mine = self._header()
        mine["card"] = {name: value for name, value in mine["card"].items() if name != "steps"}
        if lacks := [key for key in self.must_agree if key not in header]:
            raise checkpoints.CheckpointError(f"{place} has a header without {lacks[0]!r}, so it cannot be resumed.")
        check_same(out, header, mine, self.must_agree)
        with checkpoints.fitting(place):
            was = header.get("frames", self.fingerprint), tensors.get("training.frames")  # unknown in older files
            same_frames = alike(was[0], self.fingerprint) and (was[1] is None or match(was[1].numpy(), self.sketch))
        if not same_frames:
            raise ValueError(
                f"The run in {out} was begun with other frames than these, which are named {self.settings.dataset!r} "
                "as well: resume it with the same frames, or start a new run in another folder."
            )
        with checkpoints.fitting(place):
            checkpoints.compare(self.parts, tensors)
            for prefix, network in self.parts.items():
                network.load_state_dict(checkpoints.without_prefix(prefix, tensors))
            for name, optimizer in self.optimizers.items():
                restore_optimizer(optimizer, checkpoints.without_prefix(f"training.{name}.", tensors))
            self.step = self.saved = self.card["steps"] = steps
            if tensors["training.rng"].shape == self.rng.get_state().shape:
                self.rng.set_state(tensors["training.rng"])
            else:  # begun on a CPU and resumed on a GPU, or the other way round: their generators differ
                self.rng.manual_seed(self.settings.seed + self.step)

    def diverged(self, what: str) -> TrainingDiverged:
        """The error to raise.

        Args:
            what: which value went wrong, for the message.
        """
        return TrainingDiverged(f"Training diverged at step {self.step}: {what}; {self.kept()}. {self.advice}")

    def kept(self) -> str:
        """Says which checkpoint is left, for an error message."""
        return f"the checkpoint of step {self.saved} is intact" if self.saved else "nothing was saved"

    def memory_errors(self, what: str | None = None) -> AbstractContextManager[None]:
        """A context in which running out of memory raises a MemoryError that says what to make smaller.

        Args:
            what: what needs the memory, for the message; None is the current step.
        """
        return memory_errors(
            lambda: (
                f"{what or f'Step {self.step + 1}'} needs more memory than there is, with batches of {self.batch} "
                f"and networks of width {self.width:g}: make one of them smaller; {self.kept()}."
            )
        )


def check_clips(clips: Clips) -> None:
    """Checks that a data set can be trained on.

    Args:
        clips: the data set.

    Raises:
        TypeError: These are not Clips.
        ValueError: The frames are not uint8 (N, 64, 64, 1 or 3).
    """
    instance("Training takes Clips, such as load_dataset gives", clips, Clips)
    check_frames("What a model trains on", clips.frames, size=(64, 64))


def check_same(out: Path, was: dict[str, Any], now: dict[str, Any], keys: tuple[str, ...]) -> None:
    """Raises ValueError if a run was begun with other settings.

    Args:
        out: the run's folder, for the message.
        was: settings that the run was begun with.
        now: settings of this run.
        keys: the keys to compare, with everything nested below them.
    """
    was, now = (json.loads(json.dumps(settings)) for settings in (was, now))  # JSON has no tuples
    for key in keys:
        before = dict(_leaves(key, was[key]))
        for name, value in _leaves(key, now[key]):
            if before.get(name) != value:
                raise ValueError(
                    f"The run in {out} was begun with {name} = {before.get(name)}, not {value}: "
                    "resume it with the same setting, or start a new run in another folder."
                )


def _leaves(name: str, tree: Any) -> Iterator[tuple[str, Any]]:
    """Yields every value in nested dicts, with its innermost key."""
    if not isinstance(tree, dict):
        yield name, tree
        return
    for key, value in tree.items():
        yield from _leaves(key, value)
