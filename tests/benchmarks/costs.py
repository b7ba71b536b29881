"""What drawing a clip and one training step take, for the five models of Tab. 6: seconds on this machine.

    python tests/benchmarks/costs.py                    # a minute or two; wants an otherwise idle machine
    python tests/benchmarks/costs.py tgan ours          # only these; the others' rows stay as they were

Writes `data/results/costs.json`: the median and the quartiles of a few runs of each, in fp32, after one run to warm up;
and the same of a convolution in three and in two dimensions, forward and backward, at equal channels. Multiply-adds
and memory need no clock; `animlab.baselines.costs` counts them anew wherever they are shown.
"""

from __future__ import annotations

import json
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

import animlab
from animlab.baselines.cost_models import COST_MODELS, cost_model
from animlab.baselines.costs import FlopCounter, cost

TABLE = Path(__file__).parents[2] / "data" / "results" / "costs.json"
LAYERS = {
    "conv 2-D": lambda: (nn.Conv2d(64, 128, 4, 2, 1), torch.rand(16, 64, 32, 32, requires_grad=True)),
    "conv 3-D": lambda: (
        nn.Conv3d(64, 128, 4, (1, 2, 2), (0, 1, 1)),
        torch.rand(1, 64, 16, 32, 32, requires_grad=True),
    ),
}
ENOUGH, MOST, LEAST = 4.0, 21, 3  # seconds for a row, runs at most and at least


def timed(work: Callable[[], object]) -> dict[str, float]:
    """Median and quartiles of the seconds that `work` takes."""
    work()
    took: list[float] = []
    while len(took) < LEAST or (sum(took) < ENOUGH and len(took) < MOST):
        start = time.perf_counter()
        work()
        took.append(time.perf_counter() - start)
    low, middle, high = (float(f"{q:.4g}") for q in np.quantile(took, (0.25, 0.5, 0.75)))
    return {"seconds": middle, "low": low, "high": high, "runs": len(took)}


def model(name: str) -> dict[str, object]:
    it = cost_model(name)
    step = timed(it.step)
    for net in it.generators:
        net.eval()
    with torch.no_grad():
        clip = timed(it.draw)
    return {"step": step, "clip": clip} | counted(name)


def counted(name: str) -> dict[str, int]:
    """What the seconds were spent on."""
    found = cost(name)
    return {"seen": found.seen, "step_multiply_adds": found.step.total(), "clip_multiply_adds": found.drawn.total()}


def layer(name: str) -> dict[str, object]:
    net, x = LAYERS[name]()

    def work() -> None:
        net(x).sum().backward()

    with FlopCounter(net) as meter:
        work()
    return {"multiply_adds": meter.multiply_adds.total()} | timed(work)


def main(names: list[str]) -> None:
    table = json.loads(TABLE.read_text()) if TABLE.exists() else {"models": {}}
    table["made by"] = "tests/benchmarks/costs.py"
    table["library"] = animlab.checkpoints.library_version()
    threads = f"{torch.get_num_threads()} threads"
    table["machine"] = f"two {platform.machine()} CPU cores, {threads}, torch {torch.__version__.split('+')[0]}, fp32"
    torch.manual_seed(0)
    for name in names:
        table["models"][name] = model(name)
        print(name, table["models"][name], flush=True)
    table["models"] = {name: table["models"][name] for name in COST_MODELS if name in table["models"]}
    if set(names) == set(COST_MODELS) or "layers" not in table:
        table["layers"] = {name: layer(name) for name in LAYERS}
        print(table["layers"])
    TABLE.write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:] or list(COST_MODELS))
