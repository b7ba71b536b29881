"""Two protocols for animations: the paper's, against the best-matching real window, and a stricter one, redrawing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch

from ..checks import check_frames, kind, offers, seed_of, whole
from ..datasets import Clips
from ..labels import Labels
from ..model import Model
from .distances import Statistics, frechet_distance
from .features import Features, Rows, features_of
from .images import psnr, ssim
from .inversion import Inversion, Reconstruction, invert
from .matching import Match, Matcher, left_out_takes, windows


@dataclass(frozen=True)
class AnimationScores:
    """One row of the paper's Tab. 4 or 5, from many animations instead of one.

    psnr (dB) and ssim: each animation against its related ground truth, mean over frames and animations; *_std:
    standard deviation over animations. fd: `frames` frames, of these animations or of more, against `real_frames` real
    ones; score: Eq. 10 with it.
    fd_alone, score_alone: as the paper counts, the few frames of ONE animation against the real ones, mean over
    animations. fd_alone_std says how far that number depends on which animation it was. animations: how many. matches:
    where the related ground truth of each begins.
    """

    psnr: float
    psnr_std: float
    ssim: float
    ssim_std: float
    fd: float
    score: float
    fd_alone: float
    fd_alone_std: float
    score_alone: float
    animations: int
    frames: int
    real_frames: int
    matches: tuple[Match, ...]


def animation_score(psnr: float, ssim: float, fid: float, alpha: float = 20.0, beta: float = 1.0) -> float:
    """Eq. 10: s = PSNR + α·SSIM + β / FID; psnr in dB, ssim in [-1, 1], fid above 0. Higher is better."""
    if not fid > 0:
        raise ValueError(f"The animation score divides by FID, which must be above 0, got {fid}.")
    if any(map(math.isnan, (psnr, ssim, alpha, beta))):
        raise ValueError(f"The animation score is made of numbers, got PSNR {psnr}, SSIM {ssim}, α {alpha}, β {beta}.")
    return psnr + alpha * ssim + beta / fid


class AnimationProtocol:
    """Scores animations as the paper's Tab. 4 and 5 do, with what these leave open defined.

    >>> protocol = AnimationProtocol(clips, "animlab")
    >>> protocol.score(animations)              # uint8 (Q, T, H, W, C): psnr, ssim, fd, Eq. 10
    >>> protocol.score(animations[:16], samples=animations)  # the slow search for 16 of them, FD with the frames of all
    >>> protocol.real(length=10, count=16, samples=200)      # what real clips score against other real clips

    The related ground truth of an animation is the window of as many real frames that is nearest by mean squared error,
    over all clips and offsets (`Matcher`). Choosing the best of thousands favours whatever is vague: judge a row by
    `real` (a real clip against the best window of OTHER recordings) above it and noise below it.

    clips: the real ones. features: what load_features takes, or what it gave; the distance on them is called FID only
    on Inception's (Features.distance), and Eq. 10 compares only rows made with the same ones. real_frames: how many
    real frames, drawn at random, FD is held against (7,000 in Tab. 4, 20,000 in Tab. 5); all where the set has fewer.
    They are looked at a batch at a time; progress shows a bar while they are.
    """

    def __init__(
        self,
        clips: Clips,
        features: str | Features = "auto",
        real_frames: int = 7000,
        seed: int = 0,
        progress: bool = False,
    ) -> None:
        self.clips, self.matcher = clips, Matcher(clips)
        self.features = features_of(features, progress=False)
        self.seed = seed
        real_frames, seed = whole("real_frames", real_frames, 1), seed_of(seed)
        rows = np.random.default_rng(seed).choice(len(clips), min(real_frames, len(clips)), replace=False)
        self.statistics: Statistics = self.features.statistics(Rows(clips.frames, np.sort(rows)), progress)

    def score(
        self,
        animations: np.ndarray,
        takes: Sequence[int] | np.ndarray | None = None,
        samples: np.ndarray | None = None,
    ) -> AnimationScores:
        """The scores of animations, uint8 (Q, T, H, W, C), T at least 2.

        takes: for each, a recording whose clips are not searched (the one it was taken from). samples: more animations
        of the same making, (M, T, H, W, C), whose frames alone FD is then made of; None makes it of `animations`. The
        search takes a while for each animation, and FD needs thousands of frames (notebook 06): 16 of the one and 200
        of the other do.
        """
        if animations.ndim != 5 or animations.shape[1] < 2 or not animations.size:
            raise ValueError(f"Animations are uint8 (Q, at least 2 frames, H, W, C), got {animations.shape}.")
        left_out = left_out_takes(takes, len(animations))
        matches = tuple(self.matcher(each, take) for each, take in zip(animations, left_out))
        length = animations.shape[1]
        related = [self.clips.frames[match.start : match.start + length] for match in matches]
        p = np.array([psnr(each, truth).mean() for each, truth in zip(animations, related)])
        s = np.array([ssim(each, truth).mean() for each, truth in zip(animations, related)])
        seen = self.features(animations.reshape(-1, *animations.shape[2:]))
        many = Statistics.of(seen)
        if samples is not None:
            if samples.ndim != 5 or samples.shape[2:] != animations.shape[2:]:
                raise ValueError(f"Samples go with animations {animations.shape}, got {samples.shape}.")
            many = self.features.statistics(samples.reshape(-1, *samples.shape[2:]))
        fd = frechet_distance(many, self.statistics)
        alone = np.array(
            [frechet_distance(Statistics.of(part), self.statistics) for part in np.split(seen, len(animations))]
        )
        return AnimationScores(
            psnr=float(p.mean()), psnr_std=_std(p), ssim=float(s.mean()), ssim_std=_std(s),
            fd=fd, score=animation_score(float(p.mean()), float(s.mean()), fd),
            fd_alone=float(alone.mean()), fd_alone_std=_std(alone),
            score_alone=animation_score(float(p.mean()), float(s.mean()), float(alone.mean())),
            animations=len(animations), frames=many.count, real_frames=self.statistics.count, matches=matches,
        )  # fmt: skip

    def real(self, length: int, count: int, samples: int = 0) -> AnimationScores:
        """Real windows against the best windows of other recordings: what a clip that no model drew scores.

        samples: how many windows fd is made of, `count` at least. Its fd is a floor: near-copies of its frames, or
        they themselves, are among those it is held against.
        """
        many, takes = windows(self.clips, length, max(count, samples), np.random.default_rng(self.seed))
        return self.score(many[:count], takes[:count], many)

    def noise(self, length: int, count: int, samples: int = 0) -> AnimationScores:
        """Animations of independent random pixels: what a model that has learned nothing scores. samples: as above."""
        shape = (max(count, samples), length, *self.clips.frames.shape[1:])
        many = np.random.default_rng(self.seed).integers(0, 256, shape, dtype=np.uint8)
        return self.score(many[:count], samples=many)


def random_sweeps(model: Model, length: int, count: int, seed: int = 0) -> np.ndarray:
    """Animations to score: random z, d and c; one random c_j goes from 0 to 1. uint8 (count, length, H, W, C)."""
    length, count = whole("length", length, 1), whole("count", count, 1)
    offers("random_sweeps takes a Model, such as animlab.load gives", model, "space", "frames")
    space = model.space
    rng = torch.Generator().manual_seed(seed_of(seed))
    base = space.sample(count, rng)
    moving = torch.randint(max(1, space.n_c), (count,), generator=rng)
    c = base.c.repeat_interleave(length, 0).unflatten(0, (count, length))
    if space.n_c:
        c[torch.arange(count), :, moving] = torch.linspace(0, 1, length)
    labels = Labels(base.z.repeat_interleave(length, 0), base.d.repeat_interleave(length, 0), c.flatten(0, 1))
    frames = model.frames(labels)
    return frames.reshape(count, length, *frames.shape[1:])


def animation_protocol(
    model: Model,
    clips: Clips,
    length: int = 10,
    count: int = 64,
    real_frames: int = 7000,
    features: str | Features = "auto",
    seed: int = 0,
    samples: int = 200,
    progress: bool = False,
) -> dict[str, AnimationScores]:
    """The paper's protocol for one model: rows "model", "real" and "noise" of AnimationProtocol.

    >>> animation_protocol(model, actions, length=10, real_frames=7000)        # as Tab. 4
    >>> animation_protocol(model, moving_mnist, length=5, real_frames=20_000)  # as Tab. 5

    count: how many animations a row's PSNR and SSIM are made of (the paper does not say; it seems to be one).
    samples: how many its FD is made of, `count` at least. progress: show a bar over the real frames. The same seed
    gives the same rows.
    """
    protocol = AnimationProtocol(clips, features, real_frames, seed, progress)
    drawn = random_sweeps(model, length, max(count, samples), seed)
    return {
        "model": protocol.score(drawn[:count], samples=drawn),
        "real": protocol.real(length, count, samples),
        "noise": protocol.noise(length, count, samples),
    }


@dataclass(frozen=True)
class InversionScores:
    """How well held-out real clips were redrawn: means over clips, *_std over clips, one of `reconstructions` each.

    psnr (dB), ssim: redrawn frames against the clip's own. still_psnr, still_ssim: the clip's mean frame, one picture
    that never moves, against the same: a redrawn clip below it has lost more by its drawing than it gained by its
    motion. order: how far c goes from frame to frame, over how far it goes through the same frames shuffled: 1 where
    neighbours in time are strangers in c, towards 0 where c moves smoothly; lower is better; NaN where no c moves.
    """

    psnr: float
    psnr_std: float
    ssim: float
    ssim_std: float
    still_psnr: float
    still_ssim: float
    order: float
    reconstructions: tuple[Reconstruction, ...]


class Inverter(Protocol):
    """A model that finds by itself what redraws a clip: a ClipGAN of animlab.baselines."""

    def invert(self, clip: np.ndarray, steps: int = 60, seed: int = 0) -> Reconstruction: ...


def inversion_protocol(model: Model | Inverter, clips: np.ndarray, steps: int = 60, seed: int = 0) -> InversionScores:
    """The stricter protocol: the model has to redraw given clips, uint8 (Q, T, H, W, C), that it was not trained on.

    Nothing is chosen to suit the model: every clip counts, and leaving out whole kinds of motion shows. See `invert`
    for how labels are found. A ten-frame clip of the actions takes a few seconds on a CPU.
    """
    if not isinstance(clips, np.ndarray) or clips.ndim != 5 or not len(clips):
        raise ValueError(f"Clips to redraw must be uint8 (Q, at least 3 frames, H, W, C), got {kind(clips)}.")
    for clip in clips:
        check_frames("Each clip to redraw", clip, least=3)
    steps, seed = whole("steps", steps, 2), seed_of(seed)
    if not isinstance(model, Model):
        offers("inversion_protocol takes a Model, or a ClipGAN", model, "invert")
    found = tuple(
        invert(model, clip, steps, seed) if isinstance(model, Model) else model.invert(clip, steps, seed)
        for clip in clips
    )
    stills = [np.broadcast_to(clip.mean(axis=0).round().astype(np.uint8), clip.shape) for clip in clips]
    p = np.array([psnr(found.frames, clip).mean() for found, clip in zip(found, clips)])
    s = np.array([ssim(found.frames, clip).mean() for found, clip in zip(found, clips)])
    rng = np.random.default_rng(seed)
    labelled = [found for found in found if isinstance(found, Inversion)]
    taken = sum(found.step for found in labelled)
    shuffled = sum(_shuffled_step(found, rng) for found in labelled)
    return InversionScores(
        psnr=float(p.mean()), psnr_std=_std(p), ssim=float(s.mean()), ssim_std=_std(s),
        still_psnr=float(np.mean([psnr(still, clip).mean() for still, clip in zip(stills, clips)])),
        still_ssim=float(np.mean([ssim(still, clip).mean() for still, clip in zip(stills, clips)])),
        order=taken / shuffled if shuffled > 0 else float("nan"), reconstructions=found,
    )  # fmt: skip


def _shuffled_step(found: Inversion, rng: np.random.Generator, times: int = 20) -> float:
    """Inversion.step of the same labels in random order, mean over `times` orders."""
    labels = found.labels
    orders = [torch.from_numpy(rng.permutation(len(labels))) for _ in range(times)]
    return float(np.mean([replace(found, labels=labels[order]).step for order in orders]))


def _std(values: np.ndarray) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else 0.0
