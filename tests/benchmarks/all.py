"""Everything that is to be fast, in one table of ratios: the step, the loop, the data, drawing, the player.

    python tests/benchmarks/all.py                    # all of it, some minutes; wants an otherwise idle machine
    python tests/benchmarks/all.py step player        # only these; the others' numbers stay as they were
    python tests/benchmarks/all.py --gigabytes 0      # without the file larger than memory

Prints the table and writes all numbers to data/results/bench.json. What each part measures, and how, is said in
bench_step.py, bench_modern.py, bench_data.py and bench_player.py; "draw" is `Model.frames`, labels in and uint8
pictures out.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import bench_data
import bench_modern
import bench_player
import bench_step
import numpy as np
import torch

import animlab
from animlab.backend.device import choose_precision

TABLE = Path(__file__).parents[2] / "data" / "results" / "bench.json"


def machine() -> dict[str, object]:
    """What the numbers were measured on."""
    known = Path("/proc/cpuinfo")
    lines = known.read_text().splitlines() if known.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": models[0] if models else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "bf16": choose_precision("auto", torch.device("cpu")) == "bf16",
        "torch": torch.__version__.split("+")[0],
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def fit() -> dict[str, dict[str, float]]:
    """Steps a second of `animlab.fit` itself, its first 25 left out: on a GPU nothing waits for each single step."""
    frames = np.random.default_rng(0).integers(0, 256, (4096, 64, 64, 3), np.uint8)
    clips = animlab.Clips.single(frames)
    steps, result = (2025 if bench_step.DEVICE.type == "cuda" else 45), {}
    for name in ("paper", "stable"):
        times = Times()
        animlab.fit(clips, animlab.LabelSpace(), name, steps, progress=False, callbacks=[times], sample_every=steps)
        (first, began), (last, ended) = times.at[24], times.at[-1]
        result[name] = {"steps/s": (last - first) / (ended - began)}
    return result


class Times(animlab.Callback):
    """When fit had done which step."""

    def __init__(self) -> None:
        self.at: list[tuple[int, float]] = []

    def on_step(self, record: animlab.Record) -> None:
        self.at.append((record.step, record.seconds))


def draw(rounds: int = 30) -> dict[str, float]:
    """Pictures of the full G a second, 64 at once and one after the other, as a slider asks for them."""
    model = animlab.Model(animlab.Generator(animlab.LabelSpace()).to(bench_step.DEVICE))
    many = model.space.sample(64, torch.Generator().manual_seed(0))
    times: dict[str, list[float]] = {"64": [], "1": []}
    for i in range(rounds + 3):
        for name, labels in (("64", many), ("1", many[:1])):
            start = time.perf_counter()
            model.frames(labels)
            if i >= 3:
                times[name].append(time.perf_counter() - start)
    batch, single = median(times["64"]), median(times["1"])
    return {"frames/s, 64 at once": 64 / batch, "frames/s, one by one": 1 / single, "ms for one": 1000 * single}


def player(callbacks: int = 300) -> dict[str, float]:
    p50, p95 = np.percentile(bench_player.bench(1.0, callbacks), [50, 95])
    return {"p50 ms": float(p50), "p95 ms": float(p95)}


def rows(result: dict) -> list[tuple[str, str, float]]:
    """What, measured in absolute terms, and the ratio."""
    found = []
    for name in ("paper", "stable"):
        if "step" in result:
            row = result["step"][f"{name}, kept"]
            ms = f"{row['min ms']:.0f} ms"
            found.append((f"step, {name}: the common loop takes … times as long", ms, row["ratio of minima"]))
            found.append((f"step, {name}: share of the machine's bound", ms, row["share of bound"]))
        if "step" in result and "fit" in result:
            rate = result["fit"][name]["steps/s"]
            what = f"fit, {name}: its steps a second : bare steps one by one"
            found.append((what, f"{rate:.1f} steps/s", rate * row["median ms"] / 1000))
    if "modern" in result:
        row = result["modern"]
        ms = f"{row['modern']['min ms']:.0f} ms"
        ratio = row["careless"]["times as long as modern"]
        found.append(("step, modern: a careless loop takes … times as long", ms, ratio))
        ratio = row["convolutions"]["times as long as modern"]
        found.append(("step, modern: share of it that its convolutions alone take", ms, ratio))
    if "data" in result:
        data = result["data"]
        needed = 1000 * bench_data.BATCH / data["step"]["width 1"]["memory, ms"]
        for name, row in data["gather"].items():
            what = f"frames from {name}: times what steps of the full nets take in"
            found.append((what, f"{row['frames/s']:,.0f} frames/s", row["frames/s"] / needed))
        for name, row in data["step"].items():
            if (ms := row.get("map, cold, ms")) is not None:
                what = f"step, {name}, frames from map, cold : from memory"
                found.append((what, f"{ms:.0f} ms", ms / row["memory, ms"]))
    if "draw" in result:
        batch, single = (result["draw"][f"frames/s, {name}"] for name in ("64 at once", "one by one"))
        found.append(("draw, 64 at once : one by one", f"{batch:,.0f} frames/s", batch / single))
    if "player" in result:
        p50, p95 = (result["player"][f"{name} ms"] for name in ("p50", "p95"))
        found.append(("player, 95th percentile : median of a slider's callback", f"{p50:.1f} ms", p95 / p50))
    return found


def main(parts: list[str], gigabytes: float, rounds: int) -> None:
    work: dict[str, Callable[[], dict]] = {
        "step": lambda: bench_step.main(rounds),
        "modern": lambda: bench_modern.main(max(2, rounds // 3)),
        "fit": fit,
        "data": lambda: bench_data.main(gigabytes),
        "draw": draw,
        "player": player,
    }
    result = json.loads(TABLE.read_text()) if TABLE.exists() else {}
    if result.get("machine") != (here := machine()):
        result = {"machine": here}  # numbers of another machine, or of other settings, are nothing to compare with
    for part in parts or work:
        start = time.perf_counter()
        result[part] = work[part]()
        print(f"{part}: {time.perf_counter() - start:.0f} s", flush=True)
    TABLE.write_text(json.dumps(result, indent=1) + "\n")
    print(" ".join(f"{key}: {value};" for key, value in here.items()))
    print(f"{'':80}{'measured':>20}{'ratio':>10}")
    for what, measured, ratio in rows(result):
        print(f"{what:80}{measured:>20}{ratio:10.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help="step, modern, fit, data, draw, player; all where none is named")
    parser.add_argument("--gigabytes", type=float, default=4.3, help="size of the memory map, 0 for none")
    parser.add_argument("--rounds", type=int, default=12, help="timed steps of each loop")
    options = parser.parse_args()
    main(options.parts, options.gigabytes, options.rounds)
