"""The comparisons of Tab. 4 and 5 made fair: methods, data sets, and the measures for both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import metrics
from ..backend.device import Precision
from ..datasets import Clips, load_dataset
from ..labels import LabelSpace
from ..metrics.clip_features import cosine_series
from ..metrics.matching import windows
from ..model import Model
from ..training import Run
from ..training import fit as fit_labels
from .clip_gan import ClipGAN
from .training import fit as fit_baseline

FRAMES = 16  # in a whole clip, as both baselines draw it
SEARCHED = 2_000  # clips at most in which the related ground truth is searched
Source = Model | ClipGAN | Clips


@dataclass(frozen=True)
class Method:
    """One of the methods compared, at its published settings.

    TGAN's step is slower in bf16 than in fp32 at a quarter of the width (0.72 s and 0.63 s).

    Args:
        title: its name in tables and figures.
        model: a name in baselines.MODELS; None for ours.
        preset: for ours, the preset.
        space: for ours, the number of labels.
        precision: as for `fit`.
    """

    title: str
    model: str | None = None
    preset: str = "stable"
    space: LabelSpace | None = None
    precision: Precision = "auto"

    def fit(self, clips: Clips, steps: int, **options: Any) -> Run:
        """Trains the method.

        Args:
            clips: the training clips.
            steps: steps in all.
            **options: the arguments that `animlab.fit` and `animlab.baselines.fit` share.
        """
        options = {"precision": self.precision} | options
        if self.model is not None:
            return fit_baseline(clips, self.model, steps, **options)
        assert self.space is not None
        return fit_labels(clips, self.space, self.preset, steps, **options)


@dataclass(frozen=True)
class Benchmark:
    """A data set on which methods are compared.

    Args:
        dataset: its name.
        length: frames of an animation in the paper's protocol.
        real_frames: real frames behind FD in the paper's protocol.
        held_out: fraction of the takes that no method is trained on.
        stride: whole clips are judged at every `stride`-th frame, as the baseline is trained.
        rivals: the methods by name, baselines first.
    """

    dataset: str
    length: int
    real_frames: int
    held_out: float
    stride: int
    rivals: dict[str, Method]

    def load(self) -> tuple[Clips, Clips]:
        """Loads the training clips of all methods, and the held-out ones."""
        return load_dataset(self.dataset, progress=False).split(self.held_out, seed=0)


BENCHMARKS = {
    "actions": Benchmark(  # Tab. 4
        "actions", 10, 7_000, 0.2, 2,
        {
            "mocogan": Method("MoCoGAN", "mocogan"),
            "mocogan-32": Method("MoCoGAN, 32 clips", "mocogan-32"),
            "paper": Method("ours, paper", preset="paper", space=LabelSpace(8, 5, 5)),
            "stable": Method("ours, stable", preset="stable", space=LabelSpace(8, 5, 5)),
        },
    ),
    "moving-mnist": Benchmark(  # Tab. 5; 9,000 of the 10,000 clips are trained on, as in the paper
        "moving-mnist", 5, 20_000, 0.1, 1,
        {
            "tgan-z1": Method("TGAN (z1)", "tgan-z1", precision="fp32"),
            "tgan": Method("TGAN (z1, z2)", "tgan", precision="fp32"),
            "paper": Method("ours, paper, n_d 20, n_c 20", preset="paper", space=LabelSpace(8, 20, 20)),
            "stable-10-20": Method("ours, n_d 10, n_c 20", preset="stable-on-black", space=LabelSpace(8, 10, 20)),
            "stable-20-20": Method("ours, n_d 20, n_c 20", preset="stable-on-black", space=LabelSpace(8, 20, 20)),
        },
    ),
}  # fmt: skip


def draw(source: Source, n: int, frames: int, seed: int, stride: int = 1) -> np.ndarray:
    """Draws animations: random sweeps of our model, clips of a baseline, or random windows of real clips.

    Args:
        source: a model of ours, a baseline, or real clips.
        n: number of animations.
        frames: frames in an animation.
        seed: seed of the draw.
        stride: real windows take every `stride`-th frame; models have their own stride.

    Returns:
        (n, frames, 64, 64, C) uint8.
    """
    if isinstance(source, Model):
        return metrics.random_sweeps(source, frames, n, seed)
    if isinstance(source, ClipGAN):
        return source.sample(n, frames, seed)
    return windows(source, stride * frames, n, np.random.default_rng(seed))[0][:, ::stride]


class Evaluator:
    """Applies the same measures to every method, and to real clips, which show how good a number can get.

    Features are those of the small network that comes with the project, so no distance is an FID.

    Example:
        >>> train, held_out = BENCHMARKS["actions"].load()
        >>> judge = Evaluator(BENCHMARKS["actions"], train, held_out)
        >>> judge.match(model, count=16)["ssim"], judge.distances(model)["motion"]
        >>> judge.match(held_out, count=16)["ssim"]                      # the same for real clips never trained on

    Args:
        ground: the data set's protocol.
        train: its training clips; the related ground truth is searched in the first 2,000.
        held_out: its held-out clips.
        seed: seed of everything that is drawn.
    """

    def __init__(self, ground: Benchmark, train: Clips, held_out: Clips, seed: int = 0) -> None:
        self.ground, self.held_out, self.seed = ground, held_out, seed
        end = train.clips[:SEARCHED][-1]
        self.train = Clips(train.frames[: end["start"] + end["length"]], train.clips[:SEARCHED], train.name)
        self.protocol = metrics.AnimationProtocol(self.train, "animlab", ground.real_frames, seed)
        self.features = self.protocol.features
        self._real: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def match(self, source: Source, count: int, samples: int = 150) -> dict[str, float]:
        """The paper's protocol, metrics.AnimationProtocol.

        Args:
            source: a model of ours, a baseline, or real clips.
            count: number of animations to match.
            samples: number of animations that fd is computed from, `count` if that is more.

        Returns:
            "psnr" (dB), "ssim", "fd" and "score" (Eq. 10).
        """
        drawn = draw(source, max(count, samples), self.ground.length, self.seed + 1)
        found = self.protocol.score(drawn[:count], samples=drawn)
        return {name: getattr(found, name) for name in ("psnr", "ssim", "fd", "score")}

    def distances(self, source: Source, count: int = 150) -> dict[str, float]:
        """Compares whole clips with as many real ones.

        Args:
            source: a model of ours, a baseline, or real clips.
            count: number of clips on each side.

        Returns:
            Of frames, "kid", "precision" and "recall"; of clips, "clips", the Fréchet distance on
            metrics.clip_features, and "motion", the same without their first term, the mean over time, so that a clip's
            look counts less than its motion.
        """
        if count not in self._real:
            self._real[count] = self._seen(draw(self.train, count, FRAMES, self.seed, self.ground.stride))
        frames, clips = self._seen(draw(source, count, FRAMES, self.seed + 1, self.ground.stride))
        real_frames, real_clips = self._real[count]
        rng = np.random.default_rng(self.seed)
        some, others = (rng.choice(len(each), min(2_000, len(each)), replace=False) for each in (frames, real_frames))
        kid = metrics.kernel_distance(frames, real_frames, 50, min(1_000, len(frames)), rng)
        inside = metrics.precision_recall(frames[some], real_frames[others])
        size = self.features.size
        return {
            "kid": kid.mean, "precision": inside.precision, "recall": inside.recall,
            "clips": metrics.frechet_distance(clips, real_clips),
            "motion": metrics.frechet_distance(clips[:, size:], real_clips[:, size:]),
        }  # fmt: skip

    def invert(self, model: Model | ClipGAN, count: int = 4, steps: int = 60) -> dict[str, float]:
        """The stricter protocol, metrics.inversion_protocol, on held-out clips.

        Args:
            model: a model of ours or a baseline.
            count: number of clips.
            steps: steps of Adam for each clip.

        Returns:
            "redraw_psnr" and "redraw_ssim" of the redrawn clips, "still_psnr" and "still_ssim" of each clip's mean
            frame.
        """
        clips = draw(self.held_out, count, self.ground.length, self.seed)
        found = metrics.inversion_protocol(model, clips, steps, self.seed)
        return {
            "redraw_psnr": found.psnr, "redraw_ssim": found.ssim,
            "still_psnr": found.still_psnr, "still_ssim": found.still_ssim,
        }  # fmt: skip

    def copying(self, source: Source, count: int = 30) -> dict[str, float]:
        """How often a drawn frame is nearer to the training frames than a held-out real one is, by metrics.copying.

        Args:
            source: a model of ours, a baseline, or real clips.
            count: number of frames on each side.

        Returns:
            "nearer", 0 to 1; 0.5 without copying.
        """
        drawn, real = (draw(each, count, FRAMES, self.seed + 2)[:, FRAMES // 2] for each in (source, self.held_out))
        return {"nearer": metrics.copying(drawn, self.protocol.matcher, real).nearer}

    def control(self, model: Model | ClipGAN, count: int = 6) -> dict[str, float]:
        """What a model's labels do, if it has any.

        Args:
            model: a model of ours or a baseline.
            count: number of animations of each d, or of each category of MoCoGAN.

        Returns:
            For ours, "strength" and "focus" of the strongest c. If there are at least as many d (or categories) as
            classes, "nmi", the agreement of d with the classes of the real clips that match these animations best, and
            "nmi_by_chance", the same for shuffled classes; for data whose classes are kinds of motion.
        """
        found: dict[str, float] = {}
        if isinstance(model, Model):
            measured = metrics.label_influence(model.generator)
            best = max((f"c{j}" for j in range(model.space.n_c)), key=lambda name: measured[name].strength)
            found |= {"strength": measured[best].strength, "focus": measured[best].focus}
        kinds = model.space.n_d if isinstance(model, Model) else model.categories
        if kinds and len(np.unique(self.train.clips["class"])) <= kinds:
            drawn = [self._of(model, d, count) for d in range(kinds)]
            matches = [self.protocol.matcher(animation).clip for animation in np.concatenate(drawn)]
            asked, shown = np.repeat(np.arange(kinds), count), self.train.clips["class"][matches]
            rng = np.random.default_rng(self.seed)
            chance = [metrics.agreement(asked, rng.permutation(shown)).nmi for _ in range(20)]
            found |= {"nmi": metrics.agreement(asked, shown).nmi, "nmi_by_chance": float(np.mean(chance))}
        return found

    def _of(self, model: Model | ClipGAN, d: int, count: int) -> np.ndarray:
        if isinstance(model, ClipGAN):
            return model.sample(count, self.ground.length, self.seed, d)
        n_c = model.space.n_c
        return np.stack([model.animate(d, k % n_c, self.ground.length, self.seed + k) for k in range(count)])

    def _seen(self, clips: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The features of all frames, and those of the clips."""
        frames = self.features(clips.reshape(-1, *clips.shape[2:]))
        return frames, cosine_series(frames.reshape(*clips.shape[:2], -1))
