"""fit: the loop around the two-stage step, with EMA, callbacks, checkpoints and exact resume."""

from __future__ import annotations

import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Protocol

import numpy as np
import torch
from tqdm.auto import tqdm

from . import checkpoints
from .backend.device import Precision, choose_precision, keep_freed_memory
from .backend.distributed import Processes
from .datasets import Clips
from .labels import LabelSpace
from .model import Model
from .presets import Preset, find_preset, name_of
from .trainer import Trainer, TrainingDiverged

READ_EVERY = {"cuda": 25}  # steps from one look at the losses to the next, 1 elsewhere: it means to wait for the GPU


class Trainable(Protocol):
    """What the loop asks of a state of training: Trainer, or that of a baseline.

    step: steps done; saved: the step of the last checkpoint; batch: frames a step; width: of the networks.
    """

    step: int
    saved: int
    processes: Processes

    @property
    def batch(self) -> int: ...

    @property
    def width(self) -> float: ...

    def train_step(self, frames: np.ndarray) -> dict[str, float] | dict[str, torch.Tensor]: ...

    def model(self) -> Any: ...

    def save(self, out: Path, keep: int = 0) -> None: ...

    def restore(self, out: Path) -> None: ...

    def diverged(self, what: str) -> TrainingDiverged: ...

    def kept(self) -> str: ...


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
    Ctrl-C ends after the step in hand (on a GPU within 25), leaves a checkpoint and gives back the run so far. Under
    `accelerate launch` or `notebook_launcher` the processes share each batch: the result is that of one process, to
    rounding, and the first one alone calls back, shows progress and writes.

    Raises ValueError for settings or frames that cannot be trained on, FileExistsError where `out` holds a run and
    resume is off, TrainingDiverged where a loss stops being a number, MemoryError where a step or a checkpoint
    needs more than there is.
    """
    state = _start(clips, space, preset, steps, seed, width, precision, device)
    if start is not None:
        state.begin_with(start)
    limit = math.inf if seconds is None else seconds
    return train(state, clips, steps, limit, out, resume, callbacks, sample_every, checkpoint_every, keep, progress)


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
    state, took = _start(clips, space, preset, steps, 0, width, precision, device), []
    warm_up = 2 if state.processes.device.type == "cpu" else 10  # buffers are made, kernels chosen, graphs captured
    for _ in range(warm_up + max(1, timed)):
        start = time.perf_counter()
        with _memory_errors(state):
            for loss in state.train_step(clips.frames).values():
                float(loss)  # a GPU computes on while Python goes on: this waits for it
        took.append(time.perf_counter() - start)
    return steps * median(took[warm_up:])


def _start(
    clips: Clips,
    space: LabelSpace,
    preset: str | Preset,
    steps: int,
    seed: int,
    width: float,
    precision: Precision,
    device: str | None,
) -> Trainer:
    """A run before its first step."""
    values = find_preset(preset)
    processes = Processes.here(device)
    _check(clips.frames, space, values, steps, processes.count)
    if processes.device.type == "cpu":
        keep_freed_memory()
    settings = {
        "dataset": clips.name,
        "seed": seed,
        "preset": name_of(values),
        "preset_values": asdict(values),
        "precision": choose_precision(precision, processes.device),
    }
    return Trainer.start(space, clips.frames.shape[3], width, settings, processes)


def train(
    state: Trainable,
    clips: Clips,
    steps: int,
    limit: float,
    out: str | Path | None,
    resume: bool,
    callbacks: Sequence[Callback],
    sample_every: int,
    checkpoint_every: int,
    keep: int,
    progress: bool,
) -> Run:
    """The loop of `fit`, whose arguments these are, around any state of training. limit: seconds for this call."""
    place = None if out is None else Path(out)
    if place is not None:
        file = checkpoints.file_of(place)
        if file.exists():
            if not resume:
                raise FileExistsError(f"{place} already holds a run: pass resume=True to go on, or name another place.")
            state.restore(place)
        file.parent.mkdir(parents=True, exist_ok=True)  # a bad place shows now, not at the first checkpoint
        if state.processes.first:
            checkpoints.remove_unfinished(file)
    history: dict[str, list[float]] = {}
    first, began = state.step, time.perf_counter()
    model = state.model()
    record = Record(state.step, steps, {}, 0.0, 0.0, model)
    processes = state.processes
    silent = not (progress and processes.first)
    callbacks = callbacks if processes.first else ()
    every = (sample_every, checkpoint_every, READ_EVERY.get(processes.device.type, 1))
    with _interrupts() as interrupted, tqdm(total=steps, initial=first, disable=silent, unit="step") as bar:
        while state.step < steps and not processes.any(record.seconds >= limit or interrupted()):
            count = min(steps - state.step, *(n - state.step % n for n in every))  # up to the next one that matters
            with _memory_errors(state):
                burst = _numbers([state.train_step(clips.frames) for _ in range(count)])
            seconds = time.perf_counter() - began
            speed = (state.step - first) * state.batch / seconds
            for step, losses in enumerate(burst, state.step - count + 1):
                for name, value in losses.items():
                    if not math.isfinite(value):
                        since = f" since step {step}" if step < state.step else ""
                        raise state.diverged(f"{name} is {value}{since}")
                    history.setdefault(name, []).append(value)
                record = Record(step, steps, losses, seconds, speed, model)
                for callback in callbacks:
                    callback.on_step(record)
            bar.set_postfix({"frames/s": f"{speed:.0f}"} | {k: f"{v:.2f}" for k, v in losses.items()}, refresh=False)
            bar.update(count)
            if state.step % sample_every == 0:
                for callback in callbacks:
                    callback.on_sample(record)
            if place is not None and state.step % checkpoint_every == 0:
                _save(state, place, keep)
        stopped = interrupted()
    if place is not None and state.saved < state.step:
        _save(state, place, keep)
    if stopped and processes.first:
        rest = f"; go on with fit(…, out={str(place)!r}, resume=True)" if place else ""
        print(f"Interrupted after step {state.step} of {steps}{rest}.", file=sys.stderr)
    for callback in callbacks:
        callback.on_end(record)
    arrays = {name: np.array(values, dtype=np.float32) for name, values in history.items()}
    return Run(model, state.step, arrays, time.perf_counter() - began, place, stopped)


def _numbers(burst: list[dict[str, Any]]) -> list[dict[str, float]]:
    """Losses of some steps as numbers: what lies on a GPU still is fetched all at once."""
    values = [value for losses in burst for value in losses.values()]
    if isinstance(values[0], torch.Tensor):
        values = torch.stack(values).tolist()
    numbers = iter(values)
    return [{name: next(numbers) for name in losses} for losses in burst]


def check_frames(frames: np.ndarray) -> None:
    """ValueError where these are not frames to train on."""
    if frames.ndim != 4 or frames.shape[1:3] != (64, 64) or frames.shape[3] not in (1, 3) or frames.dtype != np.uint8:
        raise ValueError(f"Training takes uint8 frames (N, 64, 64, 1 or 3), got {frames.dtype} {frames.shape}.")
    if len(frames) == 0:
        raise ValueError("Training needs at least one frame, got none.")


def _check(frames: np.ndarray, space: LabelSpace, preset: Preset, steps: int, processes: int) -> None:
    check_frames(frames)
    if space.n_c < 1:
        raise ValueError("Training needs at least one continuous label, got n_c=0.")
    if preset.batch % (2 * processes):
        raise ValueError(
            f"{processes} processes cannot share batches of {preset.batch} frames: each takes an even number of them, "
            f"so that the batch has to be a multiple of {2 * processes}."
        )
    if steps < 1:
        raise ValueError(f"Training needs at least one step, got steps={steps}.")


def _save(state: Trainable, out: Path, keep: int) -> None:
    """A checkpoint, which takes memory for a moment too."""
    with _memory_errors(state, f"The checkpoint of step {state.step}"):
        state.save(out, keep)


@contextmanager
def _memory_errors(state: Trainable, what: str | None = None) -> Iterator[None]:
    """Out of memory, which torch reports in several ways, as one sentence that says what to make smaller.

    what: that needs the memory, None for the step in hand.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        told = str(error).lower()
        if not isinstance(error, MemoryError) and "out of memory" not in told and "allocate memory" not in told:
            raise
        raise MemoryError(
            f"{what or f'Step {state.step + 1}'} needs more memory than there is, with batches of {state.batch} and "
            f"networks of width {state.width:g}: make one of them smaller; {state.kept()}."
        ) from error


@contextmanager
def _interrupts() -> Iterator[Callable[[], bool]]:
    """Ctrl-C asks for an end after the step in hand, so that no half-done step is saved; a second one is immediate."""
    asked = False

    def ask(signum: int, frame: object) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True

    if threading.current_thread() is not threading.main_thread():  # only there can signals be caught
        yield lambda: False
        return
    before = signal.signal(signal.SIGINT, ask)
    try:
        yield lambda: asked
    finally:
        signal.signal(signal.SIGINT, before)
