"""A step of "modern" beside a loop that is written without care, and beside its convolutions alone.

    python tests/benchmarks/bench_modern.py --rounds 12 --json data/results/bench_modern.json

All take turns, a step each a round, in the precision that `fit` chooses here and with one batch size; the minima count.

- "careless": the same networks, losses and batch, as a prototype would have them: R1 and R2 of the whole batch at each
  fourth step with four times the weight, frames gathered and shifted one by one, the label view in a pass of its own,
  nothing kept of freed memory. Its times are means of four steps in a row, one of them penalised.
- "modern": a step as `fit` makes it.
- "convolutions": each convolution of the step once forward and once backward on inputs of the step's sizes and nothing
  else: what an implementation that calls the same kernels cannot go below.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from bench_step import DEVICE, SPACE, milliseconds
from torch import nn
from torch.nn import functional as F

import animlab
from animlab import losses
from animlab.augment import blurred
from animlab.backend.device import choose_precision, keep_freed_memory
from animlab.backend.distributed import Processes
from animlab.gan_trainer import GANTrainer
from animlab.trainer import Settings

MODERN = animlab.PRESETS["modern"]
LAZY = 4  # steps of the careless loop from one penalty to the next


def autocast() -> AbstractContextManager[Any]:
    bf16 = choose_precision("auto", DEVICE) == "bf16"
    return torch.autocast(DEVICE.type, torch.bfloat16) if bf16 else nullcontext()


class Careless:
    """The recipe of "modern" in a plain loop. width: of the networks."""

    def __init__(self, width: float) -> None:
        torch.manual_seed(0)
        nets = animlab.networks.build("residual", SPACE, 3, width=width)
        self.g, self.d = (net.to(DEVICE).to(memory_format=torch.channels_last) for net in nets)
        self.optimizers = [
            torch.optim.Adam(net.parameters(), MODERN.lr_g, MODERN.betas, fused=True) for net in (self.g, self.d)
        ]
        self.count = 0

    def shifted(self, frames: torch.Tensor) -> torch.Tensor:
        most = MODERN.shift
        wide, moved = F.pad(frames, (most,) * 4), []
        for frame, (down, right) in zip(wide, torch.randint(0, 2 * most + 1, (len(frames), 2)).tolist()):
            moved.append(frame[:, down : down + 64, right : right + 64])
        return torch.stack(moved)

    def label_loss(self, frames: torch.Tensor, labels: animlab.Labels) -> torch.Tensor:
        half = labels[: len(labels) // 2].to(DEVICE)
        with autocast():
            _, d_logits, c_hat = self.d(blurred(frames[: len(frames) // 2]))
        found = MODERN.lambda_d * losses.discrete_loss(d_logits.float(), half.d)
        return found + MODERN.lambda_c * losses.continuous_loss(c_hat.float(), half.c)

    def step(self, frames: np.ndarray) -> None:
        n = MODERN.batch
        rows = np.random.randint(len(frames), size=n)
        pictures = [torch.from_numpy(frames[row]).permute(2, 0, 1).float() / 127.5 - 1 for row in rows]
        real = torch.stack(pictures).to(DEVICE)
        labels = SPACE.sample_pairs(n)
        with autocast():
            fake = self.g(labels.to(DEVICE))
        judged = torch.cat([self.shifted(real), self.shifted(fake.detach().float())])
        penalised = self.count % LAZY == 0
        judged.requires_grad_(penalised)
        with autocast():
            logit = self.d(judged)[0].float()
        loss = losses.relativistic_loss(logit[:n], logit[n:]) + self.label_loss(fake.detach(), labels)
        if penalised:
            loss = loss + LAZY * MODERN.gamma * losses.gradient_penalties(logit, judged).sum() / n
        self.descend(1, loss)
        self.d.requires_grad_(False)
        with autocast():
            told = self.d(self.shifted(fake))[0].float()
        loss = losses.relativistic_loss(told, logit[:n].detach()) + self.label_loss(fake, labels)
        self.descend(0, loss + MODERN.lambda_still * losses.stillness_loss(*fake.chunk(2)))
        self.d.requires_grad_(True)
        self.count += 1

    def descend(self, which: int, loss: torch.Tensor) -> None:
        self.optimizers[which].zero_grad()
        loss.backward()
        self.optimizers[which].step()

    def four_steps(self, frames: np.ndarray) -> None:
        for _ in range(LAZY):
            self.step(frames)


def convolutions(width: float) -> Callable[[], None]:
    """All convolutions of a step: G and D forward and backward, D again for G, and the penalty's double backward.

    The penalty passes forward, backward to the frames, and, as that is linear, as much again with weights' gradients.
    """
    n = MODERN.batch
    g, d = animlab.networks.build("residual", SPACE, 3, width=width)
    first, second, some = 2 * n + n // 2, n + n // 2, 2 * -(-n // MODERN.penalty_every)
    work: list[Callable[[], object]] = []

    def on(net: nn.Module, inputs: Callable[[int], tuple[Any, ...]], count: int, weights: bool, times: int) -> None:
        seen: list[tuple[nn.Conv2d, torch.Size]] = []
        hooks = [
            layer.register_forward_hook(lambda layer, x, _: seen.append((layer, x[0].shape)))
            for layer in net.modules()
            if isinstance(layer, nn.Conv2d)
        ]
        with torch.no_grad():
            net(*inputs(count))
        for hook in hooks:
            hook.remove()
        for layer, shape in seen:
            work.extend([_convolution(layer, shape, weights)] * times)

    on(g, lambda count: (SPACE.sample(count),), n, True, 1)
    for count, weights, times in ((first, True, 1), (second, False, 1), (some, True, 2)):
        on(d, lambda count: (torch.zeros(count, 3, 64, 64),), count, weights, times)

    def all_of_them() -> None:
        for each in work:
            each()

    return all_of_them


def _convolution(layer: nn.Conv2d, shape: torch.Size, weights: bool) -> Callable[[], object]:
    layer = nn.Conv2d(layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride, layer.padding).to(DEVICE)
    layer.to(memory_format=torch.channels_last).requires_grad_(weights)
    x = torch.zeros(shape, device=DEVICE).contiguous(memory_format=torch.channels_last).requires_grad_()
    with autocast():
        gradient = torch.ones_like(layer(x))

    def run() -> object:
        with autocast():
            y = layer(x)
        wanted = [x, *layer.parameters()] if weights else [x]
        return torch.autograd.grad(y, wanted, gradient)

    return run


def main(rounds: int, width: float = 1.0) -> dict[str, dict[str, float]]:
    frames = np.random.default_rng(0).integers(0, 256, (4096, 64, 64, 3), np.uint8)
    settings = Settings(precision=choose_precision("auto", DEVICE))
    trainer = GANTrainer(frames, SPACE, MODERN, settings, width, Processes(1, 0, DEVICE))
    careless = Careless(width)
    times: dict[str, list[float]] = {"careless": _turns(lambda: careless.four_steps(frames), rounds, LAZY)}
    keep_freed_memory()  # which cannot be taken back, and which the careless loop does without
    work = {"modern": trainer.train_step, "convolutions": convolutions(width)}
    both: dict[str, list[float]] = {name: [] for name in [*work, "careless, kept"]}
    for i in range(rounds + 2):
        for name, job in [*work.items(), ("careless, kept", lambda: careless.four_steps(frames))]:
            took = milliseconds(job) / (LAZY if "careless" in name else 1)
            if i >= 2:
                both[name].append(took)
    times |= both
    ours = min(times["modern"])
    return {
        name: {"min ms": min(took), "median ms": median(took), "times as long as modern": min(took) / ours}
        for name, took in times.items()
    }


def _turns(job: Callable[[], object], rounds: int, steps: int) -> list[float]:
    for _ in range(2):
        job()
    return [milliseconds(job) / steps for _ in range(rounds)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=8, help="timed steps of each loop")
    parser.add_argument("--width", type=float, default=1.0, help="of the networks")
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    options = parser.parse_args()
    found = main(options.rounds, options.width)
    print(f"torch {torch.__version__}, {DEVICE.type}, {torch.get_num_threads()} threads")
    for name, row in found.items():
        print(f"{name:16}" + "".join(f"{value:12.2f}  {what}" for what, value in row.items()))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")
