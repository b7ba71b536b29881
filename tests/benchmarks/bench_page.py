"""How long the page of export_player takes for a picture in Chromium, and how large it is.

For the full networks with fresh weights, and for the shipped models.

Usage: python tests/benchmarks/bench_page.py [PICTURES]   (default: 300)

Measured in the page from the wish for a picture to the picture on its canvas, the way to the worker and back included;
once with the fastest loops that the browser knows, and for 20 pictures with those in plain JavaScript.
"""

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from playwright.sync_api import Browser, sync_playwright

import animlab
from animlab import networks, web

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
TIMES = """async pictures => {
  const times = [];
  for (let i = -20; i < pictures; i++) { // the first ones warm up
    state.c[0] = (i + 20) % 100 / 99;
    const start = performance.now();
    await redraw();
    if (i >= 0) times.push(performance.now() - start);
  }
  return times;
}"""


def bench(browser: Browser, text: str, pictures: int) -> np.ndarray:
    """Milliseconds for each picture."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "player.html"
        path.write_text(text, encoding="utf-8")
        page = browser.new_page(reduced_motion="reduce")
        page.goto(path.as_uri())
        page.wait_for_selector("body.ready", timeout=60_000)
        times = page.evaluate(TIMES, pictures)
        page.close()
    return np.array(times)


def main(pictures: int) -> None:
    print(f"{'networks':16}{'loops':12}{'MB':>6}{'p50 ms':>10}{'p95 ms':>10}")
    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu"]
        with playwright.chromium.launch(executable_path=CHROMIUM, args=flags) as browser:
            for name, model in models():
                text, _ = web.page_of(model)
                plain = re.sub(r'"kernels": \[[^]]*\]', '"kernels": []', text)
                for loops, page, count in (("WebAssembly", text, pictures), ("JavaScript", plain, 20)):
                    p50, p95 = np.percentile(bench(browser, page, count), [50, 95])
                    print(f"{name:16}{loops:12}{len(page.encode()) / 1e6:6.2f}{p50:10.1f}{p95:10.1f}", flush=True)


def models() -> Iterator[tuple[str, animlab.Model]]:
    """The full networks with fresh weights, and every shipped generator."""
    for name in networks.ARCHITECTURES:
        torch.manual_seed(0)
        yield name, animlab.Model(networks.build(name, animlab.LabelSpace())[0])
    for file in sorted((animlab.checkpoints.PROJECT / "data" / "pretrained").glob("*/filmstrip.*")):
        yield file.parent.name, animlab.load(file.parent)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300)
