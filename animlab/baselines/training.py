"""fit and load for the baselines: the loop, callbacks and checkpoints of `animlab.fit`, with another model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from .. import checkpoints
from ..backend.device import Precision, choose_precision, find_device, keep_freed_memory, memory_errors
from ..backend.distributed import Processes
from ..callbacks import Callback
from ..checks import shown, whole
from ..datasets import Clips
from ..trainer import Settings, Trainer, check_clips
from ..training import LoopOptions, Run, train
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
    """Trains a baseline on random clips, as published.

    MoCoGAN learns from 16 frames, every other one, of clips of at least 32, and is given the classes of the data set;
    TGAN learns from 16 consecutive frames. Neither paper averages weights, so a callback's record holds the model as it
    is. The progress bar's `frames/s` counts real frames.

    Example:
        >>> run = animlab.baselines.fit(clips, model="mocogan", steps=2000, seed=0, out="runs/mocogan", width=0.25)
        >>> run.model.animate(frames=16, seed=3)      # (16, 64, 64, C) uint8

    Args:
        clips: what load_dataset returns.
        model: a name in MODELS.
        steps: steps of the whole run.
        seed: seed of weights, clips and noise.
        out: folder for the checkpoint, or a .safetensors file; None writes nothing.
        width: factor on the channels of the networks; 1 is the published one.
        seconds: wall-clock limit of this call in seconds.
        precision: as for `animlab.fit`.
        device: as for `animlab.fit`.
        resume: whether to continue from the checkpoint in `out`.
        callbacks: as for `animlab.fit`.
        sample_every: steps between two calls of on_sample.
        checkpoint_every: steps between two checkpoints.
        keep: number of earlier checkpoints that stay beside the newest.
        progress: whether to show a progress bar.

    Returns:
        A Run, whose model is a ClipGAN.

    Raises:
        ValueError: The model is unknown, frames or clips cannot be trained on, or there are several processes.
        TypeError: An argument is not Clips or a list of callbacks.
        FileExistsError: `out` holds a run, and `resume` is off.
        BlockingIOError: Another process is training in `out`.
        CheckpointError: The checkpoint in `out` is damaged.
        TrainingDiverged: A loss is no longer finite.
        MemoryError: A step or a checkpoint needs more memory than there is.
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
    """Trains a baseline on random clips.

    Args:
        clips: the data set.
        model: a name in MODELS.
        settings: data set, seed and precision.
        width: factor on the channels of the networks.
        processes: this one process and its device.
    """

    must_agree = ("baseline", "config", "card")

    def __init__(self, clips: Clips, model: str, settings: Settings, width: float, processes: Processes) -> None:
        build = MODELS[model]
        kind: type[ClipGAN] = build.func if isinstance(build, partial) else build  # type: ignore[assignment]
        self.sampler = ClipSampler(clips, kind.length, kind.stride)
        options = {"categories": self.sampler.categories} if kind is MoCoGAN else {}
        with torch.random.fork_rng(devices=[]):  # the global random state is unchanged
            torch.default_generator.manual_seed(settings.seed)
            self.gan = build(channels=clips.frames.shape[3], width=width, **options).to(processes.device)
        rng = torch.Generator(processes.device).manual_seed(settings.seed)
        super().__init__(
            settings, {"model": model}, clips.frames, processes, rng, {"gan.": self.gan}, self.gan.optimizers()
        )
        self.gan.card, self.gan.bf16 = self.card, settings.precision == "bf16"

    @property
    def batch(self) -> int:
        """Real frames per step."""
        return self.gan.frames_per_step

    @property
    def width(self) -> float:
        """The networks' width factor."""
        return self.gan.config["width"]

    def model(self) -> ClipGAN:
        """The model, which always shows the newest step."""
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
    """Loads a trained baseline.

    Args:
        path: the folder of a run or a .safetensors file, looked up as `animlab.load` does.
        device: where the weights go.

    Raises:
        FileNotFoundError: There is no model at `path`.
        CheckpointError: The file is damaged, or holds no baseline.
        ValueError: The device cannot be used here.
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
