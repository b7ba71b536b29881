"""A few minutes on a GPU, spent by one command: bench table, CUDA tests, models of each set, both rivals at full size.

    python tests/benchmarks/gpu.py --seconds 500 --out DIR             # DIR is empty or is made
    python tests/benchmarks/gpu.py --seconds 100 --out DIR bench tests # those parts alone
    python tests/benchmarks/gpu.py --seconds 500 --out DIR --smoke     # a few steps of everything, small, on the CPU

Each part runs in a process of its own, so that one that fails, hangs or breaks the GPU's context leaves the others
alone; its traceback goes into results.json. "ours" trains all of PLANS side by side, each on a stream of its own,
since the small kernels of one leave most of the card idle; where a step cannot be captured as a CUDA graph, by plain
steps. The trainings share what is left of the time, by WEIGHTS, on all frames of a set.

DIR gets results.json, rewritten as numbers come: "machine", "rates" of the card itself, "steps" a second of each
preset with a CUDA graph and without, of several runs side by side, "tests", and each training with its progress.
Our models lie in <file>.zip, as PLANS says, at several moments each: <plan>-<steps>.safetensors in int8, which
animlab.load reads, and a picture: a row for each c of two d, from 0 to 1, then samples. The rivals' lie in
<rival>.safetensors, which animlab.baselines.load reads, the large weights in int8, and samples.png shows their clips.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import traceback
import zipfile
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import replace
from io import BytesIO
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
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
from animlab.gan_trainer import GANTrainer
from animlab.trainer import Settings
from animlab.training import _numbers

ROOT = Path(__file__).resolve().parents[2]
BENCHED = "paper", "stable", "modern"
RIVALS = {"mocogan": "actions", "tgan": "moving-mnist"}  # and the set that each is compared on
WEIGHTS = {"ours": 13, "mocogan": 4, "tgan": 3}  # of the trainings' time
MOST = {"bench": 90, "tests": 60}  # seconds
BUSY = 3  # times as long on a processor that has other work
TOLD = 3  # exit code of a part that has told what went wrong
RESERVE = 15  # seconds kept free at the end: imports are not on our clock, and a part that hangs ends late
GRACE = 5  # seconds that a part may be late
CLOSING = 6  # seconds that the last picture, measure and file of a rival's training take
EVERY = 30  # seconds from one model of a rival kept to the next
BURST = 25  # steps between two looks at the losses
LOOKS = 5  # at our runs, in all of their time: pictures and influence
FOREVER = 10**7  # steps: time ends a run, not their number
ROWS, COLUMNS = 5, 12


class Plan(NamedTuple):
    """One of our runs. changes: to the preset "modern"; file: the archive of its models, kept at these parts of time.

    An archive of full nets has room for three models below 16 MiB.
    """

    name: str
    data: str
    file: str
    kept: tuple[float, ...]
    seed: int = 0
    changes: Mapping[str, float] = MappingProxyType({})


SLOW = {"batch": 64, "lr_frames": 640_000, "lr_end": 1 / 6}
MILD = {"gamma": 3.0, "lambda_c": 2.0}
PLANS = (
    Plan("actions-0", "actions", "actions", (0.4, 0.7, 1)),
    Plan("actions-1", "actions", "seeds", (1,), seed=1),
    Plan("actions-2", "actions", "seeds", (1,), seed=2),
    Plan("actions-still", "actions", "seeds", (1,), changes={"lambda_still": 0.0}),
    Plan("actions-slow", "actions", "slow", (0.7, 1), changes=SLOW),
    Plan("faces3d", "faces3d", "faces3d", (0.6, 1)),
    Plan("faces3d-slow", "faces3d", "faces3d", (1,), changes=SLOW),
    Plan("shapes", "shapes", "black", (1,)),
    Plan("shapes-mild", "shapes", "black", (0.6, 1), changes=MILD),
    Plan("digits", "moving-mnist", "black", (1,)),
    Plan("digits-mild", "moving-mnist", "slow", (1,), changes=MILD),
)


class Task(NamedTuple):
    """What a part is told. until: when it has to end, by time.monotonic; small: nets and batches of a smoke test."""

    name: str
    out: Path
    scratch: Path
    until: float
    small: bool
    graph: bool = True
    precision: animlab.training.Precision = "auto"

    @property
    def left(self) -> float:
        """Seconds."""
        return self.until - time.monotonic()

    @property
    def width(self) -> float:
        """Of the networks."""
        return 0.1 if self.small else 1.0

    def preset(self, name: str, changes: Mapping[str, float] = MappingProxyType({})) -> animlab.Preset:
        """A preset by name, with changes."""
        preset = replace(animlab.PRESETS[name], **changes)
        return replace(preset, batch=4) if self.small else preset

    def steps(self) -> AbstractContextManager[Any]:
        """Within it, runs begin with the step that is asked for: captured or plain."""
        plain = mock.patch.object(animlab.gan_trainer, "CUDAGraphStep", lambda step, *_: step)
        return nullcontext() if self.graph else plain


def main() -> None:
    began = time.monotonic()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "parts", nargs="*", default=[*MOST, *WEIGHTS], metavar="part", help=", ".join([*MOST, *WEIGHTS])
    )
    parser.add_argument("--seconds", type=float, required=True, help="after which all is done")
    parser.add_argument("--out", type=Path, required=True, help="folder of what comes of it")
    parser.add_argument("--smoke", action="store_true", help="a few steps of everything, small, on the CPU")
    parser.add_argument("--precision", choices=["auto", "fp32"], default="auto", help="of our runs")
    args = parser.parse_args()
    if unknown := set(args.parts) - {*MOST, *WEIGHTS}:
        parser.error(f"no part is named {', '.join(unknown)}")
    if args.smoke:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # the parts inherit it
    args.out.mkdir(parents=True, exist_ok=True)
    if any(args.out.iterdir()):
        parser.error(f"{args.out} is not empty")
    with TemporaryDirectory() as scratch:
        task = Task("", args.out, Path(scratch), began + args.seconds - RESERVE, args.smoke, precision=args.precision)
        everything(args.parts, task)
    print(f"done after {time.monotonic() - began:.0f} s: {', '.join(sorted(p.name for p in args.out.iterdir()))}")


def everything(parts: list[str], whole: Task) -> None:
    """The parts, one after the other, until the whole's end."""
    trainings = [name for name in WEIGHTS if name in parts]
    sets = sorted({plan.data for plan in PLANS}) if trainings else []
    preparing = [Part(prepare, whole._replace(name=name)) for name in sets]
    for name in MOST:
        if name in parts:
            began = time.monotonic()
            until = min(whole.until, began + MOST[name] * (BUSY if whole.small else 1))
            task = whole._replace(name=name, until=until)
            said(name, began, Part(bench, task).ended_well() if name == "bench" else tests(task))
            if name == "bench":
                tell(whole.out)
    for part in preparing:
        part.ended_well()
    for k, name in enumerate(trainings):
        began = time.monotonic()
        share = WEIGHTS[name] / sum(WEIGHTS[each] for each in trainings[k:])
        task = whole._replace(name=name, until=began + (whole.until - began) * share)
        if name in RIVALS:
            well = Part(train_rival, task).ended_well()
        else:
            well = Part(train_ours, task).ended_well()
            if not well and not any(whole.out.glob("*.zip")) and task.left > 60:
                print("ours: once more, by plain steps", flush=True)
                well = Part(train_ours, task._replace(graph=False)).ended_well()
        checkpoints.remove_unfinished(model_file(task))
        said(name, began, well)


def said(name: str, began: float, well: bool) -> None:
    """Prints how a part went."""
    print(f"{name}: {time.monotonic() - began:.0f} s{'' if well else ', FAILED: see results.json'}", flush=True)


def model_file(task: Task) -> Path:
    """Where a rival's training keeps its model."""
    return task.out / f"{task.name}.safetensors"


class Part:
    """A part at work, in a process of its own."""

    def __init__(self, work: Callable[[Task], None], task: Task) -> None:
        self.task = task
        spawn = get_context("spawn")  # a process that CUDA may have been asked in cannot be forked
        self.process = spawn.Process(target=guarded, args=(work, task), daemon=True)
        self.process.start()

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


def guarded(work: Callable[[Task], None], task: Task) -> None:
    """The part's process: does it, or says what went wrong."""
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
    tried = [
        (name, graph, 1) for graph in (False, True) for name in BENCHED
    ]  # a failed capture cannot harm plain steps
    tried += [("modern", True, count) for count in ((2,) if task.small else (2, 4, 8))]
    for precision in ("auto", "fp32"):
        for name, graph, count in tried if precision == "auto" else [("modern", True, 1), tried[-1]]:
            row: dict[str, Any] = {"preset": name, "graph": graph, "side by side": count}
            try:
                rows.append(row | speed(task._replace(graph=graph, precision=precision), name, frames, count))
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


def speed(task: Task, name: str, frames: np.ndarray, count: int) -> dict[str, Any]:
    """Steps a second of `count` runs side by side, all together."""
    preset = task.preset(name)
    settings = Settings(precision=choose_precision(task.precision, DEVICE))
    processes = Processes.here(DEVICE.type)
    if DEVICE.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    with task.steps():
        runs = [GANTrainer(frames, animlab.LabelSpace(), preset, settings, task.width, processes) for _ in range(count)]
    side = SideBySide({str(k): run for k, run in enumerate(runs)})

    def burst() -> None:
        for name, losses in side.burst(2 if task.small else BURST).items():
            if losses is None:
                raise ArithmeticError(f"Run {name} has a loss that is no number.")

    burst()  # buffers are made, kernels chosen, the steps captured
    before, began = runs[0].step, time.perf_counter()
    while runs[0].step == before or time.perf_counter() - began < (0.0 if task.small else 2.0):
        burst()
    rate = count * (runs[0].step - before) / (time.perf_counter() - began)
    peak = torch.cuda.max_memory_allocated() / 2**30 if DEVICE.type == "cuda" else None
    return {
        "captured": isinstance(runs[0].work, CUDAGraphStep),
        "precision": settings.precision,
        "batch": preset.batch,
        "steps/s": rate,
        "frames/s": rate * preset.batch,
        "GiB": peak,
    }


class SideBySide:
    """Several runs on one device, each on a stream of its own, so that the small kernels of one leave room for others.

    runs: by name; one whose losses stop being numbers leaves.
    """

    def __init__(self, runs: dict[str, GANTrainer]) -> None:
        self.runs = dict(runs)
        self.streams = {name: torch.cuda.Stream() if DEVICE.type == "cuda" else None for name in runs}
        self.wait()  # whatever was made on the stream before is there now

    def wait(self) -> None:
        """Until all of them are done."""
        if DEVICE.type == "cuda":
            torch.cuda.synchronize()

    def burst(self, steps: int) -> dict[str, dict[str, float] | None]:
        """So many steps of each, and the mean losses of each, None for one that has left."""
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in self.runs}
        for _ in range(steps):
            for name, run in self.runs.items():
                with torch.cuda.stream(self.streams[name]):
                    found[name].append(run.train_step())
        self.wait()
        means: dict[str, dict[str, float] | None] = {}
        for name, losses in found.items():
            numbers = _numbers(losses)
            mean = {key: float(np.mean([each[key] for each in numbers])) for key in numbers[0]}
            means[name] = mean if np.isfinite(list(mean.values())).all() else None
            if means[name] is None:
                del self.runs[name]
        return means


def tell(out: Path) -> None:
    """Prints the bench table."""
    file = out / "results.json"
    results = json.loads(file.read_text()) if file.exists() else {}
    print(results.get("machine"), results.get("rates"))
    print(f"{'steps of':10}{'graph':>8}{'runs':>6}{'precision':>11}{'steps/s':>10}{'frames/s':>12}{'GiB':>7}")
    for row in results.get("steps", []):
        if "error" in row:
            numbers = row["error"].splitlines()[-1]
        else:
            memory = f"{row['GiB']:7.1f}" if row["GiB"] else ""
            numbers = f"{row['precision']:>11}{row['steps/s']:10.1f}{row['frames/s']:12,.0f}{memory}"
        print(f"{row['preset']:10}{row['graph']!s:>8}{row['side by side']:6}{numbers}", flush=True)


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
    """All of PLANS side by side, until the task's time is over."""
    note(task.out, "ours", {"graph": task.graph, "machine": machine(), "small": task.small})
    clips = {name: animlab.load_dataset(name, progress=False) for name in sorted({plan.data for plan in PLANS})}
    precision = choose_precision(task.precision, DEVICE)
    runs, plans = {}, {plan.name: plan for plan in PLANS}
    with task.steps():
        for plan in PLANS:
            data, (_, space, width, _) = clips[plan.data], SETTINGS[plan.data]
            settings = Settings(data.name, plan.seed, precision)
            runs[plan.name] = GANTrainer(
                data.frames, space, task.preset("modern", plan.changes), settings,
                task.width if task.small else width, Processes.here(DEVICE.type),
            )  # fmt: skip
    side, began = SideBySide(runs), time.monotonic()
    print(f"ours: {len(runs)} runs, {task.left:.0f} s left, {precision}", flush=True)
    for name, plan in plans.items():
        note(task.out, name, {"dataset": clips[plan.data].name, "frames": len(clips[plan.data]), "progress": []})
    due = {name: sorted({*plan.kept, *((k + 1) / LOOKS for k in range(LOOKS))}) for name, plan in plans.items()}
    whole = task.left - 2 * len(runs)  # the last models and pictures take a second or two each
    losses: dict[str, dict[str, float] | None] = {}
    while side.runs and any(due.values()):
        new = side.burst(1 if task.small else BURST)
        losses |= new
        for name in [name for name, value in new.items() if value is None]:
            note(task.out, name, {"error": f"After {runs[name].step} steps a loss is no number."})
            due[name] = []
        seconds = time.monotonic() - began
        for name, moments in due.items():
            if moments and (task.small or seconds >= moments[0] * whole):
                keep = moments.pop(0) in plans[name].kept
                try:
                    look(task, plans[name], runs[name], seconds, losses[name], keep)
                except Exception:  # the runs go on
                    note(task.out, name, {"error": traceback.format_exc()[-20000:]})
                    traceback.print_exc()
    print(f"ours: {', '.join(f'{name} {run.step}' for name, run in runs.items())} steps", flush=True)


def look(task: Task, plan: Plan, run: GANTrainer, seconds: float, losses: dict[str, float] | None, keep: bool) -> None:
    """Writes down how a run stands, with a picture, and keeps its model."""
    run.g_ema.eval()
    model = run.model()
    found = animlab.metrics.label_influence(model.generator, pairs=16 if task.small else 256)
    influence = {label: [value.strength, value.focus] for label, value in found.items()}
    row = {"steps": run.step, "seconds": seconds, "losses": losses, "influence": influence}
    results = json.loads((task.out / "results.json").read_text())
    note(task.out, plan.name, {"progress": [*results[plan.name]["progress"], row]})
    samples = model.frames(model.space.sample(3 * COLUMNS, torch.Generator().manual_seed(0)))
    rows = [
        model.animate(d=d, along=j, frames=COLUMNS, seed=d) for d in (0, 1) for j in range(min(ROWS, model.space.n_c))
    ]
    shown = band(np.stack([*rows, *samples.reshape(3, COLUMNS, *samples.shape[1:])]), f"{plan.name}: step {run.step}")
    picture, file = BytesIO(), task.scratch / f"{plan.name}.safetensors"
    Image.fromarray(shown).save(picture, "JPEG", quality=80)
    with zipfile.ZipFile(task.out / "progress.zip", "a") as archive:
        archive.writestr(f"{plan.name}-{run.step:06d}.jpg", picture.getvalue())
    if keep:
        kept = {"minutes": round(seconds / 60, 2), "machine": machine(), "side by side": len(PLANS)}
        animlab.save(replace(model, card=model.card | kept), file, torch.int8)
        with zipfile.ZipFile(task.out / f"{plan.file}.zip", "a", zipfile.ZIP_DEFLATED) as archive:
            archive.write(file, f"{plan.name}-{run.step:06d}.safetensors")
    print(f"{plan.name}: step {run.step}, {seconds:.0f} s, {json.dumps(losses)}", flush=True)


def train_rival(task: Task) -> None:
    """A baseline as published, on the set that it is compared on, until the task's time is over."""
    clips = animlab.load_dataset(RIVALS[task.name], progress=False)
    torch.zeros(1, device=DEVICE)  # the GPU wakes up now, before the seconds that are left are counted
    note(task.out, task.name, {"dataset": clips.name, "frames": len(clips), "machine": machine(), "small": task.small})
    seconds = task.left - CLOSING
    if seconds <= 0:
        raise RuntimeError("No time is left.")
    run = baselines.fit(
        clips, task.name, steps=2 if task.small else FOREVER, seconds=seconds, width=task.width,
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
        task, gan = self.task, record.model
        kept = {"steps": record.step, "minutes": round(record.seconds / 60, 2), "machine": machine()}
        save_rival(gan, model_file(task), gan.card | kept)
        row = {
            "steps": record.step,
            "seconds": record.seconds,
            "steps/s": record.step / record.seconds,
            "frames/s": record.frames_per_second,
            "losses": record.losses,
        }
        note(task.out, task.name, row)
        title = f"{task.name}: step {record.step}, {record.seconds:.0f} s, {machine()}"
        Image.fromarray(band(gan.sample(ROWS, COLUMNS), title)).save(task.scratch / f"{task.name}.png")
        bands = [task.scratch / f"{name}.png" for name in RIVALS]
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
