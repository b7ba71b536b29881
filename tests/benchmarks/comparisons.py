"""The comparisons with MoCoGAN and TGAN: everybody trains as long, on the same clips, and is judged alike.

    python tests/benchmarks/comparisons.py train            # over an hour on two cores; goes on where it was stopped
    python tests/benchmarks/comparisons.py judge            # some minutes more, from what `train` left in --runs

train: every contender of animlab.baselines.comparison, over several seeds, for SECONDS of one thread's processor time:
on an idle machine that is wall-clock time, on a busy one it still treats all alike. Models are kept at each of MARKS.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import torch

from animlab.baselines.comparison import GROUNDS
from animlab.checkpoints import FILE

ROOT = Path(__file__).resolve().parents[2]
SECONDS, SEEDS, WIDTH = 240, 3, 0.25
MARKS = (SECONDS / 8, SECONDS / 4, SECONDS / 2, SECONDS)
NEAR = 0.3  # seconds that a mark may be missed by
FOREVER = 10**7  # steps: time ends a run, not their number


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["train"])
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "comparisons", help="where models are kept")
    args = parser.parse_args()
    if args.part == "train":
        train_all(args.runs)


def train_all(folder: Path) -> None:
    """All runs, one thread each and as many at once as there are cores; the first seed of everybody comes first."""
    tasks = [(seed, data, name) for seed in range(SEEDS) for data in GROUNDS for name in GROUNDS[data].rivals]
    os.environ["OMP_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        for told in pool.map(train, *zip(*tasks), [folder] * len(tasks)):
            print(told, flush=True)


def train(seed: int, data: str, name: str, folder: Path) -> str:
    """One run, in sittings that end at the marks."""
    torch.set_num_threads(1)
    out = folder / data / name / str(seed)
    log = out / "log.json"
    told = json.loads(log.read_text()) if log.exists() else {"used": 0.0, "wall": 0.0, "step": 0, "marks": {}}
    ground = GROUNDS[data]
    clips, _ = ground.load()
    for mark in MARKS:
        while told["used"] < mark - NEAR:
            began, wall = time.process_time(), time.perf_counter()
            run = ground.rivals[name].fit(
                clips, FOREVER, seed=seed, out=out, width=WIDTH, seconds=mark - told["used"], resume=True,
                checkpoint_every=FOREVER, progress=False,
            )  # fmt: skip
            told["used"] += time.process_time() - began
            told["wall"] += time.perf_counter() - wall
            told["step"] = run.step
            log.write_text(json.dumps(told))
        if f"{mark:g}" not in told["marks"]:
            shutil.copy(out / FILE, out / f"after-{mark:g}.safetensors")
            told["marks"][f"{mark:g}"] = {"step": told["step"], "used": told["used"]}
            log.write_text(json.dumps(told))
    return f"{data} {name} {seed}: {told['step']} steps, {told['used']:.0f} s of {told['wall']:.0f}"


if __name__ == "__main__":
    main()
