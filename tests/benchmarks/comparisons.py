"""The comparisons with MoCoGAN and TGAN: every method trains as long, on the same clips, and is evaluated alike.

    python tests/benchmarks/comparisons.py train            # over an hour on two cores; goes on where it was stopped
    python tests/benchmarks/comparisons.py judge            # half an hour more, from what `train` left in --runs
    python tests/benchmarks/comparisons.py long             # an hour more: the first seed of LONG goes on
    python tests/benchmarks/comparisons.py write            # the table and the pictures, from what `judge` measured

train: every method of animlab.baselines.comparison, over several seeds, for SECONDS of one thread's processor time:
on an idle machine that is wall-clock time, on a busy one it still treats all alike. Models are kept at each of MARKS.
long: the same runs of the first seed go on, to see whether the ranking after a short training lasts.
judge: all that animlab.baselines.comparison.Evaluator measures, of every last model; of earlier ones, only what the
paper's protocol does.
write: data/results/comparisons.json, and in data/results/comparisons/ clips of the first seed, a row a clip.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from results import written

import animlab
from animlab import baselines
from animlab.baselines.clip_gan import ClipGAN
from animlab.baselines.comparison import BENCHMARKS, FRAMES, Evaluator, Method, draw
from animlab.checkpoints import FILE, CheckpointError, library_version

ROOT = Path(__file__).resolve().parents[2]
TABLE, PICTURES = ROOT / "data" / "results" / "comparisons.json", ROOT / "data" / "results" / "comparisons"
RUNS = [(data, name) for data, benchmark in BENCHMARKS.items() for name in benchmark.rivals]
REAL = "real"  # held-out clips, in the place of a method
SECONDS, SEEDS, WIDTH = 240, 3, 0.25
MARKS = (SECONDS / 8, SECONDS / 4, SECONDS / 2, SECONDS)
LONG = [("actions", "mocogan"), ("actions", "stable"), ("moving-mnist", "tgan"), ("moving-mnist", "stable-20-20")]
LONG_MARKS = (2 * SECONDS, 4 * SECONDS, 8 * SECONDS)
NEAR = 0.3  # seconds that a mark may be missed by
MATCHED, QUICK, QUICK_SAMPLES = 12, 6, 60  # animations whose related ground truth is searched; of curves; for their FD
SHOWN = 4  # clips of a picture
FOREVER = 10**7  # steps: time ends a run, not their number


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["train", "judge", "long", "write"])
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "comparisons", help="where models are kept")
    args = parser.parse_args()
    if args.part == "train":
        in_parallel(train, [(seed, data, name) for seed in range(SEEDS) for data, name in RUNS], args.runs)
    elif args.part == "judge":
        in_parallel(evaluate, [(seed, data) for seed in range(SEEDS) for data in BENCHMARKS], args.runs)
    elif args.part == "long":
        in_parallel(train_long, LONG, args.runs)
        in_parallel(evaluate_long, LONG, args.runs)
    else:
        write(args.runs)


def in_parallel(work: Callable[..., str], tasks: list[tuple[Any, ...]], folder: Path) -> None:
    """Everything in its order, one thread each and as many at once as there are cores."""
    os.environ["OMP_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        for told in pool.map(work, *zip(*tasks), [folder] * len(tasks)):
            print(told, flush=True)


def train_long(data: str, name: str, folder: Path) -> str:
    """A run of the first seed, to the last of LONG_MARKS."""
    return train(0, data, name, folder, MARKS + LONG_MARKS)


def train(seed: int, data: str, name: str, folder: Path, marks: tuple[float, ...] = MARKS) -> str:
    """One run of the table."""
    benchmark = BENCHMARKS[data]
    return train_method(benchmark.rivals[name], benchmark.load()[0], seed, folder / data / name / str(seed), marks)


def train_method(method: Method, clips: animlab.Clips, seed: int, out: Path, marks: tuple[float, ...]) -> str:
    """One run, in sittings that end at the marks, and a copy of the model at each of them."""
    torch.set_num_threads(1)
    log = out / "log.json"
    told = json.loads(log.read_text()) if log.exists() else {"used": 0.0, "wall": 0.0, "step": 0, "marks": {}}
    for mark in marks:
        while told["used"] < mark - NEAR:
            began, wall = time.process_time(), time.perf_counter()
            run = method.fit(
                clips, FOREVER, seed=seed, out=out, width=WIDTH, seconds=mark - told["used"], resume=True,
                checkpoint_every=FOREVER, progress=False,
            )  # fmt: skip
            told["used"] += time.process_time() - began
            told["wall"] += time.perf_counter() - wall
            told["step"] = run.step
            log.write_text(json.dumps(told))
        if f"{mark:g}" not in told["marks"]:
            shutil.copy(out / FILE, out / f"after-{mark:g}.safetensors")
            told["marks"][f"{mark:g}"] = {key: told[key] for key in ("step", "used", "wall")}
            log.write_text(json.dumps(told))
    return f"{clips.name} {method.title} {seed}: {told['step']} steps, {told['used']:.0f} s of {told['wall']:.0f}"


def evaluate(seed: int, data: str, folder: Path) -> str:
    """All runs of one seed on one benchmark, and real clips; what has been evaluated is not evaluated again."""
    torch.set_num_threads(1)
    benchmark = BENCHMARKS[data]
    seen, held_out = benchmark.load()
    evaluator = Evaluator(benchmark, seen, held_out, seed)
    for name in [*benchmark.rivals, REAL]:
        out = folder / data / name / str(seed)
        found = out / "found.json"
        if found.exists():
            continue
        if name == REAL:
            out.mkdir(parents=True, exist_ok=True)
            row: dict[str, Any] = evaluator.match(held_out, MATCHED) | evaluator.distances(held_out)
            row |= {f"seen_{key}": value for key, value in evaluator.distances(evaluator.train).items()}
            row |= {"quick": evaluator.match(held_out, QUICK, QUICK_SAMPLES)}
        else:
            kept = {mark: loaded(out / f"after-{mark:g}.safetensors") for mark in MARKS}
            model = kept[SECONDS]
            row = evaluator.match(model, MATCHED) | evaluator.distances(model) | evaluator.invert(model)
            row |= evaluator.copying(model) | evaluator.control(model)
            row["curve"] = [
                {"seconds": mark} | evaluator.match(each, QUICK, QUICK_SAMPLES) for mark, each in kept.items()
            ]
        found.write_text(json.dumps(row))
    return f"{data} {seed} evaluated"


def evaluate_long(data: str, name: str, folder: Path) -> str:
    """A run of the first seed after SECONDS and at each of LONG_MARKS."""
    torch.set_num_threads(1)
    benchmark, out = BENCHMARKS[data], folder / data / name / "0"
    evaluator = Evaluator(benchmark, *benchmark.load(), 0)
    log = json.loads((out / "log.json").read_text())
    rows = []
    for mark in (SECONDS, *LONG_MARKS):
        model = loaded(out / f"after-{mark:g}.safetensors")
        row = {"seconds": mark, "steps": log["marks"][f"{mark:g}"]["step"]}
        rows.append(row | evaluator.match(model, MATCHED) | evaluator.distances(model) | evaluator.invert(model))
    (out / "long.json").write_text(json.dumps(rows))
    return f"{data} {name} evaluated to the end"


def loaded(file: Path) -> animlab.Model | ClipGAN:
    """A model of ours or a baseline's."""
    try:
        return animlab.load(file)
    except CheckpointError:
        return baselines.load(file)


def write(folder: Path) -> None:
    """The table, a row a run, and the pictures."""
    PICTURES.mkdir(exist_ok=True)
    rows = []
    for data, name in [*RUNS, *((data, REAL) for data in BENCHMARKS)]:
        benchmark = BENCHMARKS[data]
        for seed in range(SEEDS):
            out = folder / data / name / str(seed)
            row: dict[str, Any] = {"data": data, "who": name, "seed": seed}
            if name != REAL:
                log = json.loads((out / "log.json").read_text())
                end = log["marks"][f"{SECONDS:g}"]
                row |= {"steps": end["step"], "seconds": end["used"], "wall seconds": end["wall"]}
            rows.append(row | json.loads((out / "found.json").read_text()))
        if name == REAL:
            keep_picture(f"{data}_{name}", draw(benchmark.load()[0], SHOWN, FRAMES, 0, benchmark.stride))
        else:
            keep_picture(f"{data}_{name}", shown_by(folder / data / name / "0" / f"after-{SECONDS:g}.safetensors"))
    for data, name in LONG:
        newest = folder / data / name / "0" / f"after-{LONG_MARKS[-1]:g}.safetensors"
        keep_picture(f"{data}_{name}_long", shown_by(newest))
    about = {
        "made by": "tests/benchmarks/comparisons.py", "date": date.today().isoformat(), "version": library_version(),
        "machine": f"one thread of {os.cpu_count()}, {platform.machine()}, torch {torch.__version__.split('+')[0]}",
        "seconds": SECONDS, "marks": MARKS, "seeds": SEEDS, "width": WIDTH, "features": "animlab-features",
        "matched": MATCHED, "matched for the curve": QUICK,
    }  # fmt: skip
    long = [
        {"data": data, "who": name} | row
        for data, name in LONG
        for row in json.loads((folder / data / name / "0" / "long.json").read_text())
    ]
    TABLE.write_text(written(about | {"runs": rows, "long": long}))


def keep_picture(name: str, clips: np.ndarray) -> None:
    """Clips as one picture without gaps, so that they can be taken out of it again."""
    picture = Image.fromarray(animlab.filmstrip(clips, gap=0))
    picture.save(PICTURES / f"{name}.jpg", quality=80, subsampling=0)


def shown_by(file: Path) -> np.ndarray:
    """Clips of a baseline, or sweeps of the c that is measured to be strongest, another d and z each."""
    model = loaded(file)
    if not isinstance(model, animlab.Model):
        return draw(model, SHOWN, FRAMES, 0)
    measured = animlab.metrics.label_influence(model.generator)
    best = max(range(model.space.n_c), key=lambda j: measured[f"c{j}"].strength)
    return np.stack([model.animate(k % model.space.n_d, best, FRAMES, seed=k) for k in range(SHOWN)])


if __name__ == "__main__":
    main()
