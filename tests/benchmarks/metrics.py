"""What the metrics see and miss: planted defects, distance against sample size, and the small network's own report.

    python tests/benchmarks/metrics.py defects network samples --out data/results      # about 20 minutes of one core

defects: real clips spoilt in known ways, a row each, every metric a column           → metrics_defects.json
network: FD(animlab-features) of five strengths of disturbances, some never trained on → metrics_network.json
samples: FD of real against real, and of models, from 5 to 5,000 frames               → metrics_samples.json
"""

from __future__ import annotations

import argparse
import io
import platform
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from results import written
from scipy.ndimage import gaussian_filter
from scipy.stats import spearmanr

import animlab
from animlab import metrics
from animlab.checkpoints import library_version

ROOT = Path(__file__).resolve().parents[2]
LENGTH = 10  # frames of a window, as in the paper's first protocol
WINDOWS, MATCHED, SEEDS = 200, 24, 2  # windows of a row, those of them that are matched, draws of everything
POOL = 10_000  # frames of a data set that samples are drawn from, and pictures of a model
COUNTS = (5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
STRENGTHS = 5
WIDE = 2048  # features, as many as Inception's; drawn from one normal distribution whose variances fall off as 1 / i
WIDE_VARIANCES = (1 / np.arange(1, WIDE + 1)) / (1 / np.arange(1, WIDE + 1)).sum()  # 1 in all


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="+", choices=["defects", "network", "samples"])
    parser.add_argument("--out", type=Path, default=ROOT / "data" / "results")
    args = parser.parse_args()
    torch.set_num_threads(1)
    look = metrics.load_features("animlab")
    args.out.mkdir(parents=True, exist_ok=True)
    for part in args.parts:
        began = time.process_time()
        for found in {"defects": defects, "network": network, "samples": samples}[part](look):  # a data set more each
            head = {
                "made by": "tests/benchmarks/metrics.py", "date": date.today().isoformat(),
                "version": library_version(), "features": look.name, "distance": look.distance,
                "machine": f"one thread, {platform.machine()}, torch {torch.__version__.split('+')[0]}",
                "processor_seconds": round(time.process_time() - began),
            }  # fmt: skip
            (args.out / f"metrics_{part}.json").write_text(written(head | found))


# --- planted defects ------------------------------------------------------------------------------


def defects(look: metrics.Features) -> Iterator[dict[str, Any]]:
    """A table a data set and seed: windows of held-out takes, spoilt, against windows of the other takes."""
    about = {
        "psnr, ssim": "against the nearest window of the reference (in other takes, where it is from there itself)",
        "own_psnr, own_ssim": "against the same window before it was spoilt; null where there is none, or no end to it",
        "score": "Eq. 10 of psnr, ssim and FD; null where it has no end",
        "copying": "how often a frame lies nearer to the reference than a held-out real one does (0.5: no copying)",
        "motion": "mean absolute difference of neighbouring frames, over that of held-out real windows",
    }
    head = {"windows": WINDOWS, "frames_a_window": LENGTH, "matched": MATCHED, "about": about}
    rows = []
    for seed in range(SEEDS):
        for name in ("actions", "moving-mnist"):
            rows += [{"data": name, "seed": seed} | row for row in defect_rows(name, look, seed)]
            yield head | {"rows": rows}


def defect_rows(name: str, look: metrics.Features, seed: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    clips = animlab.load_dataset(name, progress=False)
    if len(clips.clips) > 1000:
        clips = some_clips(clips, np.sort(rng.choice(len(clips.clips), 1000, replace=False)))
    reference, held_out = clips.split(0.5, seed)
    matcher = metrics.matching.Matcher(reference)
    known = metrics.matching.windows(reference, LENGTH, WINDOWS, rng)[0]
    other, recordings = metrics.matching.windows(reference, LENGTH, WINDOWS, rng)
    real = metrics.matching.windows(held_out, LENGTH, WINDOWS, rng)[0]
    judged = look.read(flat(known))
    honest = np.sqrt(metrics.matching.nearest_frames(flat(real[:MATCHED, ::3]), matcher)[1])
    pace = steps(real).mean()
    classes = np.unique(held_out.clips["class"])
    kept = np.isin(held_out.clips["class"], classes[: len(classes) - max(1, len(classes) // 4)])
    longest = np.argmax(held_out.clips["length"])
    spoilt: dict[str, tuple[np.ndarray, np.ndarray | None]] = {
        "real, held-out takes": (real, real),
        "real, the reference's takes": (other, None),
        "blur 1 px": (blurred(real, 1.0), real),
        "blur 2 px": (blurred(real, 2.0), real),
        "noise 5 %": (noisy(real, 0.05, rng), real),
        "noise 15 %": (noisy(real, 0.15, rng), real),
        "wrong order": (rng.permuted(np.arange(LENGTH)[None].repeat(WINDOWS, 0), axis=1), real),
        "frozen": (real[:, :1].repeat(LENGTH, axis=1), real),
        "copied data": (known, known),
        "a quarter of the classes dropped": (
            metrics.matching.windows(some_clips(held_out, np.flatnonzero(kept)), LENGTH, WINDOWS, rng)[0], None,
        ),
        "one clip only": (
            metrics.matching.windows(some_clips(held_out, np.array([longest])), LENGTH, WINDOWS, rng)[0], None,
        ),
    }  # fmt: skip
    order = spoilt["wrong order"][0]
    spoilt["wrong order"] = (real[np.arange(WINDOWS)[:, None], order], real)
    rows = []
    for defect, (drawn, truth) in spoilt.items():
        found = look.read(flat(drawn))
        fd = metrics.frechet_distance(found[0], judged[0])
        kd = metrics.kernel_distance(found[0], judged[0], 20, 1000, np.random.default_rng(seed))
        near = metrics.precision_recall(found[0], judged[0])
        score = metrics.inception_score(np.random.default_rng(seed).permutation(found[1]))
        apart = (
            recordings if drawn is other else [None] * MATCHED
        )  # what is in the reference is not matched with itself
        matches = [matcher(window, take) for window, take in zip(drawn[:MATCHED], apart)]
        related = [reference.frames[match.start : match.start + LENGTH] for match in matches]
        psnr = np.concatenate([metrics.psnr(a, b) for a, b in zip(drawn, related)])
        ssim = np.concatenate([metrics.ssim(a, b) for a, b in zip(drawn, related)])
        mine = np.sqrt(metrics.matching.nearest_frames(flat(drawn[:MATCHED, ::3]), matcher)[1])
        nearer = (mine[:, None] < honest).mean() + 0.5 * (mine[:, None] == honest).mean()
        own = None if truth is None else own_truth(drawn[:MATCHED], truth[:MATCHED])
        rows.append({
            "defect": defect, "FD": fd, "KD": kd.mean, "precision": near.precision, "recall": near.recall,
            "IS": score.mean, "psnr": psnr.mean(), "ssim": ssim.mean(),
            "own_psnr": own and own[0], "own_ssim": own and own[1],
            "score": metrics.animation_score(psnr.mean(), ssim.mean(), fd) if fd > 1e-6 else np.inf,
            "copying": None if drawn is other else nearer, "motion": steps(drawn).mean() / pace,
        })  # fmt: skip
    return rows


def some_clips(clips: animlab.Clips, chosen: np.ndarray) -> animlab.Clips:
    """The chosen clips alone; the frames stay where they are, so rows of other clips are simply not in the table."""
    table = clips.clips[chosen].copy()
    spans = [np.arange(row["start"], row["start"] + row["length"]) for row in table]
    table["start"] = np.cumsum(table["length"]) - table["length"]
    return animlab.Clips(clips.frames[np.concatenate(spans)], table, clips.name)


def flat(windows: np.ndarray) -> np.ndarray:
    """(W, T, H, W, C) → (W·T, H, W, C)."""
    return windows.reshape(-1, *windows.shape[2:])


def steps(windows: np.ndarray) -> np.ndarray:
    """Mean absolute difference of neighbouring frames, (W, T - 1), in grey levels."""
    return np.abs(np.diff(windows.astype(np.int16), axis=1)).mean(axis=(2, 3, 4))


def blurred(windows: np.ndarray, sigma: float) -> np.ndarray:
    axes = tuple(sigma if axis in (windows.ndim - 3, windows.ndim - 2) else 0 for axis in range(windows.ndim))
    return gaussian_filter(windows.astype(np.float32), axes).round().astype(np.uint8)


def noisy(windows: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """White noise whose standard deviation is `share` of the range."""
    noise = rng.normal(0, 255 * share, windows.shape).astype(np.float32)
    return (windows + noise).round().clip(0, 255).astype(np.uint8)


def own_truth(drawn: np.ndarray, truth: np.ndarray) -> tuple[float | None, float]:
    """Mean PSNR and SSIM against the very windows that were spoilt; no PSNR where a frame is identical."""
    psnr, ssim = metrics.psnr(flat(drawn), flat(truth)).mean(), metrics.ssim(flat(drawn), flat(truth)).mean()
    return (float(psnr) if np.isfinite(psnr) else None), float(ssim)


# --- the small network ----------------------------------------------------------------------------


def network(look: metrics.Features) -> Iterator[dict[str, Any]]:
    """FD of 1,000 disturbed frames against 1,000 others of the same set, a row a set and disturbance."""
    rows = []
    for name in ("actions", "shapes", "moving-mnist", "faces3d", "celeba"):
        clips = animlab.load_dataset(name, progress=False)
        rng = np.random.default_rng(0)
        chosen = rng.choice(len(clips), 2000, replace=False)
        real, other = (np.array(clips.frames[np.sort(half)]) for half in (chosen[:1000], chosen[1000:]))
        known = look.statistics(real)
        floor = metrics.frechet_distance(look.statistics(other), known)
        for disturbance, disturb in DISTURBANCES.items():
            spoilt = [disturb(other, (k + 1) / STRENGTHS, np.random.default_rng(k)) for k in range(STRENGTHS)]
            distances = [floor] + [metrics.frechet_distance(look.statistics(frames), known) for frames in spoilt]
            rows.append({
                "data": name, "disturbance": disturbance, "trained on": disturbance in TRAINED_ON and name != "celeba",
                "FD": distances, "rank correlation": spearmanr(range(STRENGTHS + 1), distances).statistic,
            })  # fmt: skip
        if len(clips.clips) < len(clips):
            rows.append({"data": name, "disturbance": "fewer clips", "trained on": False} | fewer_clips(clips, look))
        yield {"frames": 1000, "strengths": [k / STRENGTHS for k in range(STRENGTHS + 1)], "rows": rows}


def fewer_clips(clips: animlab.Clips, look: metrics.Features) -> dict[str, Any]:
    """FD of 1,000 frames of ever fewer clips: all, then 16, 8, 4, 2, 1 of them; the mean of three draws each."""
    rng = np.random.default_rng(0)
    table, distances = clips.clips, []
    for count in (len(table), 16, 8, 4, 2, 1):
        found = []
        for _ in range(3):
            known = look.statistics(clips.frames[np.sort(rng.choice(len(clips), 1000, replace=False))])
            rows = np.concatenate([
                np.arange(row["start"], row["start"] + row["length"])
                for row in table[rng.choice(len(table), count, replace=False)]
            ])  # fmt: skip
            picked = rng.choice(rows, 1000, replace=len(rows) < 1000)
            found.append(metrics.frechet_distance(look.statistics(clips.frames[np.sort(picked)]), known))
        distances.append(float(np.mean(found)))
    return {"FD": distances, "rank correlation": spearmanr(range(len(distances)), distances).statistic}


def salted(frames: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Up to a tenth of the pixels black or white."""
    hit = rng.random(frames.shape[:3]) < 0.1 * strength
    return np.where(hit[..., None], 255 * (rng.random((*frames.shape[:3], 1)) < 0.5), frames).astype(np.uint8)


def covered(frames: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """A grey square with a side of up to 32 pixels, anywhere."""
    side, covered = round(32 * strength), frames.copy()
    for frame, (y, x) in zip(covered, rng.integers(0, 65 - side, (len(frames), 2))):
        frame[y : y + side, x : x + side] = 128
    return covered


def compressed(frames: np.ndarray, strength: float, _: np.random.Generator) -> np.ndarray:
    """JPEG of quality 60 down to 4."""
    out = np.empty_like(frames)
    for target, frame in zip(out, frames):
        file = io.BytesIO()
        Image.fromarray(frame.squeeze()).save(file, "JPEG", quality=round(74 - 70 * strength))
        target[:] = np.asarray(Image.open(file)).reshape(frame.shape)
    return out


def swirled(frames: np.ndarray, strength: float, _: np.random.Generator) -> np.ndarray:
    """The picture twisted about its middle by up to 2 radians."""
    y, x = np.mgrid[:64, :64] - 31.5
    angle = 2 * strength * np.exp(-np.hypot(x, y) / 16)
    xs = (x * np.cos(angle) - y * np.sin(angle) + 31.5).round().clip(0, 63).astype(int)
    ys = (x * np.sin(angle) + y * np.cos(angle) + 31.5).round().clip(0, 63).astype(int)
    return frames[:, ys, xs]


Disturb = Callable[[np.ndarray, float, np.random.Generator], np.ndarray]
DISTURBANCES: dict[str, Disturb] = {
    "blur": lambda frames, strength, rng: blurred(frames, 2.5 * strength),
    "noise": lambda frames, strength, rng: noisy(frames, 0.2 * strength, rng),
    "salt and pepper": salted,
    "covered": covered,
    "JPEG": compressed,
    "swirl": swirled,
}
TRAINED_ON = ("blur", "noise")


# --- how many frames ------------------------------------------------------------------------------


def samples(look: metrics.Features) -> Iterator[dict[str, Any]]:
    """FD and KD from N frames a side: two disjoint samples of real frames, and the shipped model against real ones."""
    about = {
        "FD, FD_std": "mean and standard deviation over `repeats` draws of N frames a side; real ones are disjoint",
        "rank": "of the covariance of N features",
        f"normal, {WIDE} features": "two samples of ONE normal distribution, variances as 1/i, 1 in all",
        "fits": "FD = limit + slope / N, least squares over the N above 2 d (Chong and Forsyth, CVPR 2020)",
    }
    rows, fits = [], []
    rng = np.random.default_rng(0)
    for n in COUNTS:
        x, y = (rng.normal(size=(n, WIDE)) * np.sqrt(WIDE_VARIANCES) for _ in range(2))
        rank = int(np.linalg.matrix_rank(x - x.mean(axis=0)))
        row = {"N": n, "repeats": 1, "rank": rank, "FD": metrics.frechet_distance(x, y)}
        rows.append({"data": f"normal, {WIDE} features", "who": "real"} | row)
    for name in ("actions", "moving-mnist", "faces3d"):
        clips = animlab.load_dataset(name, progress=False)
        rng = np.random.default_rng(0)
        pool = look(clips.frames[np.sort(rng.choice(len(clips), min(len(clips), POOL), replace=False))])
        drawn = {"real": pool}
        if (ROOT / "data" / "pretrained" / name / "model.safetensors").is_file():
            model = animlab.load(ROOT / "data" / "pretrained" / name)
            drawn["model"] = look(model.frames(model.space.sample(POOL, torch.Generator().manual_seed(0))))
        again = np.sort(rng.choice(len(clips), min(len(clips), POOL), replace=False))
        drawn["blur 1 px"] = look(blurred(clips.frames[again], 1.0))
        for who, features in drawn.items():
            found = [sample_row(pool, features, who == "real", n, rng) for n in COUNTS if 2 * n <= len(pool)]
            rows += [{"data": name, "who": who} | row for row in found]
            large = [(1 / row["N"], row["FD"]) for row in found if row["N"] > 2 * look.size]
            slope, limit = np.polyfit(*zip(*large), 1)
            fits.append({"data": name, "who": who, "FD at infinity": limit, "bias times N": slope})
        yield {"d": look.size, "pool": POOL, "about": about, "fits": fits, "rows": rows}


def sample_row(real: np.ndarray, drawn: np.ndarray, same: bool, n: int, rng: np.random.Generator) -> dict[str, Any]:
    repeats = 20 if n <= 500 else 5
    distances, kernels, rank = [], [], 0
    for _ in range(repeats):
        if same:
            rows = rng.choice(len(real), 2 * n, replace=False)
            x, y = real[rows[:n]], real[rows[n:]]
        else:
            x, y = drawn[rng.choice(len(drawn), n, replace=False)], real[rng.choice(len(real), n, replace=False)]
        distances.append(metrics.frechet_distance(x, y))
        kernels.append(metrics.kernel_distance(x, y, 1, min(n, 1000), rng).mean)
        rank = int(np.linalg.matrix_rank(metrics.Statistics.of(x).cov))
    return {
        "N": n, "repeats": repeats, "rank": rank, "FD": np.mean(distances), "FD_std": np.std(distances),
        "KD": np.mean(kernels), "KD_std": np.std(kernels),
    }  # fmt: skip


if __name__ == "__main__":
    main()
