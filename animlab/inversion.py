"""Animate a still: finds the labels from which a model redraws a given picture, by gradient descent through G."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import minimum_filter
from skimage.metrics import structural_similarity
from torch import Tensor
from tqdm.auto import tqdm

from .checks import instance, kind, seed_of, whole
from .frames import to_tensor
from .labels import Labels
from .metrics.images import PEAK, WINDOW, psnr
from .metrics.inversion import SEARCH, Z_LIMIT, descend
from .model import Model

TRIES, LIKELY = 128, 5  # random pictures, and how many of the likeliest d they have; the nearest are the starts
STARTS, GOING_ON = 12, 2  # rows during the search, and after it


@dataclass(frozen=True)
class Inversion:
    """A picture redrawn from labels.

    Attributes:
        labels: one row, from which each c can be swept.
        frame: (64, 64, C) uint8, what the model draws from them.
        psnr: of frame against the known pixels of the picture, in dB.
        ssim: of frame against the picture, over the 7×7 windows that are completely known; NaN if there is none.
    """

    labels: Labels
    frame: np.ndarray
    psnr: float
    ssim: float


def invert(
    model: Model,
    picture: np.ndarray,
    known: np.ndarray | None = None,
    steps: int = 60,
    seed: int = 0,
    progress: bool = True,
) -> Inversion:
    """Finds the labels from which a model draws the picture nearest to a given one; from there each c can be swept.

    Minimises the mean squared error of the known pixels, with Adam over z in [-3, 3] and c in [0, 1]. It starts from
    the nearest 12 of 128 pictures: with the d that D finds likeliest, random z, and c as D reads it or random. After
    the first three tenths of the steps only the best two continue. A picture unlike those that the model has learned is
    redrawn as the nearest that it can draw: psnr and ssim say how near. `metrics.invert` does the same for clips,
    without D.

    Source: Zhu et al., Generative visual manipulation on the natural image manifold, ECCV 2016.

    Example:
        >>> found = animlab.invert(model, picture)
        >>> clip = model.animate(labels=found.labels, along=0)

    Args:
        model: a model with its discriminator.
        picture: (64, 64, C) uint8, C as the model draws.
        known: (64, 64) bool or uint8, true where the picture is known; its other pixels have no effect. None: all are.
        steps: steps of Adam, at least 2.
        seed: seed of the random starts, 0 to 2³² - 1; the same seed gives the same result.
        progress: whether to show a progress bar.

    Raises:
        TypeError: This is not a Model.
        ValueError: Picture or mask have another shape or dtype, no pixel is known, or the model was saved without its
            discriminator.
    """
    instance("invert takes a Model, such as animlab.load gives", model, Model)
    steps, seed = whole("steps", steps, 2), seed_of(seed)
    channels = model.generator.channels
    if not isinstance(picture, np.ndarray) or picture.dtype != np.uint8 or picture.shape != (64, 64, channels):
        raise ValueError(
            f"This model redraws a picture uint8 (64, 64, {channels}), got {kind(picture)}: "
            "load_dataset('folder', root=…) makes such frames of your own pictures."
        )
    known = _checked_mask(known)
    # D has to read something where nothing is known: the mean colour.
    seen = np.where(known[..., None], picture, picture[known].mean(axis=0).round()).astype(np.uint8)
    target = to_tensor(seen[None], next(model.generator.parameters()).device)
    mask = torch.from_numpy(known).to(target.device)

    def errors(z: Tensor, c: Tensor, d: Tensor) -> Tensor:  # (N,)
        return (model.generator(Labels(z, d, c)) - target)[..., mask].square().mean(dim=(1, 2))

    labels = _tries(model, seen, torch.Generator().manual_seed(seed)).to(target.device)
    with torch.no_grad():
        found = errors(labels.z, labels.c, labels.d)
    searched = max(1, round(SEARCH * steps))
    with tqdm(desc="inversion", total=steps, unit="step", leave=False, disable=not progress) as bar:
        for kept, go_on in ((STARTS, searched), (GOING_ON, steps - searched)):
            labels = labels[found.argsort()[:kept]]

            def counted(z: Tensor, c: Tensor, d: Tensor = labels.d) -> Tensor:
                bar.update()
                return errors(z, c, d)

            (z, c), found = descend([(labels.z, -Z_LIMIT, Z_LIMIT), (labels.c, 0, 1)], counted, model.generator, go_on)
            labels = Labels(z, labels.d, c)
    labels = labels[found.argmin()[None]].to("cpu")
    (frame,) = model.frames(labels)
    (error,) = psnr(frame[known][None, None], picture[known][None, None])
    return Inversion(labels, frame, float(error), _ssim(frame, picture, known))


def _tries(model: Model, picture: np.ndarray, rng: torch.Generator) -> Labels:
    """The labels among which the starts are chosen."""
    _, d, c = (torch.from_numpy(part) for part in model.read(picture[None]))
    likely = d[0].argsort(descending=True)[:LIKELY]
    labels, row = model.space.sample(TRIES, rng), torch.arange(TRIES)
    return Labels(
        labels.z.clamp(-Z_LIMIT, Z_LIMIT),
        model.space.one_hot(likely[row % len(likely)]),
        torch.where(row.unsqueeze(1) < TRIES // 2, c.clamp(0, 1), labels.c),
    )


def _ssim(frame: np.ndarray, picture: np.ndarray, known: np.ndarray) -> float:
    """Like metrics.ssim, over the windows that are completely known."""
    _, seen = structural_similarity(frame, picture, data_range=PEAK, channel_axis=-1, full=True)  # (64, 64, C)
    whole_windows = minimum_filter(known, WINDOW, mode="constant")  # those that reach over an edge are none
    return float(seen[whole_windows].mean()) if whole_windows.any() else float("nan")


def _checked_mask(known: np.ndarray | None) -> np.ndarray:
    if known is None:
        return np.ones((64, 64), bool)
    if not isinstance(known, np.ndarray) or known.dtype not in (bool, np.uint8) or known.shape != (64, 64):
        raise ValueError(f"known must be bool or uint8 (64, 64), true where the picture is known, got {kind(known)}.")
    if not known.any():
        raise ValueError("known is false everywhere, so there is nothing to redraw: mark some pixels as known.")
    return known.astype(bool)
