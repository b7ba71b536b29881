"""How long onnxruntime-web takes for a picture in Chromium, and how large a page with it would be.

Usage: python tests/benchmarks/bench_onnxruntime.py FOLDER [PICTURES]   (default: 300)

FOLDER is node_modules/onnxruntime-web, after `npm install onnxruntime-web`; the export needs `pip install onnx`.
One thread, for a page opened from a file cannot share memory between threads; the session alone, without a worker or a
canvas. The size is what the page could not do without: the runtime, zipped and in base64, and our page with its
weights in int8. bench_page.py measures the page that we write.
"""

import base64
import gzip
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread

import numpy as np
import torch
from bench_page import CHROMIUM
from playwright.sync_api import sync_playwright
from torch import Tensor, nn

import animlab
from animlab import networks, web
from animlab.labels import Labels

TIMES = """async ([name, width, pictures]) => {
  const ort = await import("/runtime/dist/ort.wasm.bundle.min.mjs");
  ort.env.wasm.numThreads = 1;
  const bytes = await (await fetch(`/models/${name}.onnx`)).arrayBuffer();
  const session = await ort.InferenceSession.create(bytes, {graphOptimizationLevel: "all"});
  const inputs = new Float32Array(width);
  const times = [];
  let output;
  for (let i = -20; i < pictures; i++) { // the first ones warm up
    inputs[width - 1] = (i + 20) % 100 / 99;
    const start = performance.now();
    output = await session.run({labels: new ort.Tensor("float32", inputs, [1, width])});
    if (i >= 0) times.push(performance.now() - start);
  }
  return [times, Array.from(output.image.data), inputs[width - 1]];
}"""


class Drawer(nn.Module):
    """A generator that takes its labels as one matrix, for the export."""

    def __init__(self, model: animlab.Model) -> None:
        super().__init__()
        self.generator, self.space = model.generator, model.space

    def forward(self, labels: Tensor) -> Tensor:
        return self.generator(Labels(*labels.split([self.space.n_z, self.space.n_d, self.space.n_c], dim=1)))


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


def main(runtime: Path, pictures: int) -> None:
    files = ("dist/ort.wasm.bundle.min.mjs", "dist/ort-wasm-simd-threaded.wasm")
    runtime_bytes = sum(len(base64.b64encode(gzip.compress((runtime / name).read_bytes()))) for name in files)
    print(f"the runtime, zipped and in base64: {runtime_bytes / 1e6:.2f} MB")
    print(f"{'networks':10}{'MB':>6}{'p50 ms':>10}{'p95 ms':>10}{'largest difference from PyTorch':>34}")
    with TemporaryDirectory() as folder, sync_playwright() as playwright:
        (Path(folder) / "runtime").symlink_to(runtime.resolve())
        (Path(folder) / "models").mkdir()
        (Path(folder) / "index.html").write_text("<!doctype html><title>bench</title>")
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
        Thread(target=server.serve_forever, daemon=True).start()
        with playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]) as browser:
            for name in networks.ARCHITECTURES:
                torch.manual_seed(0)
                model = animlab.Model(networks.build(name, animlab.LabelSpace())[0])
                drawer, width = Drawer(model).eval(), model.space.size
                labels = torch.zeros(1, width)
                file = f"{folder}/models/{name}.onnx"
                torch.onnx.export(drawer, (labels,), file, input_names=["labels"], output_names=["image"], dynamo=False)
                page = browser.new_page()
                page.goto(f"http://127.0.0.1:{server.server_port}/")
                times, image, last = page.evaluate(TIMES, [name, width, pictures])
                page.close()
                labels[0, -1] = last
                with torch.no_grad():
                    expected = drawer(labels).flatten().numpy()
                p50, p95 = np.percentile(times, [50, 95])
                size = runtime_bytes + len(web.page_of(model)[0].encode())
                error = np.abs(np.array(image) - expected).max()
                print(f"{name:10}{size / 1e6:6.2f}{p50:10.1f}{p95:10.1f}{error:34.1e}", flush=True)
        server.shutdown()


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 300)
