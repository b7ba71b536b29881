"""fit: the loop around the two-stage step; progress bar, history and checkpoints follow it as callbacks."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm

from . import checkpoints
from .backend.device import Precision, choose_precision, keep_freed_memory, memory_errors
from .backend.distributed import Processes
from .backend.signals import interrupts
from .checks import check_frames, flag, instance, real, shown, whole
from .datasets import Clips
from .labels import LabelSpace
from .model import Model
from .places import locked
from .presets import Preset, find_preset
from .trainer import GANTrainer, Settings, Trainer

READ_EVERY = {"cuda": 25}  # steps from one look at the losses to the next, 1 elsewhere: it means to wait for the GPU


@dataclass(frozen=True)
class Record:
    """What a callback is told. losses: d_loss, g_loss, lambda_d, lambda_c of this step; model: the EMA weights."""

    step: int
    steps: int
    losses: dict[str, float]
    seconds: float
    frames_per_second: float
    model: Model


class Callback:
    """Follows a training run: override what you need. The loop itself knows no plots and no widgets."""

    def on_step(self, record: Record) -> None:
        """After every step; on a GPU for some steps at a time, when their losses are fetched."""

    def on_sample(self, record: Record) -> None:
        """Every `sample_every` steps: a good moment to draw."""

    def on_end(self, record: Record) -> None:
        """Once, after the last step or an interrupt."""


@dataclass(frozen=True, kw_only=True)
class LoopOptions:
    """How a loop runs, whatever it trains: the keyword arguments that `fit` and the baselines' `fit` share.

    Raises ValueError or TypeError, with one sentence, for what no loop can do.
    """

    seconds: float | None = None
    resume: bool = False
    callbacks: Sequence[Callback] = ()
    sample_every: int = 100
    checkpoint_every: int = 500
    keep: int = 0
    progress: bool = True

    def __post_init__(self) -> None:
        for name, least in (("sample_every", 1), ("checkpoint_every", 1), ("keep", 0)):
            object.__setattr__(self, name, whole(name, getattr(self, name), least))
        for name in ("resume", "progress"):
            object.__setattr__(self, name, flag(name, getattr(self, name)))
        if self.seconds is not None:
            real("seconds", self.seconds, 0, math.inf)
        if isinstance(self.callbacks, Callback) or not isinstance(self.callbacks, Iterable):
            raise TypeError(f"callbacks must be a list, got one {type(self.callbacks).__name__}: put it in brackets.")
        object.__setattr__(self, "callbacks", tuple(self.callbacks))
        for each in self.callbacks:
            instance("callbacks must be a list of Callback objects", each, Callback)


@dataclass
class Run:
    """What fit gives back. history: one array a loss, one value a step since this call began; step: steps in all."""

    model: Model
    step: int
    history: dict[str, np.ndarray]
    seconds: float
    out: Path | None
    interrupted: bool = False


def fit(
    clips: Clips,
    space: LabelSpace,
    preset: str | Preset = "stable",
    steps: int = 2000,
    seed: int = 0,
    out: str | Path | None = None,
    *,
    width: float = 1.0,
    start: Model | None = None,
    seconds: float | None = None,
    precision: Precision = "auto",
    device: str | None = None,
    resume: bool = False,
    callbacks: Sequence[Callback] = (),
    sample_every: int = 100,
    checkpoint_every: int = 500,
    keep: int = 0,
    progress: bool = True,
) -> Run:
    """Trains a GAN on shuffled frames and gives back the model and its history.

    >>> run = animlab.fit(clips, animlab.LabelSpace(), steps=2000, seed=0, out="runs/actions")

    clips: what load_dataset gave; only its frames are used, in random order. steps: in all, so that a resumed run
    stops where one run in one go would. seconds: stop this call after so long, whatever `steps` says. out: folder for
    the checkpoint, None writes nothing. width: of the networks, 1 is the paper's. start: a model to begin with instead
    of fresh networks, for fine-tuning; it has the preset's architecture and the same label space. precision: "auto" is
    bf16 where the machine multiplies it natively. resume: go on from the checkpoint in `out`; on the CPU the result is
    bit for bit that of an uninterrupted run. keep: how many earlier checkpoints stay beside the newest, as
    `step-500.safetensors`, each of which `animlab.load` plays.
    Ctrl-C ends after the step in hand (on a GPU within 25), leaves a checkpoint and gives back the run so far; SIGTERM
    and SIGHUP leave one too, and then end the process as they would have. Under
    `accelerate launch` or `notebook_launcher` the processes share each batch: the result is that of one process, to
    rounding, and the first one alone calls back, shows progress and writes.

    Raises ValueError for settings or frames that cannot be trained on, and for a run that was begun with others;
    TypeError for what are no Clips, no LabelSpace, no Model or no callbacks; FileExistsError where `out` holds a run
    and resume is off; BlockingIOError where another process is training there; CheckpointError where what it holds is
    damaged; TrainingDiverged where a loss stops being a number; MemoryError where a step or a checkpoint needs more
    than there is.
    """
    options = LoopOptions(
        seconds=seconds, resume=resume, callbacks=callbacks, sample_every=sample_every,
        checkpoint_every=checkpoint_every, keep=keep, progress=progress,
    )  # fmt: skip
    steps = whole("steps", steps, 1)
    if start is not None:
        instance("start takes a Model, such as animlab.load gives", start, Model)
    trainer = _trainer(clips, space, preset, seed, width, precision, device)
    if start is not None:
        trainer.begin_with(start)
    return train(trainer, steps, out, options)


def estimate(
    clips: Clips,
    space: LabelSpace,
    preset: str | Preset = "stable",
    steps: int = 2000,
    *,
    width: float = 1.0,
    precision: Precision = "auto",
    device: str | None = None,
    timed: int = 5,
) -> float:
    """Seconds that `steps` steps of `fit` with these arguments take here, from the median of `timed` of them.

    >>> minutes = animlab.training.estimate(clips, space, "stable", 20_000, width=0.5) / 60

    The steps are those of a run of its own that is then forgotten; some more before them warm up. Callbacks and
    checkpoints are not counted. Raises what fit raises for arguments that it cannot train with.
    """
    steps, timed = whole("steps", steps, 1), whole("timed", timed, 1)
    trainer, took = _trainer(clips, space, preset, 0, width, precision, device), []
    warm_up = 2 if trainer.processes.device.type == "cpu" else 10  # buffers are made, kernels chosen, graphs captured
    for _ in range(warm_up + timed):
        start = time.perf_counter()
        with _step_memory(trainer):
            for loss in trainer.train_step().values():
                float(loss)  # a GPU computes on while Python goes on: this waits for it
        took.append(time.perf_counter() - start)
    return steps * median(took[warm_up:])


def _trainer(
    clips: Clips,
    space: LabelSpace,
    preset: str | Preset,
    seed: int,
    width: float,
    precision: Precision,
    device: str | None,
) -> GANTrainer:
    """A run before its first step."""
    instance("Training takes a LabelSpace", space, LabelSpace)
    check_clips(clips)
    values = find_preset(preset)
    processes = Processes.here(device)
    _check(space, values, processes.count)
    if processes.device.type == "cpu":
        keep_freed_memory()
    settings = Settings(clips.name, seed, choose_precision(precision, processes.device))
    with memory_errors(lambda: f"Networks of width {shown(width)} need more memory than there is: take a smaller one."):
        return GANTrainer(clips.frames, space, values, settings, width, processes)


def train(trainer: Trainer, steps: int, out: str | Path | None, options: LoopOptions) -> Run:
    """The loop: steps of `trainer` until there are `steps` in all, followed by callbacks."""
    # In this order: a signal that ends the process does so when the folder has been let go.
    with interrupts() as interrupted, _taken_up(trainer, out, options.resume) as place:
        return _loop(trainer, steps, place, options, interrupted)


def _loop(
    trainer: Trainer, steps: int, place: Path | None, options: LoopOptions, interrupted: Callable[[], bool]
) -> Run:
    """What `train` does once it has its folder. interrupted: whether a signal has asked for an end."""
    first, began, model = trainer.step, time.perf_counter(), trainer.model()
    limit = math.inf if options.seconds is None else options.seconds
    every = (options.sample_every, options.checkpoint_every, READ_EVERY.get(trainer.processes.device.type, 1))
    history = History()
    watchers: list[Callback] = [history]
    silent = not (options.progress and trainer.processes.first)
    record = Record(first, steps, {}, 0.0, 0.0, model)
    with tqdm(total=steps, initial=first, disable=silent, unit="step") as bar:
        if trainer.processes.first:
            watchers += [ProgressBar(bar), *options.callbacks]
        if place is not None:
            watchers.append(Checkpoints(trainer, place, options.checkpoint_every, options.keep))
        while trainer.step < steps and not trainer.processes.any(record.seconds >= limit or interrupted()):
            count = min(steps - trainer.step, *(n - trainer.step % n for n in every))  # to the next that matters
            with _step_memory(trainer):
                burst = _numbers([trainer.train_step() for _ in range(count)])
            seconds = time.perf_counter() - began
            speed = (trainer.step - first) * trainer.batch / seconds
            for step, losses in enumerate(burst, trainer.step - count + 1):
                _check_losses(trainer, step, losses)
                record = Record(step, steps, losses, seconds, speed, model)
                for watcher in watchers:
                    watcher.on_step(record)
            if trainer.step % options.sample_every == 0:
                for watcher in watchers:
                    watcher.on_sample(record)
    stopped = interrupted()
    for watcher in reversed(watchers):  # the last checkpoint first: a callback may fail
        watcher.on_end(record)
    if stopped and trainer.processes.first:
        rest = f"; go on with fit(…, out={str(place)!r}, resume=True)" if place else ""
        print(f"Interrupted after step {trainer.step} of {steps}{rest}.", file=sys.stderr)
    return Run(model, trainer.step, history.arrays(), time.perf_counter() - began, place, stopped)


@contextmanager
def _taken_up(trainer: Trainer, out: str | Path | None, resume: bool) -> Iterator[Path | None]:
    """The folder of a run, held until the run ends; a run that it holds is gone on with, or FileExistsError refuses it.

    Raises BlockingIOError where another process holds the folder.
    """
    if out is None:
        yield None
        return
    file = checkpoints.file_of(out)
    place = Path(out).expanduser()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)  # a bad place shows now, not at the first checkpoint
    except OSError as error:
        raise type(error)(
            f"{file.parent} cannot be the folder of a run ({error.strerror}): name another place."
        ) from error
    with locked(file) if trainer.processes.first else nullcontext():
        if os.path.lexists(file):
            if not resume:
                raise FileExistsError(f"{place} already holds a run: pass resume=True to go on, or name another place.")
            trainer.restore(place)
        elif earlier := checkpoints.earlier_ones(file):
            raise FileExistsError(
                f"{place} holds what an earlier run set aside, such as {earlier[max(earlier)].name}: move it away, or "
                "name another place."
            )
        if trainer.processes.first:
            checkpoints.remove_unfinished(file)
        yield place


@dataclass
class History(Callback):
    """Keeps every loss of every step."""

    losses: dict[str, list[float]] = field(default_factory=dict)

    def on_step(self, record: Record) -> None:
        for name, value in record.losses.items():
            self.losses.setdefault(name, []).append(value)

    def arrays(self) -> dict[str, np.ndarray]:
        """One float32 array a loss."""
        return {name: np.array(values, dtype=np.float32) for name, values in self.losses.items()}


@dataclass
class Checkpoints(Callback):
    """Writes a checkpoint every so many steps, and one of the last step."""

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
        """A checkpoint takes memory for a moment too."""
        with _step_memory(self.trainer, f"The checkpoint of step {self.trainer.step}"):
            self.trainer.save(self.out, self.keep)


@dataclass
class ProgressBar(Callback):
    """Moves a bar on, with the speed and the losses beside it."""

    bar: tqdm[Any]

    def on_step(self, record: Record) -> None:
        told = {"frames/s": f"{record.frames_per_second:.0f}"} | {k: f"{v:.2f}" for k, v in record.losses.items()}
        self.bar.set_postfix(told, refresh=False)
        self.bar.update()


def _check_losses(trainer: Trainer, step: int, losses: dict[str, float]) -> None:
    """TrainingDiverged where a loss of step `step`, which may be some steps ago, is no finite number."""
    for name, value in losses.items():
        if not math.isfinite(value):
            since = f" since step {step}" if step < trainer.step else ""
            raise trainer.diverged(f"{name} is {value}{since}")


def _numbers(burst: list[dict[str, Any]]) -> list[dict[str, float]]:
    """Losses of some steps as numbers: what lies on a GPU still is fetched all at once."""
    values = [value for losses in burst for value in losses.values()]
    if isinstance(values[0], torch.Tensor):
        values = torch.stack(values).tolist()
    numbers = iter(values)
    return [{name: next(numbers) for name in losses} for losses in burst]


def check_clips(clips: Clips) -> None:
    """TypeError where these are no Clips, ValueError where theirs are not frames to train on."""
    instance("Training takes Clips, such as load_dataset gives", clips, Clips)
    check_frames("What a model trains on", clips.frames, size=(64, 64))


def _check(space: LabelSpace, preset: Preset, processes: int) -> None:
    if space.n_c < 1:
        raise ValueError("Training needs at least one continuous label, got n_c=0.")
    if preset.batch % (2 * processes):
        raise ValueError(
            f"{processes} processes cannot share batches of {preset.batch} frames: each takes an even number of them, "
            f"so that the batch has to be a multiple of {2 * processes}."
        )


def _step_memory(trainer: Trainer, what: str | None = None) -> AbstractContextManager[None]:
    """Out of memory in the middle of a run. what: that needs it, None for the step in hand."""
    return memory_errors(
        lambda: (
            f"{what or f'Step {trainer.step + 1}'} needs more memory than there is, with batches of {trainer.batch} "
            f"and networks of width {trainer.width:g}: make one of them smaller; {trainer.kept()}."
        )
    )
