"""fit and load for the baselines: the loop, callbacks and checkpoints of `animlab.fit`, around another model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from .. import checkpoints
from ..backend.device import Precision, choose_precision, find_device, keep_freed_memory, memory_errors
from ..backend.distributed import Processes
from ..checks import shown, whole
from ..datasets import Clips
from ..trainer import Settings, Trainer
from ..training import Callback, LoopOptions, Run, check_clips, train
from .clip_gan import ClipGAN
from .clip_sampler import ClipSampler
from .mocogan import MoCoGAN
from .tgan import TGAN

MODELS: dict[str, Callable[..., ClipGAN]] = {
    "mocogan": MoCoGAN,  # 10 images and 3 clips a step, the published program's defaults
    "mocogan-32": partial(MoCoGAN, images=32, clips=32, noise=0.1),  # what its users report for the actions
    "tgan": TGAN,
    "tgan-z1": partial(TGAN, fast=False),  # the paper's first row in Tab. 5
}
CLASSES: dict[str, type[ClipGAN]] = {"MoCoGAN": MoCoGAN, "TGAN": TGAN}


def fit(
    clips: Clips,
    model: str = "mocogan",
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
    keep: int = 0,
    progress: bool = True,
) -> Run:
    """Trains a baseline on random clips, as published, and gives back a Run whose model is a ClipGAN.

    >>> run = animlab.baselines.fit(clips, model="mocogan", steps=2000, seed=0, out="runs/mocogan", width=0.25)
    >>> run.model.animate(frames=16, seed=3)      # (16, 64, 64, C) uint8

    model: a name in MODELS. MoCoGAN learns from 16 frames, every other one, of clips of 32 and more, and is told the
    classes that the data set names; TGAN from 16 frames in a row. The other arguments are those of `animlab.fit`; a
    callback's record holds the model as it is, for neither paper averages its weights. `frames/s` counts real frames.

    Raises ValueError for an unknown model, for frames or clips that cannot be trained on and for several processes;
    FileExistsError, TrainingDiverged and MemoryError as `animlab.fit` does.
    """
    if not isinstance(model, str) or model not in MODELS:
        raise ValueError(f"No baseline is named {model!r}; there are {', '.join(map(repr, MODELS))}.")
    steps = whole("steps", steps, 1)
    check_clips(clips)
    processes = Processes.here(device)
    if processes.count > 1:
        raise ValueError(f"The baselines are trained by one process, not by {processes.count}.")
    if processes.device.type == "cpu":
        keep_freed_memory()
    settings = Settings(clips.name, seed, choose_precision(precision, processes.device))
    options = LoopOptions(
        seconds=seconds, resume=resume, callbacks=callbacks, sample_every=sample_every,
        checkpoint_every=checkpoint_every, keep=keep, progress=progress,
    )  # fmt: skip
    with memory_errors(lambda: f"Networks of width {shown(width)} need more memory than there is: take a smaller one."):
        trainer = ClipTrainer(clips, model, settings, width, processes)
    return train(trainer, steps, out, options)


class ClipTrainer(Trainer):
    """Trains the baseline `model`, a name in MODELS, on random clips."""

    must_agree = ("baseline", "config", "card")

    def __init__(self, clips: Clips, model: str, settings: Settings, width: float, processes: Processes) -> None:
        build = MODELS[model]
        kind: type[ClipGAN] = build.func if isinstance(build, partial) else build  # type: ignore[assignment]
        self.sampler = ClipSampler(clips, kind.length, kind.stride)
        options = {"categories": self.sampler.categories} if kind is MoCoGAN else {}
        with torch.random.fork_rng(devices=[]):  # the caller's random state is left alone
            torch.default_generator.manual_seed(settings.seed)
            self.gan = build(channels=clips.frames.shape[3], width=width, **options).to(processes.device)
        rng = torch.Generator(processes.device).manual_seed(settings.seed)
        super().__init__(
            settings, {"model": model}, clips.frames, processes, rng, {"gan.": self.gan}, self.gan.optimizers()
        )
        self.gan.card, self.gan.bf16 = self.card, settings.precision == "bf16"

    @property
    def batch(self) -> int:
        """Real frames a step."""
        return self.gan.frames_per_step

    @property
    def width(self) -> float:
        """Of the networks."""
        return self.gan.config["width"]

    def model(self) -> ClipGAN:
        """The model, which always is the newest step."""
        return self.gan

    def _update(self) -> dict[str, float]:
        self.gan.train()
        losses = self.gan.train_step(self.sampler, dict(self.optimizers), self.rng)
        return {name: value.item() for name, value in losses.items()}

    def _header(self) -> dict[str, Any]:
        return {
            "format": checkpoints.FORMAT,
            "baseline": type(self.gan).__name__,
            "config": self.gan.config,
            "card": self.card,
        }

    def _checked_header(self, out: Path, header: dict[str, Any]) -> dict[str, Any]:
        if "baseline" not in header:
            raise ValueError(f"{out} holds no baseline, so none can be resumed from it: name another place.")
        return header


def load(path: str | Path, device: torch.device | str = "cpu") -> ClipGAN:
    """A trained baseline: a run's folder or a .safetensors file, looked for as `animlab.load` does.

    Raises FileNotFoundError or CheckpointError, each with one sentence that says why.
    """
    place = checkpoints.find(path)
    tensors, header = checkpoints.read_checkpoint(place, ("gan.",))
    if header.get("baseline") not in CLASSES:
        raise checkpoints.CheckpointError(f"{place} holds no baseline: animlab.load may read it.")
    with checkpoints.fitting(place):
        build = partial(CLASSES[header["baseline"]], **header["config"])
        with torch.random.fork_rng(devices=[]):
            with torch.device("meta"):
                checkpoints.compare({"gan.": build()}, tensors)
            gan = build()
        gan.load_state_dict(checkpoints.without_prefix("gan.", tensors))
        gan.card = checkpoints.card_of(header)
    return gan.to(find_device(device)).eval()
