"""Where a step's milliseconds go, operation by operation, and what the same operations take alone.

    python tests/benchmarks/profile_step.py --json data/results/step_profile.json

Wants an otherwise idle machine for a minute. "before" is the step on PyTorch's own layers and its fused Adam, "after"
the same step on those of animlab/backend/cpu_kernels.py. Every operation that reaches PyTorch's kernels is timed
within the step; then each call is repeated alone, on copies of its arguments, and the fastest counts: an operation that
has the caches to itself gets no faster. An optimiser's calls are repeated together, since each weight is met once. What
no operation accounts for is Python and PyTorch's own bookkeeping.

Beside the times stands the bound of bench_step.py: the products' multiply-adds at the rate of one large bf16 product,
and Adam's traffic at the rate of a copy. The losses of the first steps say whether a change of speed has changed
anything else. An operation is listed once for each set of shapes that it meets, the dearest only.
"""

from __future__ import annotations

import argparse
import json
import math
import re
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from itertools import groupby
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import torch
from bench_step import ADAM_BYTES, COPY, MATRIX, Ours, flops, milliseconds
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map
from torch.utils.flop_counter import flop_registry

from animlab import gan_trainer
from animlab.backend.device import keep_freed_memory

WARM_UP, PROFILED, LISTED = 6, 20, 40  # steps, steps, operations
ROUNDS, IN_A_ROW = 10, 4  # in which an operation is repeated alone
PRODUCTS, ADAM, OTHERS = "products", "Adam", "other operations"


class Call(NamedTuple):
    """An operation of a step."""

    part: str
    operation: str
    shapes: str
    ms: float


class Operations(TorchDispatchMode):
    """Notes the calls of a step that is made within it, in turn, and with `keep` how to repeat each of them alone."""

    def __init__(self, *optimizers: torch.optim.Optimizer) -> None:
        super().__init__()
        self.part, self.keep = OTHERS, False
        self.calls: list[Call] = []
        self.repeats: list[Callable[[], object]] = []
        for optimizer in optimizers:
            optimizer.register_step_pre_hook(lambda *_: setattr(self, "part", ADAM))
            optimizer.register_step_post_hook(lambda *_: setattr(self, "part", OTHERS))

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self.keep:
            self.repeats.append(partial(operation, *tree_map(copied, args), **tree_map(copied, kwargs)))
        results = []
        ms = milliseconds(lambda: results.append(operation(*args, **kwargs)))
        name = operation.overloadpacket
        shapes = " ".join("×".join(map(str, arg.shape)) for arg in args if isinstance(arg, Tensor))
        self.calls.append(Call(PRODUCTS if name in flop_registry else self.part, name.__name__, shapes, ms))
        return results[0]


def copied(value: object) -> object:
    """A tensor's copy, laid out in memory as it is; anything else itself."""
    return value.clone() if isinstance(value, Tensor) else value


def least(groups: list[list[Callable[[], object]]]) -> list[float]:
    """Milliseconds of the fastest run of each work of each group: a group a few times in a row, so that it finds in the
    caches what they can hold of it, in each round, so that a slow moment of the machine meets all groups."""
    fastest = [[math.inf] * len(group) for group in groups]
    for _ in range(ROUNDS):
        for group, times in zip(groups, fastest):
            for _ in range(IN_A_ROW):
                times[:] = map(min, times, [milliseconds(work) for work in group])
    return [ms for times in fastest for ms in times]


def measured(preset: str, steps: int) -> dict[str, Any]:
    """Losses of the first steps, the time of these, then the operations."""
    frames = np.random.default_rng(0).integers(0, 256, (4096, 64, 64, 3), np.uint8)
    asked_for = flops(Ours(frames, preset, "fp32").step)  # the fast layers make a few products more
    ours = Ours(frames, preset)
    losses: dict[str, list[float]] = defaultdict(list)

    def step() -> None:
        for name, value in ours.step().items():
            losses[name].append(round(float(value), 4))

    times = [milliseconds(step) for _ in range(steps)][WARM_UP:]
    operations = Operations(ours.trainer.g_optimizer, ours.trainer.d_optimizer)
    profiled = []
    for left in reversed(range(PROFILED)):
        operations.calls, operations.keep = [], left == 0
        with operations:
            ours.step()
        profiled.append(operations.calls)
    del profiled[-1]  # copies of the arguments slow it down
    a, b = (torch.randn(MATRIX, MATRIX, dtype=torch.bfloat16) for _ in range(2))
    source, target = torch.ones(COPY), torch.empty(COPY)
    calls_and_repeats = zip(operations.calls, operations.repeats, strict=True)
    together = groupby(calls_and_repeats, lambda pair: pair[0].part if pair[0].part == ADAM else pair)
    groups = [[repeat for _, repeat in pairs] for _, pairs in together]
    product, copy, *alone = least([[lambda: a @ b], [lambda: target.copy_(source)], *groups])
    rate, bandwidth = 2 * MATRIX**3 / product, 2 * 4 * COPY / copy  # FLOP and bytes a millisecond

    rows: dict[tuple[str, str, str], dict[str, float]] = {}
    parts = {
        PRODUCTS: {"bound": asked_for / rate, "alone": 0.0, "ms": 0.0},
        ADAM: {"bound": ADAM_BYTES * ours.updates() / bandwidth, "alone": 0.0, "ms": 0.0},
        OTHERS: {"bound": 0.0, "alone": 0.0, "ms": 0.0},
    }
    for least_ms, *calls in zip(alone, *profiled, strict=True):
        part, operation, shapes, _ = calls[0]
        row = rows.setdefault((part, operation, shapes), {"calls": 0, "alone": 0.0, "ms": 0.0})
        row["calls"] += 1
        for sums in (row, parts[part]):
            sums["alone"] += least_ms
            sums["ms"] += median(call.ms for call in calls)
    listed = sorted(rows, key=lambda key: -rows[key]["ms"])[:LISTED]
    return {
        "ms": {"min": min(times), "median": median(times)},
        "dense bf16 GFLOP/s": rate / 1e6,
        "copy GB/s": bandwidth / 1e6,
        "parts": parts,
        "operations": [dict(zip(("part", "op", "shapes"), key)) | rows[key] for key in listed],
        "losses": dict(losses),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--presets", nargs="*", default=["paper", "stable"])
    parser.add_argument("--steps", type=int, default=30, help="steps that are timed and whose losses are kept")
    parser.add_argument("--json", type=Path, help="the file to write")
    options = parser.parse_args()
    keep_freed_memory()
    found: dict[str, Any] = {"machine": f"{torch.get_num_threads()} threads, torch {torch.__version__}"}
    for preset in options.presets:
        found[preset] = {}
        for when, adam in (("before", gan_trainer._adam), ("after", gan_trainer.use_fused_layers)):
            with mock.patch.object(gan_trainer, "use_fused_layers", adam):
                result = found[preset][when] = measured(preset, options.steps)
            show(f"{preset}, {when}", result)
    if options.json:
        rounded = json.loads(json.dumps(found), parse_float=lambda number: round(float(number), 4))
        text = json.dumps(rounded, ensure_ascii=False, indent=1)
        text = re.sub(r"\n {5,}|\n {4}(?=[\]}])", " ", text)  # an operation a line
        options.json.write_text(text + "\n", encoding="utf-8")


def show(title: str, result: dict[str, Any]) -> None:
    least, often = result["ms"]["min"], result["ms"]["median"]
    print(f"{title}: least {least:.1f} ms, median {often:.1f} ms a step;"
          f" {result['dense bf16 GFLOP/s']:.0f} GFLOP/s, {result['copy GB/s']:.0f} GB/s")  # fmt: skip
    print(f"{'':24}{'bound':>8}{'alone':>8}{'in step':>8}  ms")
    for part, ms in result["parts"].items():
        print(f"{part:24}" + "".join(f"{ms[column]:8.2f}" for column in ("bound", "alone", "ms")))
    for each in result["operations"]:
        print("{alone:40.2f}{ms:8.2f} {calls:4} {op:30.30} {shapes:.60}".format(**each))


if __name__ == "__main__":
    main()
