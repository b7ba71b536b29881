"""A few minutes on a GPU, spent by one command: bench table, CUDA tests, a model of each set, both rivals at full size.

    python tests/benchmarks/gpu.py --seconds 480 --out DIR             # DIR is empty or is made
    python tests/benchmarks/gpu.py --seconds 480 --out DIR --smoke     # a few steps of everything, small, on the CPU

Each part runs in a process of its own, so that one that fails, hangs or breaks the GPU's context leaves the others
alone; its traceback goes into results.json. Where a step cannot be captured as a CUDA graph, the set is trained by
plain steps. The trainings share what is left of the time, by WEIGHTS, on all frames of a set.

DIR gets results.json, rewritten as numbers come: "machine", "rates" of the card itself, "steps" a second of each
preset with a CUDA graph and without, "tests", and each training; samples.png, a band a training: of ours a row for
each of the strongest c, from 0 to 1, of a rival a row a clip; and <training>.safetensors, which animlab.load and
animlab.baselines.load read: ours in float16, the rivals' large weights in int8, with which they stay below 16 MiB.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import asdict, replace
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import torch
from bench_step import DEVICE, milliseconds
from PIL import Image, ImageDraw
from results import written
from trainings import SETTINGS, machine

import animlab
from animlab import baselines, checkpoints
from animlab.backend.cuda_graph import CUDAGraphStep
from animlab.backend.device import choose_precision
from animlab.backend.distributed import Processes
from animlab.baselines.clip_gan import ClipGAN
from animlab.trainer import GANTrainer, Settings
from animlab.training import _numbers

ROOT = Path(__file__).resolve().parents[2]
BENCHED = "paper", "stable", "modern"
RIVALS = {"mocogan": "actions", "tgan": "moving-mnist"}  # and the set that each is compared on
WEIGHTS = {"actions": 5, "shapes": 4, "moving-mnist": 4, "mocogan": 4, "tgan": 3}  # of the trainings' time
BENCH, TESTS = 90, 90  # seconds at most
BUSY = 3  # times as long on a processor that has other work
TOLD = 3  # exit code of a part that has told what went wrong
RESERVE = 20  # seconds kept free at the end: imports are not on our clock, and a part that hangs ends late
GRACE = 5  # seconds that a part may be late
CLOSING = 6  # seconds that the last picture, measure and file of a training take
EVERY = 30  # seconds from one model kept to the next
FOREVER = 10**7  # steps: time ends a run, not their number
ROWS, COLUMNS = 5, 12


class Task(NamedTuple):
    """What a part is told. until: when it has to end, by time.monotonic; small: nets and batches of a smoke test."""

    name: str
    out: Path
    scratch: Path
    until: float
    small: bool
    graph: bool = True

    @property
    def left(self) -> float:
        """Seconds."""
        return self.until - time.monotonic()

    @property
    def width(self) -> float:
        """Of the networks."""
        return 0.1 if self.small else 1.0

    def preset(self, name: str) -> animlab.Preset:
        """A preset by name."""
        preset = animlab.PRESETS[name]
        return replace(preset, batch=4) if self.small else preset

    def steps(self) -> AbstractContextManager[Any]:
        """Within it, runs begin with the step that is asked for: captured or plain."""
        plain = mock.patch.object(animlab.trainer, "CUDAGraphStep", lambda step, *_: step)
        return nullcontext() if self.graph else plain


def main() -> None:
    began = time.monotonic()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, required=True, help="after which all is done")
    parser.add_argument("--out", type=Path, required=True, help="folder of what comes of it")
    parser.add_argument("--smoke", action="store_true", help="a few steps of everything, small, on the CPU")
    args = parser.parse_args()
    if args.smoke:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # the parts inherit it
    args.out.mkdir(parents=True, exist_ok=True)
    if any(args.out.iterdir()):
        parser.error(f"{args.out} is not empty")
    with TemporaryDirectory() as scratch:
        everything(args.out, Path(scratch), began + args.seconds - RESERVE, args.smoke)
    print(f"done after {time.monotonic() - began:.0f} s: {', '.join(sorted(p.name for p in args.out.iterdir()))}")


def everything(out: Path, scratch: Path, end: float, small: bool) -> None:
    """All parts, one after the other, until `end`; a training's process starts while the part before is at work."""
    began, times = time.monotonic(), BUSY if small else 1
    task = Task("bench", out, scratch, min(end, began + times * BENCH), small)
    part, coming = Part(bench, task), training(0)
    said("bench", began, part.ended_well())
    tell(out)
    preparing = {name: Part(prepare, task._replace(name=name, until=end)) for name in WEIGHTS if name not in RIVALS}
    began = time.monotonic()
    said("tests", began, tests(task._replace(name="tests", until=min(end, began + times * TESTS))))
    weights = list(WEIGHTS.values())
    for k, name in enumerate(WEIGHTS):
        began = time.monotonic()
        if name in preparing:
            preparing[name].ended_well()
        task = task._replace(name=name, until=began + (end - began) * weights[k] / sum(weights[k:]))
        part, coming = coming, training(k + 1)
        assert part is not None
        part.begin(task)
        well = part.ended_well()
        again = not well and name not in RIVALS and not model_file(task).exists() and task.left > 2 * CLOSING
        if again:
            print(f"{name}: once more, by plain steps", flush=True)
            well = Part(train_ours, task._replace(graph=False)).ended_well()
        checkpoints.remove_unfinished(model_file(task))
        said(name, began, well)


def training(k: int) -> Part | None:
    """The process of the k-th training, which does not know its time yet; None after the last."""
    if k == len(WEIGHTS):
        return None
    return Part(train_rival if list(WEIGHTS)[k] in RIVALS else train_ours)


def said(name: str, began: float, well: bool) -> None:
    """Prints how a part went."""
    print(f"{name}: {time.monotonic() - began:.0f} s{'' if well else ', FAILED: see results.json'}", flush=True)


def model_file(task: Task) -> Path:
    """Where a training keeps its model."""
    return task.out / f"{task.name}.safetensors"


class Part:
    """A part at work, in a process of its own, which can be started before it is known what it will be told."""

    def __init__(self, work: Callable[[Task], None], task: Task | None = None) -> None:
        spawn = get_context("spawn")  # a process that CUDA may have been asked in cannot be forked
        self.teller, listener = spawn.Pipe()
        self.process = spawn.Process(target=guarded, args=(work, listener), daemon=True)
        self.process.start()
        if task:
            self.begin(task)

    def begin(self, task: Task) -> None:
        """Sets it to work."""
        self.task = task
        self.teller.send(task)

    def ended_well(self) -> bool:
        """Waits for its end, and makes one where it is late."""
        self.process.join(max(0.0, self.task.left + GRACE))
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
            fail(self.task, "It did not end in its time.")
        elif self.process.exitcode not in (0, TOLD):
            fail(self.task, f"Its process ended with {self.process.exitcode}.")
        return self.process.exitcode == 0


def guarded(work: Callable[[Task], None], listener: Connection) -> None:
    """The part's process: does it, or says what went wrong."""
    task = listener.recv()
    try:
        if not task.small and not torch.cuda.is_available():
            raise RuntimeError("There is no GPU here; --smoke runs without one.")
        work(task)
    except Exception:
        fail(task, traceback.format_exc())
        raise SystemExit(TOLD) from None


def fail(task: Task, what: str) -> None:
    """Writes down what went wrong."""
    note(task.out, task.name, {"error" if task.graph else "error of plain steps": what[-20000:]})
    print(f"{task.name}: {what}", file=sys.stderr, flush=True)


def note(out: Path, key: str, found: Any) -> None:
    """Writes something into results.json; what a dict held before stays. Only one process does so at a time."""
    file = out / "results.json"
    results = json.loads(file.read_text()) if file.exists() else {}
    results[key] = results.get(key, {}) | found if isinstance(found, dict) else found
    unfinished = file.with_suffix(".part")
    unfinished.write_text(written(results))
    os.replace(unfinished, file)


# The parts ------------------------------------------------------------------------------------------------------------


def bench(task: Task) -> None:
    """What the card can do, and steps a second of each preset."""
    note(task.out, "machine", {"name": machine(), "python": sys.version.split()[0], "small": task.small})
    note(task.out, "rates", rates(256 if task.small else 8192, 2**20 if task.small else 2**28))
    rows: list[dict[str, Any]] = []
    frames = np.random.default_rng(0).integers(0, 256, (4096, 64, 64, 3), np.uint8)
    for graph in (False, True):  # what a failed capture may leave behind cannot harm plain steps then
        for name in BENCHED:
            row: dict[str, Any] = {"preset": name, "graph": graph}
            try:
                rows.append(row | speed(task._replace(graph=graph), name, frames))
            except Exception:  # the other presets may well work
                rows.append(row | {"error": traceback.format_exc()[-20000:]})
            note(task.out, "steps", rows)


def rates(matrix: int, floats: int) -> dict[str, float]:
    """TFLOP/s of a dense product in bf16 and tf32, GB/s of a copy, read and written; the fastest of 10."""
    rng = torch.Generator(DEVICE).manual_seed(0)
    found = {}

    def fastest(work: Callable[[], object]) -> float:
        return min([milliseconds(work) for _ in range(13)][3:]) / 1000

    for name, dtype in (("bf16", torch.bfloat16), ("tf32", torch.float32)):
        a, b = (torch.randn(matrix, matrix, generator=rng, device=DEVICE, dtype=dtype) for _ in range(2))
        torch.set_float32_matmul_precision("high")
        found[f"{name} TFLOP/s"] = 2 * matrix**3 / fastest(lambda a=a, b=b: a @ b) / 1e12
        torch.set_float32_matmul_precision("highest")
    source = torch.ones(floats, device=DEVICE)
    target = torch.empty_like(source)
    found["copy GB/s"] = 2 * source.nbytes / fastest(lambda: target.copy_(source)) / 1e9
    return found


def speed(task: Task, name: str, frames: np.ndarray) -> dict[str, Any]:
    """Steps as `fit` makes them, losses fetched 25 at a time."""
    preset = task.preset(name)
    settings = Settings(precision=choose_precision("auto", DEVICE))
    state = GANTrainer(frames, animlab.LabelSpace(), preset, settings, task.width, Processes.here(DEVICE.type))
    count, seconds = (2, 0.0) if task.small else (25, 2.0)

    def burst() -> None:
        for losses in _numbers([state.train_step() for _ in range(count)]):
            if not np.isfinite(list(losses.values())).all():
                raise ArithmeticError(f"A loss is no number: {losses}.")

    if DEVICE.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    with task.steps():
        burst()  # buffers are made, kernels chosen, the step is captured
    done, began = 0, time.perf_counter()
    while done == 0 or time.perf_counter() - began < seconds:
        burst()
        done += count
    rate = done / (time.perf_counter() - began)
    peak = torch.cuda.max_memory_allocated() / 2**30 if DEVICE.type == "cuda" else None
    return {
        "captured": isinstance(state.work, CUDAGraphStep),
        "precision": settings.precision,
        "batch": preset.batch,
        "steps/s": rate,
        "frames/s": rate * preset.batch,
        "GiB": peak,
    }


def tell(out: Path) -> None:
    """Prints the bench table."""
    file = out / "results.json"
    results = json.loads(file.read_text()) if file.exists() else {}
    print(results.get("machine"), results.get("rates"))
    print(f"{'one step':10}{'graph':>8}{'steps/s':>10}{'frames/s':>12}")
    for row in results.get("steps", []):
        numbers = row["error"].splitlines()[-1] if "error" in row else f"{row['steps/s']:10.1f}{row['frames/s']:12,.0f}"
        print(f"{row['preset']:10}{row['graph']!s:>8}{numbers}", flush=True)


def tests(task: Task) -> bool:
    """The CUDA tests, without the plugins that pyproject.toml asks for."""
    command = [sys.executable, "-m", "pytest", "-o", "addopts=", "-p", "no:cacheprovider", "-q", "-rfE", "--tb=short"]
    command += ["tests/test_gpu.py", *(["-k", "captured"] if task.small else [])]
    paths = {"PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))}
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=os.environ | paths, text=True, timeout=task.left, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
        output, code = done.stdout, done.returncode
    except subprocess.TimeoutExpired as error:  # whose output is bytes, whatever was asked for
        output, code = (error.stdout or b"").decode(errors="replace") + "\nout of time", None
    lines = output.strip().splitlines() or [""]
    note(task.out, "tests", {"exit": code, "summary": lines[-1], "output": output[-20000:]})
    print(output[-3000:], flush=True)
    return code == 0


def prepare(task: Task) -> None:
    """A data set, so that no training has to wait for it; one that fails here fails there too, and is told of there."""
    with suppress(Exception):
        animlab.load_dataset(task.name, progress=False)


def train_ours(task: Task) -> None:
    """Our model on one set, preset "modern"."""
    note(task.out, task.name, {"graph": task.graph})
    _, space, _ = SETTINGS[task.name]
    with task.steps():
        train(task, task.name, lambda clips, **options: animlab.fit(clips, space, task.preset("modern"), **options))


def train_rival(task: Task) -> None:
    """A baseline as published, on the set that it is compared on."""
    train(task, RIVALS[task.name], lambda clips, **options: baselines.fit(clips, task.name, **options))


def train(task: Task, data: str, fit: Callable[..., animlab.Run]) -> None:
    """Trains until the task's time is over."""
    clips = animlab.load_dataset(data, progress=False)
    torch.zeros(1, device=DEVICE)  # the GPU wakes up now, before the seconds that are left are counted
    note(task.out, task.name, {"dataset": clips.name, "frames": len(clips), "machine": machine(), "small": task.small})
    seconds = task.left - CLOSING
    if seconds <= 0:
        raise RuntimeError("No time is left.")
    run = fit(
        clips, steps=2 if task.small else FOREVER, seconds=seconds, width=task.width,
        device=DEVICE.type, callbacks=[Keep(task)], sample_every=25, checkpoint_every=FOREVER, progress=False,
    )  # fmt: skip
    parts = {name: np.array_split(values, min(50, len(values))) for name, values in run.history.items()}
    curves = {name: [float(part.mean()) for part in each] for name, each in parts.items()}
    note(task.out, task.name, {"curves": curves})


# What is kept ---------------------------------------------------------------------------------------------------------


class Keep(animlab.Callback):
    """Keeps the model, its picture and its numbers every now and then, after steps whose losses have been looked at."""

    def __init__(self, task: Task) -> None:
        self.task, self.last = task, 0.0

    def on_sample(self, record: animlab.Record) -> None:
        if record.seconds - self.last >= EVERY:
            self.on_end(record)
            self.last = record.seconds

    def on_end(self, record: animlab.Record) -> None:
        task, model = self.task, record.model
        kept = {"steps": record.step, "minutes": round(record.seconds / 60, 2), "machine": machine()}
        row = {
            "steps": record.step,
            "seconds": record.seconds,
            "steps/s": record.step / record.seconds,
            "frames/s": record.frames_per_second,
            "losses": record.losses,
        }
        if isinstance(model, ClipGAN):
            save_rival(model, model_file(task), model.card | kept)
            clips = model.sample(ROWS, COLUMNS)
        else:
            animlab.save(replace(model, card=model.card | kept), model_file(task), torch.float16)
            measured = animlab.metrics.label_influence(model.generator, pairs=16 if task.small else 512)
            row["influence"] = {label: asdict(value) for label, value in measured.items()}
            strongest = sorted(range(model.space.n_c), key=lambda j: -measured[f"c{j}"].strength)[:ROWS]
            clips = np.stack([model.animate(d=0, along=j, frames=COLUMNS, seed=3) for j in sorted(strongest)])
            row["shown"] = [f"c{j}" for j in sorted(strongest)]
        note(task.out, task.name, row)
        title = f"{task.name}: step {record.step}, {record.seconds:.0f} s, {machine()}"
        Image.fromarray(band(clips, title)).save(task.scratch / f"{task.name}.png")
        bands = [task.scratch / f"{name}.png" for name in WEIGHTS]
        shown = np.concatenate([np.asarray(Image.open(each)) for each in bands if each.exists()])
        Image.fromarray(shown).save(task.out / "samples.png")
        print(title, json.dumps(record.losses), flush=True)


def save_rival(gan: ClipGAN, file: Path, card: dict[str, Any]) -> None:
    """A baseline's checkpoint without its training state, the large weights in int8."""
    tensors = checkpoints.with_prefix("gan.", gan.state_dict())
    large = [name for name, value in tensors.items() if value.ndim >= 2 and value.numel() >= checkpoints.LARGE]
    for name in large:
        tensors[name], tensors[f"{name}.scale"] = checkpoints.to_int8(tensors[name])
    header = {"format": checkpoints.FORMAT, "baseline": type(gan).__name__, "config": gan.config, "card": card}
    checkpoints.write_checkpoint(file, tensors, header | {"int8": large})


def band(clips: np.ndarray, title: str) -> np.ndarray:
    """A filmstrip with a line above that says what it is."""
    strip = animlab.filmstrip(clips)
    head = Image.new("RGB", (strip.shape[1], 18), "white")
    ImageDraw.Draw(head).text((2, 3), title, fill="black")
    foot = np.full((8, strip.shape[1], 3), 255, np.uint8)
    return np.concatenate([np.asarray(head), strip, foot])


if __name__ == "__main__":
    main()
