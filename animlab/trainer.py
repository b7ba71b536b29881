"""Trainers hold everything that the next training step depends on, and save and restore it exactly."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Adam

from . import checkpoints
from .backend.cpu_kernels import use_fused_layers
from .backend.cuda_graph import CUDAGraphStep
from .backend.distributed import Processes
from .backend.loader import MemmapLoader, loader_for
from .backend.optimizers import optimizer_tensors, restore_optimizer
from .checks import whole
from .frames import alike, fingerprint, to_tensor
from .labels import LabelSpace
from .model import Model
from .networks import architecture_of, build
from .presets import Preset, name_of
from .step import train_step

LOSSES = ("d_loss", "g_loss", "lambda_d", "lambda_c")


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
        self.fingerprint = fingerprint(frames)
        self.parts, self.optimizers = parts, optimizers
        self.card: dict[str, Any] = asdict(settings) | recipe | {"steps": 0}
        self.step = self.saved = 0

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
            same_frames = alike(header.get("frames", self.fingerprint), self.fingerprint)  # unknown in older files
        if not same_frames:
            raise ValueError(
                f"The run in {out} was begun with other frames than these, which are named {self.settings.dataset!r} "
                "as well: resume with the same or anew."
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


class GANTrainer(Trainer):
    """Trains a generator and a discriminator on single frames in random order.

    Attributes:
        g_ema: the running average of G's weights, which is the model that is played.
        count: the number of steps done as a tensor on the GPU, None on the CPU.
        loader: the source of real frames.
        work: makes one step; captured as a CUDA graph in a single process on a GPU.

    Args:
        frames: (N, 64, 64, C) uint8, in memory or a memory map.
        space: the number of labels of each kind.
        preset: architecture, losses and optimisers.
        settings: data set, seed and precision.
        width: factor on the channels of the networks; 1 is the paper's.
        processes: the processes that train together; None is what Accelerate finds.
    """

    advice = "Try preset='stable', a lower learning rate or another seed."
    must_agree = ("architecture", "card", "space", "channels", "generator", "discriminator")

    def __init__(
        self,
        frames: np.ndarray,
        space: LabelSpace,
        preset: Preset,
        settings: Settings,
        width: float = 1.0,
        processes: Processes | None = None,
    ) -> None:
        processes = processes or Processes.here()
        self.preset = preset
        with torch.random.fork_rng(devices=[]):  # the global random state is unchanged
            torch.default_generator.manual_seed(settings.seed)
            self.generator, self.discriminator = build(
                preset.architecture, space, frames.shape[3], width=width, **preset.network_options
            )
        for net in (self.generator, self.discriminator):
            net.to(processes.device).to(memory_format=torch.channels_last)
        self.g_ema = deepcopy(self.generator).requires_grad_(False).eval()
        if preset.ema == 0:  # the newest weights are played: shared memory, so that no step has to copy them
            for mine, newest in zip(_tensors(self.g_ema), _tensors(self.generator), strict=True):
                mine.data = newest.data
        alone_on_cpu = processes.device.type == "cpu" and processes.count == 1
        adam = use_fused_layers if alone_on_cpu and settings.precision == "bf16" and preset.gamma == 0 else _adam
        self.g_optimizer = adam(self.generator, preset.lr_g, preset.betas)
        self.d_optimizer = adam(self.discriminator, preset.lr_d, preset.betas)
        processes.synchronize((self.generator, self.g_optimizer), (self.discriminator, self.d_optimizer))
        on_gpu = processes.device.type == "cuda"
        if on_gpu and preset.lr_frames:  # a captured step reads a rate that changes from the GPU's memory
            for group in (*self.g_optimizer.param_groups, *self.d_optimizer.param_groups):
                group["lr"] = torch.tensor(group["lr"], device=processes.device)
        self.count = torch.zeros((), device=processes.device) if on_gpu else None
        super().__init__(
            settings,
            {"preset": name_of(preset), "preset_values": asdict(preset)},
            frames,
            processes,
            torch.Generator(processes.device if on_gpu else "cpu").manual_seed(settings.seed),
            {"generator.": self.g_ema, "discriminator.": self.discriminator, "training.generator.": self.generator},
            {"g_optimizer": self.g_optimizer, "d_optimizer": self.d_optimizer},
        )
        self.load_from(loader_for(frames, self.rng, settings.seed, preset.batch, processes.rows))

    def begin_with(self, model: Model) -> None:
        """Starts from the weights of a trained model, to fine-tune it.

        Without a discriminator in the model, the run's own stays untrained.

        Args:
            model: a model of the same architecture, label space, channels and options.

        Raises:
            ValueError: Its networks are built differently.
        """
        for mine, theirs in ((self.generator, model.generator), (self.discriminator, model.discriminator)):
            if theirs is None:
                continue
            for name, a, b in (
                ("architecture", architecture_of(mine), architecture_of(theirs)),
                ("label space", mine.space, theirs.space),
                ("channels", mine.channels, theirs.channels),
                ("options", mine.config, theirs.config),
            ):
                if a != b:
                    raise ValueError(f"Fine-tuning needs networks of one kind: the model has {name} {b}, the run {a}.")
            mine.load_state_dict(theirs.state_dict())
        self.g_ema.load_state_dict(model.generator.state_dict())
        self.card["start"] = ", ".join(
            f"{key} {model.card[key]}" for key in ("dataset", "preset", "steps", "seed") if key in model.card
        ) or "a model without a card"  # fmt: skip

    def load_from(self, loader: MemmapLoader) -> None:
        """Sets the loader of real frames; a single process on a GPU captures a step with it anew.

        Args:
            loader: the loader to take frames from.
        """
        self.loader = loader
        self.work: Callable[[], Tensor] = self._step
        if self.processes.device.type == "cuda" and self.processes.count == 1:
            self.work = CUDAGraphStep(self._step, self.rng, (self.g_optimizer, self.d_optimizer))

    @property
    def batch(self) -> int:
        """Real frames per step, of all processes together."""
        return self.preset.batch

    @property
    def width(self) -> float:
        """The networks' width factor."""
        return self.generator.width

    def model(self) -> Model:
        """A Model of the running average of G and of D; it shares their weights, so that it shows the newest step."""
        return Model(self.g_ema, self.discriminator, self.card)

    def _update(self) -> dict[str, float] | dict[str, Tensor]:
        self.loader.prepare(self.step + 1)
        self._set_rates()
        losses = self.work()
        return dict(zip(LOSSES, losses.tolist() if losses.device.type == "cpu" else losses.unbind()))

    def _set_rates(self) -> None:
        """Sets the learning rate of the next step in both optimisers."""
        preset, factor = self.preset, self.preset.rate(self.step)
        for optimizer, rate in ((self.g_optimizer, preset.lr_g), (self.d_optimizer, preset.lr_d)):
            for group in optimizer.param_groups:
                if isinstance(group["lr"], Tensor):
                    group["lr"].fill_(rate * factor)
                else:
                    group["lr"] = rate * factor

    def _step(self) -> Tensor:
        """The part of a step that runs on the device: gather, convert, sample, train, average. Returns (4,) losses."""
        batch, part, device = self.preset.batch, self.processes.rows, self.processes.device
        real = to_tensor(self.loader.take(), device)
        sample = self.generator.space.sample_pairs if self.preset.lambda_still else self.generator.space.sample
        labels = sample(batch, self.rng, self.rng.device)[part].to(device)
        self.generator.train()
        self.discriminator.train()
        losses = train_step(
            self.generator, self.discriminator, self.g_optimizer, self.d_optimizer,
            real, labels, self.preset, self.autocast, partial(self.processes.rand, generator=self.rng),
        )  # fmt: skip
        self._average()
        return self.processes.mean(torch.stack([losses[name] for name in LOSSES]))

    def autocast(self) -> AbstractContextManager[Any]:
        """The context that the networks run in: autocast to bf16, or nothing for fp32."""
        bf16 = self.settings.precision == "bf16"
        return torch.autocast(self.processes.device.type, torch.bfloat16) if bf16 else nullcontext()

    @torch.no_grad()
    def _average(self) -> None:
        """Updates the EMA of the generator, which follows closely at first: decay min(ema, n / (n + 10))."""
        if self.preset.ema == 0:
            return
        average: list[Tensor] = list(self.g_ema.parameters())
        newest: list[Tensor] = list(self.generator.parameters())
        if self.count is None:
            n = self.step + 1
            torch._foreach_lerp_(average, newest, 1 - min(self.preset.ema, n / (n + 10)))
        else:  # the same, with a decay that a captured step computes from its counter each time
            self.count += 1
            moves = torch._foreach_sub(newest, average)
            torch._foreach_mul_(moves, 1 - (self.count / (self.count + 10)).clamp(max=self.preset.ema))
            torch._foreach_add_(average, moves)
        for mine, new in zip(self.g_ema.buffers(), self.generator.buffers()):
            mine.copy_(new)

    def restore(self, out: Path) -> None:
        """Continues from the checkpoint in `out`, as Trainer.restore does."""
        super().restore(out)
        if self.count is not None:
            self.count.fill_(self.step)

    def _header(self) -> dict[str, Any]:
        return checkpoints.describe(self.g_ema, self.discriminator, self.card)

    def _checked_header(self, out: Path, header: dict[str, Any]) -> dict[str, Any]:
        if "baseline" in header:
            raise ValueError(
                f"{out} holds a {header['baseline']}, which animlab.baselines.fit trains: name another place."
            )
        header.setdefault("architecture", "paper")
        if "preset_values" in header["card"]:  # a field that did not exist when the run was begun gets its default
            with checkpoints.fitting(out):
                header["card"]["preset_values"] = asdict(Preset(**header["card"]["preset_values"]))
        return header


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
                    "resume with the same or anew."
                )


def _adam(net: nn.Module, lr: float, betas: tuple[float, float]) -> Adam:
    return Adam(net.parameters(), lr, betas, fused=True)


def _tensors(net: nn.Module) -> list[Tensor]:
    return [*net.parameters(), *net.buffers()]


def _leaves(name: str, tree: Any) -> Iterator[tuple[str, Any]]:
    """Yields every value in nested dicts, with its innermost key."""
    if not isinstance(tree, dict):
        yield name, tree
        return
    for key, value in tree.items():
        yield from _leaves(key, value)
