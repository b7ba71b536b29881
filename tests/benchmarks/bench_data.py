"""Training frames out of memory and out of a file too large for it: frames a second, and what a step takes then.

    python tests/benchmarks/bench_data.py                  # with a 4 GB file in the temporary folder
    python tests/benchmarks/bench_data.py --gigabytes 1

Batches of 64 random frames, as `fit` gathers them. "map, warm": the file lies in the system's page cache, as it will
after some time where memory is large enough. "map, cold": nothing of it does, as where it is larger than memory, and
each frame comes from the disk; "one by one" is the same by plain indexing, the system not told ahead what will be read.
Then steps of `fit` with frames from memory and from the cold map, in turn; and by how much what the process holds grew
while those ran: RssAnon is its own, RssFile are pages of the map, which the system takes back where it needs room.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch

import animlab
from animlab.backend.device import choose_precision, keep_freed_memory
from animlab.backend.distributed import Processes
from animlab.backend.loader import gather
from animlab.gan_trainer import GANTrainer
from animlab.trainer import Settings

BATCH, SMALL = 64, 4096
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def write(path: Path, gigabytes: float) -> None:
    """Random frames, a block of 50 MB again and again: no file system can leave any of it out."""
    block = np.random.default_rng(0).integers(0, 256, (SMALL, 64, 64, 3), np.uint8)
    with path.open("wb") as file:
        for i in range(round(gigabytes * 1e9 / block.nbytes)):
            block[:, 0, 0, 0] = i
            block.tofile(file)
        os.fsync(file.fileno())


def cold(path: Path) -> np.memmap:
    """The file as a memory map, of which nothing is in the page cache."""
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return np.memmap(path, np.uint8, "r").reshape(-1, 64, 64, 3)


def gathering(frames: np.ndarray, take: Callable[[np.ndarray, np.ndarray], np.ndarray], batches: int) -> dict:
    rng, times = np.random.default_rng(1), []
    for _ in range(batches):
        rows = rng.integers(len(frames), size=BATCH)
        start = time.perf_counter()
        take(frames, rows)
        times.append(time.perf_counter() - start)
    ms = 1000 * np.array(times)
    return {"frames/s": BATCH * batches / sum(times), "ms a batch": median(ms), "p95 ms": float(np.percentile(ms, 95))}


def stepping(sources: dict[str, np.ndarray], width: float, rounds: int = 20) -> dict[str, float]:
    """Median milliseconds of a step of "stable" on each of the sources, in turn; MB that the process grew by."""
    settings, processes = Settings(precision=choose_precision("auto", DEVICE)), Processes(1, 0, DEVICE)
    preset = animlab.PRESETS["stable"]
    trainers = {
        name: GANTrainer(frames, animlab.LabelSpace(), preset, settings, width, processes)
        for name, frames in sources.items()
    }
    times: dict[str, list[float]] = {name: [] for name in sources}
    for i in range(5 + rounds):
        if i == 5:
            before = held()
        for name, trainer in trainers.items():
            start = time.perf_counter()
            for loss in trainer.train_step().values():
                float(loss)  # a GPU is waited for
            times[name].append(1000 * (time.perf_counter() - start))
    after = held()
    grown = {f"{kind} grew by MB": after[kind] - before[kind] for kind in after}
    return {f"{name}, ms": median(each[5:]) for name, each in times.items()} | grown


def held() -> dict[str, float]:
    """MB that this process holds, by kind; nothing where there is no /proc."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return {
        line.split(":")[0]: int(line.split()[1]) / 1024 for line in lines if line.startswith(("RssAnon", "RssFile"))
    }


def main(gigabytes: float) -> dict:
    keep_freed_memory()
    small = np.random.default_rng(0).integers(0, 256, (SMALL, 64, 64, 3), np.uint8)
    result: dict = {"gather": {"memory": gathering(small, gather, 300)}, "step": {}}
    folder, widths = tempfile.gettempdir(), (1.0, 0.25)
    if gigabytes == 0 or shutil.disk_usage(folder).free < 1.5e9 * gigabytes or not hasattr(os, "posix_fadvise"):
        result["step"] |= {f"width {width:g}": stepping({"memory": small}, width) for width in widths}
        return result | {"map": f"left out: {folder} has no room for {gigabytes:g} GB, or none was asked for"}
    with tempfile.TemporaryDirectory(dir=folder) as place:
        path = Path(place) / "frames"
        write(path, gigabytes)
        result["gather"]["map, cold"] = gathering(cold(path), gather, 100)
        result["gather"]["map, cold, one by one"] = gathering(cold(path), lambda frames, rows: frames[rows], 100)
        for width in widths:
            result["step"][f"width {width:g}"] = stepping({"memory": small, "map, cold": cold(path)}, width)
        frames = cold(path)
        for start in range(0, len(frames), SMALL):
            frames[start : start + SMALL].max()
        result["gather"]["map, warm"] = gathering(frames, gather, 300)
        return result | {"map": f"{frames.nbytes / 1e9:.1f} GB"}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=4.3, help="size of the file, 0 for none")
    print(json.dumps(main(parser.parse_args().gigabytes), indent=2))
