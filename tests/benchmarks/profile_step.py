"""Where a step's milliseconds go, operation by operation, as PyTorch's profiler sees them.

    python tests/benchmarks/profile_step.py --name after --json data/results/step_profile.json

Wants an otherwise idle machine for half a minute. The file keeps what it holds under other names: "before" are the
numbers of the same script, run on the library as it was before animlab/fast.py. Medians over the profiled steps; an
operation is listed once for each set of shapes that it meets, "others" are all that take too little to be listed.
Beside the table: what a step takes where nobody profiles it, and the losses of the first steps, which say whether a
change of speed has changed anything else.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections import Counter, defaultdict
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from bench_step import Ours
from torch.profiler import ProfilerActivity, profile, record_function

from animlab.machine import keep_freed_memory

WARM_UP, PROFILED, LISTED = 6, 10, 40


def measured(preset: str, steps: int) -> dict[str, Any]:
    """Losses of the first steps, the time of these, then the table."""
    frames = np.random.default_rng(0).integers(0, 256, (4096, 64, 64, 3), np.uint8)
    ours = Ours(preset)
    losses, times = defaultdict(list), []
    for _ in range(steps):
        began = time.perf_counter()
        for name, value in ours.state.advance(frames).items():
            losses[name].append(round(float(value), 4))
        times.append(1000 * (time.perf_counter() - began))
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as profiler:
        for _ in range(PROFILED):
            with record_function("step"):
                ours.step(frames)
    events = profiler.events()
    spans = [event.time_range for event in events if event.name == "step"]
    taken, calls = defaultdict(list), {}
    for span in spans:
        spent, number = Counter(), Counter()
        for event in events:
            if span.start <= event.time_range.start <= span.end:
                shapes = " ".join("×".join(map(str, shape)) for shape in event.input_shapes if shape)
                key = ("Python, as far as it is profiled" if event.name == "step" else event.name, shapes)
                spent[key] += event.self_cpu_time_total / 1000
                number[key] += 1
        for key, ms in spent.items():
            taken[key].append(ms)
        calls |= number
    medians = {key: median(values) for key, values in taken.items()}
    total = sum(medians.values())
    listed = sorted(medians, key=lambda key: -medians[key])[:LISTED]
    table = [row(*key, calls[key], medians[key], total) for key in listed]
    rest = [key for key in medians if key not in listed]
    table.append(row("others", "", sum(calls[key] for key in rest), sum(medians[key] for key in rest), total))
    return {
        "ms": {"min": round(min(times[WARM_UP:]), 1), "median": round(median(times[WARM_UP:]), 1)},
        "profiled ms": round(median(span.elapsed_us() / 1000 for span in spans), 1),
        "operations": table,
        "losses": dict(losses),
    }


def row(operation: str, shapes: str, calls: int, ms: float, total: float) -> dict[str, Any]:
    return {"op": operation, "shapes": shapes[:80], "calls": calls, "ms": round(ms, 2), "share": round(ms / total, 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", required=True, help='what these numbers are of, such as "before" or "after"')
    parser.add_argument("--presets", nargs="*", default=["paper", "stable"])
    parser.add_argument("--steps", type=int, default=30, help="steps that are timed and whose losses are kept")
    parser.add_argument("--json", type=Path, help="the file to add to")
    options = parser.parse_args()
    keep_freed_memory()
    found = json.loads(options.json.read_text()) if options.json and options.json.exists() else {}
    found["machine"] = f"{torch.get_num_threads()} threads, torch {torch.__version__}"
    for preset in options.presets:
        result = measured(preset, options.steps)
        found.setdefault(preset, {})[options.name] = result
        print(f"{preset}, {options.name}: {result['ms']} ms a step, {result['profiled ms']} profiled")
        for each in result["operations"]:
            print("{ms:8.2f} ms {share:6.1%} {calls:4} {op:40.40} {shapes}".format(**each))
    if options.json:
        text = json.dumps(found, ensure_ascii=False, indent=1)
        text = re.sub(r"\n {5,}|\n {4}(?=[\]}])", " ", text)  # an operation a line
        options.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
