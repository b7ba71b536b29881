"""How long LabelPlayer takes in JupyterLab from a key press to the first painted frame with the new picture.

Usage: python tests/benchmarks/bench_browser.py [PRESSES]   (default: 200)

In Chromium, with the shipped actions: while the kernel is idle, and beside a cell that trains. Prints the median and
the 95th percentile in milliseconds. Wants an otherwise idle machine.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
from playwright.sync_api import expect

sys.path.insert(0, str(Path(__file__).parents[1]))
from lab import milliseconds, running_lab, start_all, visitor, write_notebook
from test_browser import PLAYER, TRAINING

CASES = {"idle": [PLAYER], "training": [PLAYER, TRAINING]}


def main(presses: int = 200) -> None:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, visitor() as browser:
        for name, sources in CASES.items():
            write_notebook(Path(folder) / f"{name}.ipynb", *sources)
        with running_lab(Path(folder)) as lab:
            for name in CASES:
                page = start_all(browser, lab(name))
                player = page.locator(".animlab-player")
                expect(player.locator(".animlab-picture img")).to_be_visible(timeout=60_000)
                page.wait_for_timeout(5000)  # until a training has begun
                handle = player.locator(".widget-hslider", has_text="c0").locator(".noUi-handle")
                times = milliseconds(page, handle, presses // 2 * ["ArrowRight", "ArrowLeft"])
                p50, p95 = np.percentile(times, [50, 95])
                print(f"{name:8} p50 {p50:.0f} ms, p95 {p95:.0f} ms over {len(times)} presses", flush=True)
                page.close()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
