"""Numbers for pictures, sets of pictures, animations and labels; each function says what it measures and from where."""

from .distances import (
    Estimate,
    PrecisionRecall,
    Statistics,
    frechet_distance,
    inception_score,
    kernel_distance,
    precision_recall,
)
from .evaluate import evaluate
from .features import Features, NotInceptionWarning, load_features
from .images import psnr, ssim
from .influence import Influence, influence, label_influence, real_influence
from .score import animation_score

__all__ = [
    "Estimate",
    "Features",
    "Influence",
    "NotInceptionWarning",
    "PrecisionRecall",
    "Statistics",
    "animation_score",
    "evaluate",
    "frechet_distance",
    "inception_score",
    "influence",
    "kernel_distance",
    "label_influence",
    "load_features",
    "precision_recall",
    "psnr",
    "real_influence",
    "ssim",
]
