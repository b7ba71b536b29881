"""One training step, the paper's nets at batch 64: ours against the common three-optimiser InfoGAN loop.

    python tests/benchmarks/bench_step.py                        # a minute or two; wants an otherwise idle machine
    python tests/benchmarks/bench_step.py --rounds 50 --json step.json

"paper" and "stable" are steps as `fit` makes them: frames gathered, labels drawn, two stages, EMA, losses as numbers.
"three-optimiser" is InfoGAN as it is most often written in PyTorch: G and D run anew for each of three updates (D; G;
label loss over G and D), fp32, three default Adams; its networks, its frames and its batch are those of "paper".
All are run in turn, one step each a round, so that a slow moment of the machine meets all; the minima count. First
with the C library's memory as Python finds it, which is how the common loop is run; then ours as `fit` runs them, with
freed memory kept. That cannot be undone within a process, so the common loop profits from it in the second part too.

The bound is what the machine needs for the arithmetic and the optimisers' traffic alone: the step's multiply-adds at
the rate of a dense bf16 product, plus Adam's 7 × 4 bytes a parameter (reads p, g, m, v; writes p, m, v) at the rate of
a copy, both measured here, between the steps. bound/ours is the share of it that a step reaches.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

import animlab
from animlab.backend.device import Precision, choose_precision, keep_freed_memory
from animlab.backend.distributed import Processes
from animlab.frames import to_tensor
from animlab.gan_trainer import GANTrainer
from animlab.trainer import Settings

BATCH = 64
SPACE = animlab.LabelSpace()
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
MATRIX, COPY = 2048, 64 * 2**20  # rows of the dense product; floats copied (256 MB: no cache holds them)
ADAM_BYTES = 7 * 4


class ThreeOptimisers:
    """InfoGAN's common loop; the logit, d and c come from one D, as in ours."""

    def __init__(self, frames: np.ndarray) -> None:
        self.frames = frames
        torch.manual_seed(0)
        self.g, self.d = animlab.Generator(SPACE).to(DEVICE), animlab.Discriminator(SPACE).to(DEVICE)
        g, d = list(self.g.parameters()), list(self.d.parameters())
        self.optimizers = [torch.optim.Adam(p, lr=2e-4, betas=(0.5, 0.999)) for p in (d, g, g + d)]
        self.rng = torch.Generator().manual_seed(0)

    def step(self) -> None:
        rows = torch.randint(len(self.frames), (BATCH,), generator=self.rng).numpy()
        real = to_tensor(self.frames[rows], DEVICE)
        ones, zeros = torch.ones(BATCH, 1, device=DEVICE), torch.zeros(BATCH, 1, device=DEVICE)
        bce = F.binary_cross_entropy_with_logits
        d_optimizer, g_optimizer, info_optimizer = self.optimizers

        labels = SPACE.sample(BATCH, self.rng).to(DEVICE)
        d_optimizer.zero_grad()
        d_loss = bce(self.d(real)[0], ones) + bce(self.d(self.g(labels).detach())[0], zeros)
        d_loss.backward()
        d_optimizer.step()

        g_optimizer.zero_grad()
        g_loss = bce(self.d(self.g(labels))[0], ones)
        g_loss.backward()
        g_optimizer.step()

        labels = SPACE.sample(BATCH, self.rng).to(DEVICE)
        info_optimizer.zero_grad()
        _, d_logits, c_hat = self.d(self.g(labels))
        info_loss = F.cross_entropy(d_logits, labels.d) + F.mse_loss(c_hat, labels.c)
        info_loss.backward()
        info_optimizer.step()
        _ = d_loss.item(), g_loss.item(), info_loss.item()  # to be shown

    def updates(self) -> int:
        """Parameters that Adam touches in a step."""
        return 2 * parameters(self.g) + 2 * parameters(self.d)


class Ours:
    """A step as `fit` makes it."""

    def __init__(self, frames: np.ndarray, preset: str, precision: Precision = "auto") -> None:
        values, settings = animlab.PRESETS[preset], Settings(precision=choose_precision(precision, DEVICE))
        self.trainer = GANTrainer(frames, SPACE, values, settings, 1.0, Processes(1, 0, DEVICE))
        assert self.trainer.preset.batch == BATCH

    def step(self) -> dict[str, Any]:
        return self.trainer.train_step()

    def updates(self) -> int:
        return parameters(self.trainer.generator) + parameters(self.trainer.discriminator)


def parameters(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def milliseconds(work: Callable[[], object]) -> float:
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
    return 1000 * (time.perf_counter() - start)


def flops(work: Callable[[], object]) -> int:
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def main(rounds: int) -> dict[str, dict[str, float]]:
    frames = np.random.default_rng(0).integers(0, 256, (4096, 64, 64, 3), np.uint8)
    loops: dict[str, Ours | ThreeOptimisers] = {
        "three-optimiser": ThreeOptimisers(frames), "paper": Ours(frames, "paper"), "stable": Ours(frames, "stable")
    }  # fmt: skip
    a, b = (torch.randn(MATRIX, MATRIX, device=DEVICE, dtype=torch.bfloat16) for _ in range(2))
    source, target = torch.ones(COPY, device=DEVICE), torch.empty(COPY, device=DEVICE)
    work: dict[str, Callable[[], object]] = {name: loop.step for name, loop in loops.items()}
    # In fp32, because there the layers are PyTorch's own: the fast ones make a few multiply-adds that nobody asked for.
    asked_for = {name: Ours(frames, name, "fp32") if isinstance(loop, Ours) else loop for name, loop in loops.items()}
    counted = {name: flops(loop.step) for name, loop in asked_for.items()}
    work |= {"dense bf16": lambda: a @ b, "copy": lambda: target.copy_(source)}
    found = take_turns(work, rounds)
    keep_freed_memory()
    kept = take_turns(work, rounds)
    times = found | {f"{name}, kept": kept[name] for name in loops}

    rate = 2 * MATRIX**3 / min(found["dense bf16"] + kept["dense bf16"])  # FLOP a millisecond
    bandwidth = 2 * 4 * COPY / min(found["copy"] + kept["copy"])  # bytes a millisecond, read and written
    result = {"machine": {"dense bf16 GFLOP/s": rate / 1e6, "copy GB/s": bandwidth / 1e6}}
    theirs = times["three-optimiser"]
    for name in [*loops, *(f"{name}, kept" for name in loops)]:
        loop = name.removesuffix(", kept")
        bound = counted[loop] / rate + ADAM_BYTES * loops[loop].updates() / bandwidth
        result[name] = {
            "min ms": min(times[name]),
            "median ms": median(times[name]),
            "ratio of minima": min(theirs) / min(times[name]),
            "ratio of medians": median(theirs) / median(times[name]),
            "GFLOP": counted[loop] / 1e9,
            "bound ms": bound,
            "share of bound": bound / min(times[name]),
        }
    return result


def take_turns(work: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each job, one run of each a round; two rounds more warm up."""
    times: dict[str, list[float]] = {name: [] for name in work}
    for i in range(rounds + 2):
        for name, job in work.items():
            took = milliseconds(job)
            if i >= 2:
                times[name].append(took)
    return times


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30, help="timed steps of each loop")
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    options = parser.parse_args()
    result = main(options.rounds)
    machine, *rows = result.items()
    precision = choose_precision("auto", DEVICE)
    print(f"torch {torch.__version__}, {DEVICE.type}, {torch.get_num_threads()} threads, {precision}; "
          + ", ".join(f"{name} {value:.1f}" for name, value in machine[1].items()))  # fmt: skip
    print(f"{'one step':23}" + "".join(f"{column:>18}" for column in rows[0][1]))
    for name, row in rows:
        print(f"{name:23}" + "".join(f"{value:18.2f}" for value in row.values()))
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")
