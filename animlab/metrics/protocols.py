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

    Attributes:
        psnr: of each animation against its related ground truth, in dB, mean over frames and animations.
        psnr_std: its standard deviation over animations.
        ssim: of each animation against its related ground truth, mean over frames and animations.
        ssim_std: its standard deviation over animations.
        fd: Fréchet distance of `frames` frames, of these animations or of more, from `real_frames` real ones.
        score: Eq. 10 with psnr, ssim and fd.
        fd_alone: as in the paper, the distance of the few frames of ONE animation from the real ones, mean over
            animations.
        fd_alone_std: its standard deviation over animations, which shows how much it depends on the animation chosen.
        score_alone: Eq. 10 with psnr, ssim and fd_alone.
        animations: number of animations.
        frames: number of drawn frames behind fd.
        real_frames: number of real frames behind fd and fd_alone.
        matches: the related ground truth of each animation.
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
    """Eq. 10, the paper's score of animations: s = PSNR + α·SSIM + β / FID. Higher is better.

    Args:
        psnr: in dB.
        ssim: -1 to 1.
        fid: above 0.
        alpha: α, the weight of SSIM.
        beta: β, the weight of 1 / FID.

    Raises:
        ValueError: fid is not above 0, or a number is NaN.
    """
    if not fid > 0:
        raise ValueError(f"The animation score divides by FID, which must be above 0, got {fid}.")
    if any(map(math.isnan, (psnr, ssim, alpha, beta))):
        raise ValueError(f"The animation score is made of numbers, got PSNR {psnr}, SSIM {ssim}, α {alpha}, β {beta}.")
    return psnr + alpha * ssim + beta / fid


class AnimationProtocol:
    """Scores animations as in the paper's Tab. 4 and 5, with what these leave open defined.

    The related ground truth of an animation is the window of as many real frames with the smallest mean squared error,
    over all clips and offsets (`Matcher`). Choosing the best of thousands favours vague pictures: judge a row by `real`
    (a real clip against the best window of OTHER recordings) above it and `noise` below it.

    Example:
        >>> protocol = AnimationProtocol(clips, "animlab")
        >>> protocol.score(animations)              # uint8 (Q, T, H, W, C): psnr, ssim, fd, Eq. 10
        >>> protocol.score(animations[:16], samples=animations)  # the slow search for 16, FD with the frames of all
        >>> protocol.real(length=10, count=16, samples=200)      # what real clips score against other real clips

    Args:
        clips: the real clips.
        features: a name for load_features, or what it returned. Only on Inception's is the distance called FID
            (Features.distance), and Eq. 10 compares only rows with the same features.
        real_frames: real frames, drawn at random, behind FD (7,000 in Tab. 4, 20,000 in Tab. 5); all if there are
            fewer. They are processed in batches.
        seed: seed of the draw, 0 to 2³² - 1.
        progress: whether to show a progress bar over the real frames.

    Raises:
        ValueError: A number is out of range, or the features are unknown.
        TypeError: These are not Clips.
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
        """Scores animations.

        The search takes a while for each animation, and FD needs thousands of frames (notebook 06): 16 animations and
        200 samples are enough.

        Args:
            animations: (Q, T, H, W, C) uint8, T at least 2.
            takes: for each animation, a recording whose clips are not searched (the one it was taken from); None
                searches all.
            samples: (M, T, H, W, C) uint8, more animations made the same way, whose frames alone FD is computed from;
                None takes those of `animations`.

        Raises:
            ValueError: Animations or samples have another shape, or `takes` are not Q.
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
        """Scores real windows against the best windows of other recordings, as a model would that drew real clips.

        Its fd is a lower bound: the real frames that it is compared with contain near-copies of its frames, or these
        frames themselves.

        Args:
            length: frames in a window, at least 2.
            count: number of windows to match.
            samples: number of windows that fd is computed from, `count` if that is more.

        Raises:
            ValueError: A number is out of range, no clip is long enough, or no other recording is.
        """
        count, samples = whole("count", count, 1), whole("samples", samples, 0)
        many, takes = windows(self.clips, length, max(count, samples), np.random.default_rng(self.seed))
        return self.score(many[:count], takes[:count], many)

    def noise(self, length: int, count: int, samples: int = 0) -> AnimationScores:
        """Scores animations of independent random pixels: a model that has learned nothing.

        Args:
            length: frames in an animation, at least 2.
            count: number of animations to match.
            samples: number of animations that fd is computed from, `count` if that is more.

        Raises:
            ValueError: A number is out of range.
        """
        length, count, samples = whole("length", length, 2), whole("count", count, 1), whole("samples", samples, 0)
        shape = (max(count, samples), length, *self.clips.frames.shape[1:])
        many = np.random.default_rng(self.seed).integers(0, 256, shape, dtype=np.uint8)
        return self.score(many[:count], samples=many)


def random_sweeps(model: Model, length: int, count: int, seed: int = 0) -> np.ndarray:
    """Draws animations to score: random z, d and c; one random c_j goes from 0 to 1.

    Args:
        model: the model that draws.
        length: frames in an animation, at least 1.
        count: number of animations, at least 1.
        seed: seed of the labels, 0 to 2³² - 1.

    Returns:
        (count, length, H, W, C) uint8.

    Raises:
        ValueError: A number is out of range.
        TypeError: This is not a Model.
    """
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
    """The paper's protocol for one model.

    Example:
        >>> animation_protocol(model, actions, length=10, real_frames=7000)        # as Tab. 4
        >>> animation_protocol(model, moving_mnist, length=5, real_frames=20_000)  # as Tab. 5

    Args:
        model: the model to score.
        clips: the real clips.
        length: frames in an animation, at least 2.
        count: animations behind a row's PSNR and SSIM (the paper does not say how many; it seems to be one).
        real_frames: real frames behind FD; all if there are fewer.
        features: a name for load_features, or what it returned.
        seed: seed of everything random, 0 to 2³² - 1; the same seed gives the same rows.
        samples: animations behind a row's FD, `count` if that is more.
        progress: whether to show a progress bar over the real frames.

    Returns:
        The rows "model", "real" and "noise" of AnimationProtocol.

    Raises:
        ValueError: A number is out of range, or no clip is long enough.
        TypeError: These are not a Model and Clips.
    """
    samples = whole("samples", samples, 0)
    protocol = AnimationProtocol(clips, features, real_frames, seed, progress)
    drawn = random_sweeps(model, length, max(count, samples), seed)
    return {
        "model": protocol.score(drawn[:count], samples=drawn),
        "real": protocol.real(length, count, samples),
        "noise": protocol.noise(length, count, samples),
    }


@dataclass(frozen=True)
class InversionScores:
    """How well held-out real clips were redrawn.

    Attributes:
        psnr: of redrawn frames against the clip's own, in dB, mean over clips.
        psnr_std: its standard deviation over clips.
        ssim: of redrawn frames against the clip's own, mean over clips.
        ssim_std: its standard deviation over clips.
        still_psnr: the same for the clip's mean frame, a single picture that never moves. A redrawn clip below it has
            lost more by its drawing than it gained by its motion.
        still_ssim: the same for SSIM.
        order: how far c moves from frame to frame, over how far it moves through the same frames shuffled: 1 where
            neighbours in time are unrelated in c, towards 0 where c moves smoothly; lower is better. NaN where no c
            moves.
        reconstructions: the result for each clip.
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
    """A model with its own inversion of clips, such as a ClipGAN of animlab.baselines."""

    def invert(self, clip: np.ndarray, steps: int = 60, seed: int = 0) -> Reconstruction: ...


def inversion_protocol(model: Model | Inverter, clips: np.ndarray, steps: int = 60, seed: int = 0) -> InversionScores:
    """The stricter protocol: the model has to redraw given clips that it was not trained on.

    Nothing is chosen to suit the model: every clip counts, and a motion that the model cannot draw lowers the score.
    See `invert` for how labels are found. A ten-frame clip of the actions takes a few seconds on a CPU.

    Args:
        model: a Model, or a ClipGAN of animlab.baselines.
        clips: (Q, T, H, W, C) uint8, T at least 3.
        steps: steps of Adam for each clip, at least 2.
        seed: seed of the search, 0 to 2³² - 1.

    Raises:
        ValueError: The clips have another shape or dtype, or a number is out of range.
        TypeError: The model cannot invert.
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
    """Inversion.step of the same labels in random order, averaged over `times` orders."""
    labels = found.labels
    orders = [torch.from_numpy(rng.permutation(len(labels))) for _ in range(times)]
    return float(np.mean([replace(found, labels=labels[order]).step for order in orders]))


def _std(values: np.ndarray) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else 0.0
