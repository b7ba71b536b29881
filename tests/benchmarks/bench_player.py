"""How long LabelPlayer takes from a slider's callback to the new picture's bytes: p50 and p95 in milliseconds.

Usage: python tests/benchmarks/bench_player.py [CALLBACKS]   (default: 500)
"""

import sys
import time

import ipywidgets
import numpy as np
import torch

import animlab


def bench(width: float, callbacks: int) -> np.ndarray:
    player = animlab.LabelPlayer(animlab.Model(animlab.Generator(animlab.LabelSpace(), width=width)))
    times = []
    for i in range(callbacks + 20):
        slider, before = player.c[i % len(player.c)], player.picture.value
        value = (slider.value + 0.37) % 1
        start = time.perf_counter()
        slider.value = value
        times.append(1000 * (time.perf_counter() - start))
        assert player.picture.value is not before
    return np.array(times[20:])  # the first ones warm up


if __name__ == "__main__":
    callbacks = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    print(f"ipywidgets {ipywidgets.__version__}, torch {torch.__version__}, {torch.get_num_threads()} threads")
    print("width     p50 ms   p95 ms")
    for width in (1.0, 0.25):
        p50, p95 = np.percentile(bench(width, callbacks), [50, 95])
        print(f"{width:5} {p50:10.1f} {p95:8.1f}")
