"""Callbacks follow a training run: history, checkpoints, the progress bar, and any that you write."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from .model import Model
from .trainer import Trainer


@dataclass(frozen=True)
class Record:
    """What a callback is told about a step.

    Attributes:
        step: steps done, this one included.
        steps: steps of the whole run.
        losses: this step's d_loss, g_loss, lambda_d and lambda_c; those of a baseline have other names.
        seconds: wall-clock time since this call of fit began its loop.
        frames_per_second: real frames per second since then.
        model: the model so far, with the EMA weights; it changes as training goes on.
    """

    step: int
    steps: int
    losses: dict[str, float]
    seconds: float
    frames_per_second: float
    model: Model


class Callback:
    """Follows a training run; override the methods that you need. The loop itself knows no plots and no widgets.

    Example:
        >>> class Steps(animlab.Callback):
        ...     def on_step(self, record):
        ...         print(record.step, record.losses["d_loss"])
    """

    def on_step(self, record: Record) -> None:
        """Called after every step; on a GPU for several steps in a row, once their losses have been fetched.

        Args:
            record: the step.
        """

    def on_sample(self, record: Record) -> None:
        """Called every `sample_every` steps: a good moment to draw.

        Args:
            record: the latest step.
        """

    def on_end(self, record: Record) -> None:
        """Called once, after the last step or an interrupt.

        Args:
            record: the last step.
        """


@dataclass
class History(Callback):
    """A callback that keeps every loss of every step.

    Args:
        losses: name → values so far; leave it empty.
    """

    losses: dict[str, list[float]] = field(default_factory=dict)

    def on_step(self, record: Record) -> None:
        for name, value in record.losses.items():
            self.losses.setdefault(name, []).append(value)

    def arrays(self) -> dict[str, np.ndarray]:
        """The losses by name, each float32 (n,), one value per step."""
        return {name: np.array(values, dtype=np.float32) for name, values in self.losses.items()}


@dataclass
class Checkpoints(Callback):
    """A callback that writes a checkpoint at regular intervals, and one of the last step.

    Args:
        trainer: what is saved.
        out: folder of the run, or a .safetensors file.
        every: steps between two checkpoints.
        keep: number of earlier checkpoints that stay beside the newest.
    """

    trainer: Trainer
    out: Path
    every: int
    keep: int

    def on_step(self, record: Record) -> None:
        if record.step % self.every == 0:
            self._save()

    def on_end(self, record: Record) -> None:
        if self.trainer.saved < self.trainer.step:
            self._save()

    def _save(self) -> None:
        """Saves; running out of memory here is reported as in a step."""
        with self.trainer.memory_errors(f"The checkpoint of step {self.trainer.step}"):
            self.trainer.save(self.out, self.keep)


@dataclass
class ProgressBar(Callback):
    """A callback that advances a tqdm bar and shows speed and losses beside it.

    Args:
        bar: the bar, whose unit is a step.
    """

    bar: tqdm[Any]

    def on_step(self, record: Record) -> None:
        told = {"frames/s": f"{record.frames_per_second:.0f}"} | {k: f"{v:.2f}" for k, v in record.losses.items()}
        self.bar.set_postfix(told, refresh=False)
        self.bar.update()
