"""Prepare every data set from nothing, each in a process of its own, and write down what that took.

    python tests/benchmarks/datasets.py                          # all that is there; some minutes
    python tests/benchmarks/datasets.py actions celeba           # only these; the others' rows stay as they were

Writes `data/results/datasets.json`: clips, frames, seconds, processor seconds, peak memory, size on disk; and into
`data/pictures/` a filmstrip of each set, but of CelebA, whose terms forbid to pass its pictures on.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
from PIL import Image

import animlab
from animlab.animation import filmstrip

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "data" / "results" / "datasets.json"
PICTURES = ROOT / "data" / "pictures"
ROWS, COLUMNS = 3, 12
NOT_TO_BE_SHOWN = {"celeba"}


def prepare(name: str) -> dict[str, object]:
    """Load a set with an empty cache and say what that took; in a fresh process, or the peaks are another's."""
    before = peak()
    wall, processor = time.perf_counter(), sum(os.times()[:4])  # of children too
    clips = animlab.load_dataset(name, progress=False)
    wall, processor = time.perf_counter() - wall, sum(os.times()[:4]) - processor
    took = {"seconds": round(wall, 1), "processor_seconds": round(processor, 1), "extra_MB": round(peak() - before)}
    if clips.name not in NOT_TO_BE_SHOWN:
        PICTURES.mkdir(exist_ok=True)
        Image.fromarray(picture(clips)).save(PICTURES / f"{clips.name}.jpg", quality=88)
    counts = {"clips": len(clips.clips), "takes": len(np.unique(clips.clips["take"])), "frames": len(clips)}
    cache = Path(os.environ["ANIMLAB_CACHE"])
    size = sum(path.stat().st_size for path in cache.rglob("*") if path.is_file())
    kinds = len(set(clips.clips["class"]) - {""})
    return {"name": clips.name} | counts | {"classes": kinds, "prepared_MB": round(size / 1e6)} | took


def peak() -> float:
    """Most memory this process has held at one time, in MB; what is read through a memory map counts as well."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def picture(clips: animlab.Clips) -> np.ndarray:
    """A filmstrip: three clips spread over the set, twelve frames of each; single pictures fill the rows instead."""
    chosen = clips.clips[np.linspace(0, len(clips.clips) - 1, ROWS * (COLUMNS if single(clips) else 1)).astype(int)]
    if single(clips):
        return filmstrip(clips.frames[chosen["start"]].reshape(ROWS, COLUMNS, *clips.frames.shape[1:]))
    places = [np.linspace(0, row["length"] - 1, COLUMNS).astype(int) + row["start"] for row in chosen]
    return filmstrip([clips.frames[rows] for rows in places])


def single(clips: animlab.Clips) -> bool:
    return bool((clips.clips["length"] == 1).all())


def main(names: list[str]) -> None:
    table = json.loads(TABLE.read_text()) if TABLE.exists() else {"sets": {}}
    table["machine"] = f"{os.cpu_count()} CPU cores"
    table["version"] = version("animlab")
    for name in names:
        with tempfile.TemporaryDirectory() as cache:
            environment = os.environ | {"ANIMLAB_CACHE": cache, "ANIMLAB_OFFLINE": "1", "PYTHONWARNINGS": "ignore"}
            command = [sys.executable, __file__, "--one", name]
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        row = json.loads(done.stdout)
        found = row.pop("name")
        print(found, row, flush=True)
        table["sets"][found] = row
    TABLE.parent.mkdir(exist_ok=True)
    table["sets"] = {name: table["sets"][name] for name in every_name() if name in table["sets"]}
    TABLE.write_text(json.dumps(table, indent=1) + "\n")


def every_name() -> list[str]:
    """The real sets, then the stand-ins; not the owls, which are drawn in seconds."""
    named = [name for name, entry in animlab.datasets.REGISTRY.items() if entry.synthetic and name != "owls"]
    return named + [f"{name}-synthetic" for name in named]


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(prepare(sys.argv[2])))
    else:
        main(sys.argv[1:] or every_name())
