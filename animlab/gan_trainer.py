"""The trainer of a GAN: generator, discriminator and running average, and the step that trains them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from dataclasses import asdict
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
from .frames import to_tensor
from .labels import LabelSpace
from .model import Model
from .networks import architecture_of, build
from .presets import Preset, name_of
from .step import train_step
from .storage import describe
from .trainer import Settings, Trainer

LOSSES = ("d_loss", "g_loss", "lambda_d", "lambda_c")


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
        """Continues from a checkpoint, as Trainer.restore does.

        Args:
            out: the run's folder.
        """
        super().restore(out)
        if self.count is not None:
            self.count.fill_(self.step)

    def _header(self) -> dict[str, Any]:
        return describe(self.g_ema, self.discriminator, self.card)

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


def _adam(net: nn.Module, lr: float, betas: tuple[float, float]) -> Adam:
    return Adam(net.parameters(), lr, betas, fused=True)


def _tensors(net: nn.Module) -> list[Tensor]:
    return [*net.parameters(), *net.buffers()]
