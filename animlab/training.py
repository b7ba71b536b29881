"""fit: the loop around the two-stage step, with EMA, callbacks, checkpoints and exact resume."""

from __future__ import annotations

import json
import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from . import checkpoints
from .datasets import Clips
from .frames import to_tensor
from .labels import LabelSpace
from .model import Model
from .networks import Discriminator, Generator
from .presets import PRESETS, Preset
from .step import train_step

Precision = Literal["auto", "bf16", "fp32"]


class TrainingDiverged(RuntimeError):
    """A loss became NaN or infinite; the last checkpoint is from before."""


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
        """After every step."""

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
    seconds: float | None = None,
    precision: Precision = "auto",
    device: str | None = None,
    resume: bool = False,
    callbacks: Sequence[Callback] = (),
    sample_every: int = 100,
    checkpoint_every: int = 500,
    progress: bool = True,
) -> Run:
    """Trains the paper's GAN on shuffled frames and gives back the model and its history.

    >>> run = animlab.fit(clips, animlab.LabelSpace(), steps=2000, seed=0, out="runs/actions")

    clips: what load_dataset gave; only its frames are used, in random order. steps: in all, so that a resumed run
    stops where one run in one go would. seconds: stop this call after so long, whatever `steps` says. out: folder for
    the checkpoint, None writes nothing. width: of the networks, 1 is the paper's. precision: "auto" is bf16 where the
    machine multiplies it natively. resume: go on from the checkpoint in `out`; on the CPU the result is bit for bit
    that of an uninterrupted run.
    Ctrl-C ends after the step in hand, leaves a checkpoint and gives back the run so far.

    Raises ValueError for settings or frames that cannot be trained on, FileExistsError where `out` holds a run and
    resume is off, TrainingDiverged where a loss stops being a number.
    """
    _check(clips.frames, space, steps)
    where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    settings = {
        "dataset": clips.name,
        "seed": seed,
        "preset": preset if isinstance(preset, str) else "custom",
        "preset_values": asdict(find_preset(preset)),
        "precision": _precision(precision, where),
    }
    state = TrainingState.start(space, clips.frames.shape[3], width, settings, where)
    place = None if out is None else Path(out)
    if place is not None:
        file = checkpoints.file_of(place)
        if file.exists():
            if not resume:
                raise FileExistsError(f"{place} already holds a run: pass resume=True to go on, or name another place.")
            state.restore(place)
        file.parent.mkdir(parents=True, exist_ok=True)  # a bad place shows now, not at the first checkpoint
    limit = math.inf if seconds is None else seconds
    return _loop(state, clips, steps, limit, place, callbacks, sample_every, checkpoint_every, progress)


def _loop(
    state: TrainingState,
    clips: Clips,
    steps: int,
    limit: float,
    out: Path | None,
    callbacks: Sequence[Callback],
    sample_every: int,
    checkpoint_every: int,
    progress: bool,
) -> Run:
    history: dict[str, list[float]] = {}
    first, began = state.step, time.perf_counter()
    model = state.model()
    record = Record(state.step, steps, {}, 0.0, 0.0, model)
    with _interrupts() as interrupted, tqdm(total=steps, initial=first, disable=not progress, unit="step") as bar:
        while state.step < steps and record.seconds < limit and not interrupted():
            losses = state.advance(clips.frames)
            for name, value in losses.items():
                if not math.isfinite(value):
                    raise state.diverged(f"{name} is {value}")
                history.setdefault(name, []).append(value)
            seconds = time.perf_counter() - began
            speed = (state.step - first) * state.preset.batch / seconds
            record = Record(state.step, steps, losses, seconds, speed, model)
            bar.set_postfix({"frames/s": f"{speed:.0f}"} | {k: f"{v:.2f}" for k, v in losses.items()}, refresh=False)
            bar.update()
            for callback in callbacks:
                callback.on_step(record)
            if state.step % sample_every == 0:
                for callback in callbacks:
                    callback.on_sample(record)
            if out is not None and state.step % checkpoint_every == 0:
                state.save(out)
        stopped = interrupted()
    if out is not None and state.saved < state.step:
        state.save(out)
    if stopped:
        rest = f"; go on with fit(…, out={str(out)!r}, resume=True)" if out else ""
        print(f"Interrupted after step {state.step} of {steps}{rest}.", file=sys.stderr)
    for callback in callbacks:
        callback.on_end(record)
    arrays = {name: np.array(values, dtype=np.float32) for name, values in history.items()}
    return Run(model, state.step, arrays, time.perf_counter() - began, out, stopped)


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
    device: torch.device
    step: int = 0
    saved: int = 0

    @classmethod
    def start(
        cls, space: LabelSpace, channels: int, width: float, settings: dict[str, Any], device: torch.device
    ) -> TrainingState:
        """Fresh networks from the seed. The caller's random state is left alone."""
        preset = Preset(**settings["preset_values"])
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(settings["seed"])
            generator = Generator(space, channels, width, preset.centre_c)
            discriminator = Discriminator(space, channels, width, preset.centre_c, preset.norm)
        for net in (generator, discriminator):
            net.to(device).to(memory_format=torch.channels_last)
        return cls(
            generator,
            discriminator,
            deepcopy(generator).requires_grad_(False).eval(),
            torch.optim.Adam(generator.parameters(), preset.lr_g, preset.betas, fused=True),
            torch.optim.Adam(discriminator.parameters(), preset.lr_d, preset.betas, fused=True),
            torch.Generator().manual_seed(settings["seed"]),
            preset,
            settings,
            device,
        )

    def advance(self, frames: np.ndarray) -> dict[str, float]:
        """One step on a fresh random batch of `frames`; the losses as numbers."""
        batch = self.preset.batch
        rows = torch.randint(len(frames), (batch,), generator=self.rng).numpy()
        real = to_tensor(frames[rows], self.device)
        sample = self.generator.space.sample_pairs if self.preset.lambda_still else self.generator.space.sample
        labels = sample(batch, self.rng).to(self.device)
        self.generator.train()
        self.discriminator.train()
        losses = train_step(
            self.generator, self.discriminator, self.g_optimizer, self.d_optimizer,
            real, labels, self.preset, self.autocast, self.rng,
        )  # fmt: skip
        self.step += 1
        self._average()
        return {name: value.item() for name, value in losses.items()}

    def autocast(self) -> AbstractContextManager[Any]:
        """bf16 where the run was begun in it."""
        bf16 = self.settings["precision"] == "bf16"
        return torch.autocast(self.device.type, torch.bfloat16) if bf16 else nullcontext()

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

    def save(self, out: Path) -> None:
        """Writes the checkpoint: the model to play with and all that `restore` needs."""
        self.settings["steps"] = self.step
        tensors = checkpoints.with_prefix("generator.", self.average.state_dict())
        tensors |= checkpoints.with_prefix("discriminator.", self.discriminator.state_dict())
        tensors |= checkpoints.with_prefix("training.generator.", self.generator.state_dict())
        for name, optimizer in (("g", self.g_optimizer), ("d", self.d_optimizer)):
            for i, moments in optimizer.state_dict()["state"].items():
                tensors |= checkpoints.with_prefix(f"training.{name}_optimizer.{i}.", moments)
        tensors["training.rng"] = self.rng.get_state()
        for name, tensor in tensors.items():
            if not tensor.isfinite().all():
                raise self.diverged(f"{name} is not finite")
        header = checkpoints.describe(self.average, self.discriminator, self.settings)
        checkpoints.write_checkpoint(out, tensors, header)
        self.saved = self.step

    def diverged(self, what: str) -> TrainingDiverged:
        """The error to raise where `what` went wrong."""
        kept = f"the checkpoint of step {self.saved} is intact" if self.saved else "nothing was saved"
        return TrainingDiverged(
            f"Training diverged at step {self.step}: {what}; {kept}. "
            "Try preset='stable', a lower learning rate or another seed."
        )

    def restore(self, out: Path) -> None:
        """Takes up the run that was saved in `out`; ValueError where it was begun with other settings."""
        tensors, header = checkpoints.read_checkpoint(checkpoints.file_of(out))
        if "training.rng" not in tensors:
            raise ValueError(f"{out} holds a finished model without its training state, so it cannot be resumed.")
        mine = checkpoints.describe(self.average, self.discriminator, self.settings)
        for key in ("card", "space", "channels", "generator", "discriminator"):
            was = dict(_leaves(key, header[key]))
            for name, now in _leaves(key, json.loads(json.dumps(mine[key]))):
                if was.get(name) != now:
                    raise ValueError(
                        f"The run in {out} was begun with {name} = {was.get(name)}, not {now}: "
                        "resume with the same or anew."
                    )
        part = checkpoints.without_prefix
        self.average.load_state_dict(part("generator.", tensors))
        self.discriminator.load_state_dict(part("discriminator.", tensors))
        self.generator.load_state_dict(part("training.generator.", tensors))
        for name, optimizer in (("g", self.g_optimizer), ("d", self.d_optimizer)):
            weights = optimizer.param_groups[0]["params"]
            state: dict[int, dict[str, Tensor]] = {i: {} for i in range(len(weights))}
            for key, value in part(f"training.{name}_optimizer.", tensors).items():
                i, moment = key.split(".")
                # Fused Adam walks weight and moments side by side in memory, so they need the same layout.
                like = weights[int(i)]
                state[int(i)][moment] = torch.empty_like(like).copy_(value) if value.shape == like.shape else value
            optimizer.load_state_dict(optimizer.state_dict() | {"state": state})
        self.rng.set_state(tensors["training.rng"])
        self.step = self.saved = self.settings["steps"] = header["card"]["steps"]


def find_preset(preset: str | Preset) -> Preset:
    """The preset of that name, or the one given; ValueError lists the names."""
    if isinstance(preset, Preset):
        return preset
    if preset not in PRESETS:
        raise ValueError(f"No preset is named {preset!r}; there are {', '.join(map(repr, PRESETS))}.")
    return PRESETS[preset]


def _leaves(name: str, tree: Any) -> Iterator[tuple[str, Any]]:
    """Every value in nested dicts, with its own name."""
    if not isinstance(tree, dict):
        yield name, tree
        return
    for key, value in tree.items():
        yield from _leaves(key, value)


def _check(frames: np.ndarray, space: LabelSpace, steps: int) -> None:
    if frames.ndim != 4 or frames.shape[1:3] != (64, 64) or frames.shape[3] not in (1, 3) or frames.dtype != np.uint8:
        raise ValueError(f"Training takes uint8 frames (N, 64, 64, 1 or 3), got {frames.dtype} {frames.shape}.")
    if len(frames) == 0:
        raise ValueError("Training needs at least one frame, got none.")
    if space.n_c < 1:
        raise ValueError("Training needs at least one continuous label, got n_c=0.")
    if steps < 1:
        raise ValueError(f"Training needs at least one step, got steps={steps}.")


def _precision(precision: Precision, device: torch.device) -> str:
    """bf16 where the machine multiplies it natively (some processors only emulate it, slowly), else fp32."""
    if precision not in get_args(Precision):
        raise ValueError(f"No precision is named {precision!r}; there are {', '.join(map(repr, get_args(Precision)))}.")
    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    native = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return "bf16" if device.type == "cpu" and native() else "fp32"


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
