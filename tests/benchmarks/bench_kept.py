"""What stands in the library although another library has it: ours against theirs, in one run.

    python tests/benchmarks/bench_kept.py           # some minutes; wants an otherwise idle machine

- keep_freed_memory: a training step with and without it, each in processes of its own, since it cannot be undone; in
  fp32, as on older processors, and in bf16 where that is what trains here.
- use_fused_layers: a step of `stable` with the layers and the Adam of backend/cpu_kernels.py, and with PyTorch's; only
  a processor with bf16 arithmetic uses them.
- Spectral: a step of `stable`, whose D has it, and the same with torch's parametrisation.
- KID, IS, precision and recall: against torch-fidelity's functions, on the same features.

Prints medians and minima in milliseconds, and writes data/results/kept.json.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch
from bench_step import take_turns
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm
from torch_fidelity.metric_isc import isc_features_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric
from torch_fidelity.metric_prc import prc_features_to_metric

import animlab
from animlab import metrics
from animlab.backend.device import Precision, choose_precision, keep_freed_memory
from animlab.backend.distributed import Processes
from animlab.gan_trainer import GANTrainer
from animlab.networks import Spectral
from animlab.trainer import Settings

TABLE = Path(__file__).parents[2] / "data" / "results" / "kept.json"
STEPS, PROCESSES = 15, 2
CPU = torch.device("cpu")


def trainer(preset: str, precision: Precision = "auto") -> GANTrainer:
    frames = np.random.default_rng(0).integers(0, 256, (1024, 64, 64, 3), np.uint8)
    settings = Settings(precision=choose_precision(precision, CPU))
    return GANTrainer(frames, animlab.LabelSpace(), animlab.PRESETS[preset], settings, 1.0, Processes(1, 0, CPU))


def with_torchs_norm(net: nn.Module) -> int:
    """Replaces every Spectral in a network by its layer with torch's parametrisation; how many."""
    count = 0
    for parent in list(net.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, Spectral):
                setattr(parent, name, spectral_norm(child.layer))
                count += 1
    return count


def step_times(preset: str, precision: Precision, keep: bool) -> list[float]:
    """Milliseconds of each step of one process."""
    if keep:
        keep_freed_memory()
    engine, times = trainer(preset, precision), []
    for _ in range(STEPS):
        start = time.perf_counter()
        engine.train_step()
        times.append(1000 * (time.perf_counter() - start))
    return times[5:]


def shown(title: str, times: dict[str, list[float]]) -> dict[str, object]:
    """Prints a line for each of two, theirs and ours; a row of the table, with ours as a share of theirs."""
    first = median(next(iter(times.values())))
    for name, values in times.items():
        print(f"{title:34}{name:26}{median(values):10.1f}{min(values):10.1f}{median(values) / first:8.2f}", flush=True)
    (theirs, before), (ours, after) = ((name, round(median(values), 2)) for name, values in times.items())
    return {"what": title, "theirs": theirs, "theirs_ms": before, "ours": ours, "ours_ms": after,
            "ratio": round(after / before, 3)}  # fmt: skip


def freed_memory() -> list[dict[str, object]]:
    rows = []
    precisions = ("fp32",) if choose_precision("auto", CPU) == "fp32" else ("fp32", "bf16")
    for preset, precision in itertools.product(("paper", "stable"), precisions):
        times: dict[str, list[float]] = {"as Python finds it": [], "keep_freed_memory": []}
        for _ in range(PROCESSES):
            for name, flag in zip(times, ("0", "1"), strict=True):
                command = [sys.executable, __file__, "--step", preset, precision, flag]
                found = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                times[name] += [float(value) for value in found.split()]
        rows.append(shown(f"step of {preset}, {precision}", times))
    return rows


def fused_layers() -> list[dict[str, object]]:
    if choose_precision("auto", CPU) != "bf16":
        return []
    frames = np.random.default_rng(0).integers(0, 256, (1024, 64, 64, 3), np.uint8)
    plain = GANTrainer(
        frames, animlab.LabelSpace(), animlab.PRESETS["stable"], Settings(precision="fp32"), 1.0, Processes(1, 0, CPU)
    )
    plain.settings = Settings(precision="bf16")  # the plain layers and PyTorch's Adam, under the same autocast
    work: dict[str, Callable[[], object]] = {
        "PyTorch's layers, Adam": plain.train_step,
        "use_fused_layers": trainer("stable").train_step,
    }
    return [shown("step of stable, bf16", take_turns(work, STEPS))]


def spectral() -> list[dict[str, object]]:
    ours, theirs = trainer("stable"), trainer("stable")
    count = with_torchs_norm(theirs.discriminator)
    work: dict[str, Callable[[], object]] = {"torch's spectral_norm": theirs.train_step, "Spectral": ours.train_step}
    return [shown(f"step of stable, {count} layers", take_turns(work, STEPS))]


def of_feature_sets() -> list[dict[str, object]]:
    rng = np.random.default_rng(0)
    real, fake = rng.normal(size=(2000, 2048)).astype(np.float32), rng.normal(0.1, 1, (2000, 2048)).astype(np.float32)
    logits = rng.normal(0, 3, (5000, 1008)).astype(np.float32)
    x, y, z = map(torch.from_numpy, (real, fake, logits))
    pairs: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "KID, 20 subsets of 1,000": (
            lambda: kid_features_to_metric(y, x, kid_subsets=20, kid_subset_size=1000, rng_seed=0, verbose=False),
            lambda: metrics.kernel_distance(fake, real, 20, 1000),
        ),
        "IS, 5,000 pictures": (
            lambda: isc_features_to_metric(z, splits=10, shuffle=False),
            lambda: metrics.inception_score(z.softmax(dim=1).numpy()),
        ),
        "precision, recall; 2,000 a side": (
            lambda: prc_features_to_metric(
                x, y, prc_neighborhood=3, prc_batch_size=10000, save_cpu_ram=False, verbose=False
            ),
            lambda: metrics.precision_recall(fake, real, 3),
        ),
    }
    return [
        shown(title, take_turns({"torch-fidelity": theirs, "animlab": ours}, 5))
        for title, (theirs, ours) in pairs.items()
    ]


if __name__ == "__main__":
    if sys.argv[1:2] == ["--step"]:
        preset, precision, keep = sys.argv[2:]
        print(*step_times(preset, precision, keep == "1"))
        sys.exit()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    version = torch.__version__.split("+")[0]
    machine = f"{os.cpu_count()} cores of {platform.machine()}, {torch.get_num_threads()} threads, torch {version}"
    print(machine, choose_precision("auto", CPU), sep=", ")
    print(f"{'':60}{'median':>10}{'minimum':>10}{'ratio':>8}")
    rows = of_feature_sets() + spectral() + fused_layers() + freed_memory()
    about = {
        "made by": "tests/benchmarks/bench_kept.py",
        "machine": machine,
        "precision": choose_precision("auto", CPU),
    }
    TABLE.write_text(json.dumps(about | {"rows": rows}, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
