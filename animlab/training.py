"""fit: the loop around the two-stage step; progress bar, history and checkpoints are callbacks."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
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
from .callbacks import Callback, Checkpoints, History, ProgressBar, Record
from .checks import flag, instance, path_of, real, shown, whole
from .datasets import Clips
from .gan_trainer import GANTrainer
from .labels import LabelSpace
from .model import Model
from .places import locked
from .presets import Preset, find_preset
from .trainer import Settings, Trainer, check_clips

READ_EVERY = {"cuda": 25}  # steps between two readings of the losses, 1 elsewhere: a reading waits for the GPU


@dataclass(frozen=True, kw_only=True)
class LoopOptions:
    """The options of the loop, which `animlab.fit` and `animlab.baselines.fit` share.

    Args:
        seconds: wall-clock limit of this call in seconds, None for none.
        resume: whether to continue from the checkpoint of the run.
        callbacks: called at every step.
        sample_every: steps between two calls of on_sample, at least 1.
        checkpoint_every: steps between two checkpoints, at least 1.
        keep: number of earlier checkpoints that stay beside the newest.
        progress: whether to show a progress bar.

    Raises:
        ValueError: A number is out of range, or `resume` or `progress` is not True or False.
        TypeError: `callbacks` is not a list of Callback objects.
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
    """The result of `fit`.

    Attributes:
        model: the trained model.
        step: steps done in all.
        history: loss name → float32 (n,), the value of each step since this call began.
        seconds: wall-clock time of this call.
        out: folder of the checkpoint, None if nothing was written.
        interrupted: whether a signal ended the run early.
    """

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
    """Trains a GAN on single frames in random order and returns the model and its history.

    Ctrl-C ends the run after the current step (on a GPU within 25 steps), writes a checkpoint and returns the run so
    far; SIGTERM and SIGHUP write one too and then end the process. Under `accelerate launch` or `notebook_launcher` the
    processes share each batch: the result is that of one process, up to rounding, and only the first process calls
    back, shows progress and writes.

    Example:
        >>> run = animlab.fit(clips, animlab.LabelSpace(), steps=2000, seed=0, out="runs/actions")

    Args:
        clips: what load_dataset returns; only the frames are used, not their order or classes.
        space: the number of labels of each kind, with n_c at least 1.
        preset: a name in PRESETS, or a Preset.
        steps: steps of the whole run, so that a resumed run stops where an uninterrupted one would.
        seed: seed of weights, batches and labels.
        out: folder for the checkpoint, or a .safetensors file; None writes nothing.
        width: factor on the channels of the networks; 1 is the paper's.
        start: a model to fine-tune instead of untrained networks; of the preset's architecture and the same label
            space.
        seconds: wall-clock limit of this call in seconds, whatever `steps` says.
        precision: "bf16", "fp32", or "auto", which is bf16 where the hardware multiplies it natively.
        device: a torch device, such as "cpu" or "cuda:0"; None takes a CUDA GPU if there is one, else the CPU.
        resume: whether to continue from the checkpoint in `out`; on the CPU the result is bit for bit that of an
            uninterrupted run.
        callbacks: Callback objects, such as TensorBoard or plots.LivePlot.
        sample_every: steps between two calls of on_sample.
        checkpoint_every: steps between two checkpoints.
        keep: number of earlier checkpoints that stay beside the newest, as `step-500.safetensors`; `animlab.load` opens
            each.
        progress: whether to show a progress bar.

    Returns:
        The model, the losses of every step, and how the run ended.

    Raises:
        ValueError: Settings or frames cannot be trained on, or the run in `out` was begun with others.
        TypeError: An argument is not Clips, a LabelSpace, a Model or a list of callbacks.
        FileExistsError: `out` holds a run, and `resume` is off.
        BlockingIOError: Another process is training in `out`.
        CheckpointError: The checkpoint in `out` is damaged.
        TrainingDiverged: A loss is no longer finite.
        MemoryError: A step or a checkpoint needs more memory than there is.
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
    """Estimates how long `fit` takes with these arguments, from the median time of a few steps.

    It times a separate run, which is discarded, after some warm-up steps. Callbacks and checkpoints are not counted.

    Example:
        >>> minutes = animlab.training.estimate(clips, space, "stable", 20_000, width=0.5) / 60

    Args:
        clips: as for fit.
        space: as for fit.
        preset: as for fit.
        steps: steps of the run to estimate.
        width: as for fit.
        precision: as for fit.
        device: as for fit.
        timed: number of steps to time.

    Returns:
        Seconds for `steps` steps on this machine.

    Raises:
        ValueError: As for fit.
        TypeError: As for fit.
        MemoryError: As for fit.
    """
    steps, timed = whole("steps", steps, 1), whole("timed", timed, 1)
    trainer, took = _trainer(clips, space, preset, 0, width, precision, device), []
    warm_up = 2 if trainer.processes.device.type == "cpu" else 10  # buffers, choice of kernels, capture of the graph
    for _ in range(warm_up + timed):
        start = time.perf_counter()
        with trainer.memory_errors():
            for loss in trainer.train_step().values():
                float(loss)  # waits for the GPU, which computes while Python goes on
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
    """The trainer of a GAN before its first step."""
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
    """Runs the training loop.

    Args:
        trainer: makes the steps; its state is updated.
        steps: steps in all; those that the trainer has done before count.
        out: folder for the checkpoint, or a .safetensors file; None writes nothing.
        options: limits, callbacks and intervals.

    Returns:
        The model, the losses of every step, and how the run ended.

    Raises:
        FileExistsError: `out` holds a run, and `resume` is off.
        BlockingIOError: Another process is training in `out`.
        CheckpointError: The checkpoint in `out` is damaged.
        ValueError: The run in `out` was begun with other settings or frames.
        TrainingDiverged: A loss is no longer finite.
        MemoryError: A step or a checkpoint needs more memory than there is.
    """
    # In this order: a signal that ends the process does so once the folder's lock is released.
    with interrupts() as interrupted, _taken_up(trainer, out, options.resume) as place:
        return _loop(trainer, steps, place, options, interrupted)


def _loop(
    trainer: Trainer, steps: int, place: Path | None, options: LoopOptions, interrupted: Callable[[], bool]
) -> Run:
    """What `train` does once it holds its folder. interrupted: whether a signal has asked the run to end."""
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
            count = min(steps - trainer.step, *(n - trainer.step % n for n in every))  # to the next event
            with trainer.memory_errors():
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
    for watcher in reversed(watchers):  # the last checkpoint first, because a callback may fail
        watcher.on_end(record)
    if stopped and trainer.processes.first:
        rest = f"; go on with fit(…, out={str(place)!r}, resume=True)" if place else ""
        print(f"Interrupted after step {trainer.step} of {steps}{rest}.", file=sys.stderr)
    return Run(model, trainer.step, history.arrays(), time.perf_counter() - began, place, stopped)


@contextmanager
def _taken_up(trainer: Trainer, out: str | Path | None, resume: bool) -> Iterator[Path | None]:
    """Holds the folder of a run until the run ends; resumes what it holds, or refuses with FileExistsError.

    Raises BlockingIOError where another process holds the folder.
    """
    if out is None:
        yield None
        return
    place = path_of("out", out)
    file = checkpoints.file_of(out)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)  # so that a bad path fails now, not at the first checkpoint
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


def _check_losses(trainer: Trainer, step: int, losses: dict[str, float]) -> None:
    """TrainingDiverged where a loss of step `step`, which may be some steps ago, is not finite."""
    for name, value in losses.items():
        if not math.isfinite(value):
            since = f" since step {step}" if step < trainer.step else ""
            raise trainer.diverged(f"{name} is {value}{since}")


def _numbers(burst: list[dict[str, Any]]) -> list[dict[str, float]]:
    """The losses of several steps as numbers; those on a GPU are fetched in one transfer."""
    values = [value for losses in burst for value in losses.values()]
    if isinstance(values[0], torch.Tensor):
        values = torch.stack(values).tolist()
    numbers = iter(values)
    return [{name: next(numbers) for name in losses} for losses in burst]


def _check(space: LabelSpace, preset: Preset, processes: int) -> None:
    if space.n_c < 1:
        raise ValueError("Training needs at least one continuous label, got n_c=0.")
    if preset.batch % (2 * processes):
        raise ValueError(
            f"{processes} processes cannot share batches of {preset.batch} frames: each takes an even number of them, "
            f"so that the batch has to be a multiple of {2 * processes}."
        )
